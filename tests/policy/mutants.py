"""Small mistakes put into a copy of the tree, one at a time: each must make a named test fail.

usage: python -m tests.policy.mutants [NAME...]     (or: make mutants)
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = "appliance/allocation/allocator.py"
REFUSAL = "tests/unit/allocation/test_refusal.py"
SITUATION = "tests/unit/allocation/test_situation.py"
ALLOCATOR = "tests/unit/allocation/test_allocator.py"
ELECTION = "appliance/allocation/leader_election.py"
LEADER = "tests/unit/allocation/test_leader_election.py"
REPORT = "tests/unit/allocation/test_report.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake: the text that stands once in a file, what it becomes, and the test that must find it."""

    name: str
    file: str
    text: str
    becomes: str
    test: str


MUTANTS = (
    Mutant(
        "a renewal counts from its answer",
        ELECTION,
        "self._renewed_at = self._sent_at if is_in_time else None",
        "self._renewed_at = now if is_in_time else None",
        f"{LEADER}::test_a_leader_that_cannot_renew_stops_before_another_may_start",
    ),
    Mutant(
        "a leader writes for as long as its lease lasts",
        ELECTION,
        "and now < self._renewed_at + self._terms.renew_seconds\n\n    def deadline",
        "and now < self._renewed_at + self._terms.lease_seconds\n\n    def deadline",
        f"{LEADER}::test_a_leader_that_cannot_renew_stops_before_another_may_start",
    ),
    Mutant(
        "a lease is free though it was renewed",
        ELECTION,
        "or lease.spec != self._lease.spec:",
        "or lease.spec.holder_identity != self._lease.spec.holder_identity:",
        f"{LEADER}::test_a_renewed_lease_is_not_free",
    ),
    Mutant(
        "statuses go before claims",
        CORE,
        "return len(self._attempts) == self._reports.under_way < self._settings.writes_max",
        "return len(self._attempts) < self._settings.writes_max",
        f"{REPORT}::test_statuses_come_last",
    ),
    Mutant(
        "endpoint changes concern nobody",
        CORE,
        "self._mark_all(holding.addresses)\n            case _:",
        "self._mark_all(())\n            case _:",
        f"{REFUSAL}::test_endpoints_reach_backends_before_new_services_are_served",
    ),
    Mutant(
        "endpoints wait behind new Services",
        CORE,
        "| stale\n        self._queue.add(address, urgency)",
        "| stale\n        self._queue.add(address, Urgency.REPORT)",
        f"{REFUSAL}::test_endpoints_reach_backends_before_new_services_are_served",
    ),
    Mutant(
        "a claim somebody else made is held all the same",
        CORE,
        "            self._release(path)\n                self._undecided.add(path)\n            self",
        "            self._undecided.add(path)\n            self",
        f"{REFUSAL}::test_claim_for_a_service_that_was_not_seen_yet_is_respected",
    ),
    Mutant(
        "what another system told a Service is given away",
        CORE,
        "if cause is None and address in self._lingering:",
        "if cause is None and not self._lingering:",
        f"{SITUATION}::test_address_that_another_system_told_is_free_once_its_service_says_so",
    ),
    Mutant(
        "an address whose name cannot be written is tried for ever",
        CORE,
        "self._name_taken.add(address)",
        "self._name_taken.discard(address)",
        f"{REFUSAL}::test_address_whose_name_an_operator_took_is_passed_by",
    ),
    Mutant(
        "a VirtualIP is deleted whatever its version",
        CORE,
        "Operation.DELETE, ref_of(vip), version=vip.metadata.resource_version",
        "Operation.DELETE, ref_of(vip)",
        f"{REFUSAL}::test_removal_of_a_virtual_ip_names_the_version_that_was_known",
    ),
    Mutant(
        "who has a claim does not go first",
        CORE,
        "rank = not all(address in claims for address in held), -len(held)",
        "rank = False, -len(held)",
        f"{ALLOCATOR}::test_of_two_that_were_told_one_address_the_one_with_the_claim_keeps_it",
    ),
    Mutant(
        "what is only just planned does not count",
        CORE,
        "self._planned[owner] += 1",
        "self._planned[owner] += 0",
        f"{SITUATION}::test_new_addresses_are_spread_though_they_are_planned_at_once",
    ),
    Mutant(
        "an old listing is as good as a new one",
        CORE,
        'if vip is None or not lists(vip, path) or _version_of(service) not in vip.spec.renewed_for.split(","):',
        "if vip is None or not lists(vip, path):",
        f"{ALLOCATOR}::test_old_listing_is_renewed_before_the_service_is_told",
    ),
    Mutant(
        "a listing goes though the Service was not changed",
        CORE,
        "return path not in users and released != vip.metadata.resource_version",
        "return path not in users and released == vip.metadata.resource_version",
        f"{ALLOCATOR}::test_listing_left_behind_is_taken_back_after_a_mark_on_the_service",
    ),
    Mutant(
        "a Service that is not seen counts as gone",
        CORE,
        "return all(self.released.get(address) == version for address, version in listings)",
        "return True",
        f"{REFUSAL}::test_service_that_is_not_seen_yet_keeps_its_listing",
    ),
    Mutant(
        "an answer that was overtaken counts",
        CORE,
        "self._overtaken.update(ref for ref in event.removed if ref in self._attempts)",
        "self._overtaken.update(())",
        f"{REFUSAL}::test_answer_that_was_overtaken_by_a_removal_is_not_believed",
    ),
    Mutant(
        "what is about to be lost is anybody's at once",
        CORE,
        "            self._release(path)\n        self._undecided.add(path)",
        "            self.ledger.release(path)\n        self._undecided.add(path)",
        f"{SITUATION}::test_address_about_to_be_lost_is_not_told_to_two",
    ),
    Mutant(
        "nobody is woken",
        CORE,
        "        for path in self._waiting:\n            self._undecided.add(path)",
        "        for path in ():\n            self._undecided.add(path)",
        f"{ALLOCATOR}::test_waiting_service_is_served_when_an_address_comes_free",
    ),
    Mutant(
        "one object at fault brings everything to a stand",
        "appliance/allocation/configuration.py",
        "                del usable[ref]",
        "                usable.clear()",
        f"{SITUATION}::test_wrong_peer_never_stops_allocation",
    ),
    Mutant(
        "withheld addresses are given",
        "appliance/ipam/space.py",
        "return number not in self.taken and number not in self.withheld",
        "return number not in self.taken",
        "tests/unit/ipam/test_ledger.py::test_withheld_address_is_not_given_but_kept",
    ),
    Mutant(
        "a quarantine is over at once",
        "appliance/ipam/quarantine.py",
        "moment.timestamp() + seconds",
        "moment.timestamp()",
        "tests/unit/ipam/test_quarantine.py::test_quarantine_ends",
    ),
    Mutant(
        "the second family is not waited for",
        "appliance/ipam/reconcile.py",
        '            self.refusal = refusal\n            sentence = f"no address of the second',
        '            sentence = f"no address of the second',
        f"{SITUATION}::test_second_family_is_given_when_it_comes_free",
    ),
)


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the mutant's test passes in a tree with its mistake; the tree is as before afterwards."""
    file = tree / mutant.file
    text = file.read_text()
    file.write_text(text.replace(mutant.text, mutant.becomes, 1))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.test]
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return False
    finally:
        file.write_text(text)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: {mutant.test} did not run\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    """Try mutants; the exit status is how many survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of them (default: all)")
    names = parser.parse_args().names
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for part in ("appliance", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        for mutant in MUTANTS:
            if not names or mutant.name in names:
                is_alive = survives(mutant, tree)
                survivors += is_alive
                print(f"{'SURVIVED' if is_alive else 'killed  '}  {mutant.name}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main())
