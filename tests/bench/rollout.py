"""What Ansible's rollout costs a host, on sites of few and of many machines that boot.

Each site stands alone: machines as Molecule boots them, `playbooks/site.yml` from a wheelhouse on machines that have
nothing, and the same once more, which must change nothing. Machines and Ansible share the cores of this machine, so
processor time is told apart by control group: Ansible with its SSH on the control side, what it makes machines do, and
Pierhead's programs there.

usage, as root: python -m tests.bench.rollout [--hosts N...] [--forks N] [--compare]
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from tests.bench.figure import machine

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "molecule/shared"
BINARIES = Path(sys.executable).parent
RUN = ROOT / ".ansible/rollout"
SITE_FOLDER = "/srv/pierhead/site"
# Neighbor tables are one for all machines here, as are the keys of a user and the inotify instances of root.
LIMITS = {
    "fs/inotify/max_user_instances": 16_384,
    "fs/inotify/max_user_watches": 1_048_576,
    "kernel/keys/maxkeys": 20_000,
    "kernel/keys/maxbytes": 2_000_000,
    "net/ipv4/neigh/default/gc_thresh1": 16_384,
    "net/ipv4/neigh/default/gc_thresh2": 32_768,
    "net/ipv4/neigh/default/gc_thresh3": 65_536,
    "net/ipv6/neigh/default/gc_thresh1": 16_384,
    "net/ipv6/neigh/default/gc_thresh2": 32_768,
    "net/ipv6/neigh/default/gc_thresh3": 65_536,
}
PROGRAMS = ("pierhead-agent.service", "pierhead-forwarder.service", "pierhead-allocator.service", "bird.service")
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
STOP_TRIES = 5
# As docs/ansible.md says for many hosts.
SSH = "-o ControlMaster=auto -o ControlPersist=300s"
# As many as there are addresses before the pool of molecule/shared/site/network.yaml.
MOST_HOSTS = 200


class RolloutError(Exception):
    """Ansible or a machine did not do what it should; the text says what."""


@dataclass(frozen=True, slots=True)
class Way:
    """How Ansible goes about it."""

    forks: int
    pipelining: bool = True

    def __str__(self) -> str:
        return f"forks={self.forks} pipelining={'yes' if self.pipelining else 'no'}"


def load_machines() -> ModuleType:
    """Molecule's own module, for the names of its control groups."""
    spec = spec_from_file_location("machines", SHARED / "machines.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MACHINES = load_machines()


@contextmanager
def raised_limits() -> Iterator[None]:
    """What one kernel grants all machines together is enough for many; put back in the end."""
    before = {Path("/proc/sys", name): Path("/proc/sys", name).read_text().strip() for name in LIMITS}
    try:
        for name, wanted in LIMITS.items():
            path = Path("/proc/sys", name)
            if int(before[path]) < wanted:
                path.write_text(str(wanted))
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal ends what stands inside."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ControlGroup:
    """A control group for what runs on the control side; SSH's connections, which stay, end with it."""

    def __init__(self) -> None:
        self.path: Path = MACHINES.control_group(MACHINES.name_of(str(RUN)), "control")

    def enter(self) -> None:
        """Move this process into it."""
        (self.path / "cgroup.procs").write_text("0")

    def __enter__(self) -> "ControlGroup":
        self.path.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            (self.path / "cgroup.kill").write_text("1")
            while "populated 1" in (self.path / "cgroup.events").read_text():
                time.sleep(0.01)
            self.path.rmdir()


def processor_seconds(group: Path) -> float:
    """The processor time of a control group and of those below it."""
    figures = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(figures["usage_usec"]) / 1e6


class Site:
    """Some machines that have booted, and Ansible beside them."""

    def __init__(self, size: int, release: str, slowest: int) -> None:
        self.names = [f"node-{number:02}" for number in range(1, size + 1)]
        self.boot_seconds = 0.0
        self._release = release
        self._slowest = slowest

    def __enter__(self) -> "Site":
        self._stop()
        try:
            began = time.monotonic()
            self._write()
            self._boot()
            self.boot_seconds = time.monotonic() - began
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, way: Way) -> dict[str, Any]:
        """`site.yml` on all machines; raises RolloutError where one fails."""
        before = self._machines_seconds()
        load_before = os.getloadavg()[0]
        began = time.monotonic()
        with ControlGroup() as group:
            recap = self._play(way, "pierhead.pierhead.site", group)
            seconds = time.monotonic() - began
            control = processor_seconds(group.path)
        spent = {name: seconds - before.get(name, 0.0) for name, seconds in self._machines_seconds().items()}
        programs = sum(max(spent.get(name, 0.0), 0.0) for name in PROGRAMS)
        hosts = len(self.names)
        tasks = self._tasks()
        return {
            "way": str(way),
            "seconds": round(seconds, 1),
            "seconds_a_host": round(seconds / hosts, 2),
            "processor_seconds_a_host": {
                "control": round(control / hosts, 2),
                "machines_by_ansible": round((spent["machines"] - programs) / hosts, 2),
                "machines_by_programs": round(programs / hosts, 2),
            },
            "cores_busy_with_it": round((control + spent["machines"]) / seconds, 2),
            "load_average": [round(load_before, 1), round(os.getloadavg()[0], 1)],
            "changed": sum(changed for _, changed, _ in recap.values()),
            "tasks": len(tasks),
            "slowest_tasks": [
                {"task": name, "seconds": round(found, 1), "seconds_a_host": round(found / hosts, 2)}
                for name, found in sorted(tasks.items(), key=lambda task: -task[1])[: self._slowest]
            ],
        }

    def _write(self) -> None:
        """All that Ansible reads, in the folder of the run."""
        collections = RUN / "collections/ansible_collections/pierhead"
        collections.mkdir(parents=True)
        (collections / "pierhead").symlink_to(ROOT)
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", RUN / "key"), check=True)
        # Those of a site that announces to the LAN alone: there is no router.
        objects = (SHARED / "site/network.yaml").read_text().split("---\n")
        variables = {
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(RUN / "key"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": (f"-o ProxyUseFdpass=yes -o 'ProxyCommand={SHARED / 'connect.py'} {RUN} %h %p'"),
            "pierhead_wheelhouse": str(ROOT / "dist"),
            "pierhead_store": f"directory:{SITE_FOLDER}",
            "pierhead_uid": 990,
            "pierhead_gid": 990,
            # All watch all (decision 3): at 50 ms that of 50 hosts is 50,000 packets a second, on one machine.
            "pierhead_agent_liveness_interval_milliseconds": 2000,
            "pierhead_allocator_manifests": (
                "{{ "
                + repr("---\n".join(text for text in objects if "name: lan" in text))
                + " | from_yaml_all | list }}"
            ),
            "site_folder": SITE_FOLDER,
            "site_files": ["site/services.yaml", "site/cluster.yaml.j2"],
            "molecule_yml": {"driver": {"name": "default"}},
        }
        hosts = {name: {"ansible_host": address.partition("/")[0]} for name, address in self._addresses().items()}
        groups = {"pierhead_hosts": {"hosts": hosts}, "pierhead_allocators": {"hosts": {self.names[0]: {}}}}
        (RUN / "inventory.yml").write_text(json.dumps({"all": {"vars": variables, "children": groups}}))

    def _addresses(self) -> dict[str, str]:
        """The address of each machine: molecule/shared/site/cluster.yaml.j2 counts from 192.168.1.11."""
        return {name: f"192.168.1.{10 + number}/24" for number, name in enumerate(self.names, 1)}

    def _boot(self) -> None:
        described = {
            "machines": [
                {"name": name, "release": self._release, "addresses": [address], "services": ["bird.service"]}
                for name, address in self._addresses().items()
            ],
            "key": (RUN / "key.pub").read_text(),
            "files": str(SHARED / "machine"),
            "site": SITE_FOLDER,
            "gateway": "192.168.1.254/24",
        }
        command = (SHARED / "machines.py", "start", RUN)
        subprocess.run(command, input=json.dumps(described), text=True, check=True)
        with ControlGroup() as group:
            self._play(Way(forks=20), str(SHARED / "prepare.yml"), group)

    def _stop(self) -> None:
        """Take everything away; many machines want more than one wait."""
        with undisturbed():
            for remaining in reversed(range(STOP_TRIES)):
                ended = subprocess.run((SHARED / "machines.py", "stop", RUN), check=False)
                if not ended.returncode:
                    break
                if not remaining:
                    raise RolloutError(f"not all machines end: {SHARED / 'machines.py'} stop {RUN}")
            shutil.rmtree(RUN, ignore_errors=True)

    def _play(self, way: Way, playbook: str, group: ControlGroup) -> Mapping[str, tuple[int, int, int]]:
        """Run a playbook; ok, changed and failed of each host. Raises RolloutError where one of them failed."""
        (RUN / "ansible.cfg").write_text(
            "[defaults]\nhost_key_checking = false\n"
            f"forks = {way.forks}\ncallbacks_enabled = ansible.builtin.junit\n"
            f"[ssh_connection]\npipelining = {way.pipelining}\ncontrol_path_dir = {RUN / 'cp'}\nssh_args = {SSH}\n"
        )
        shutil.rmtree(RUN / "junit", ignore_errors=True)
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))
        }
        environment |= {
            "PATH": f"{BINARIES}:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(RUN),
            "ANSIBLE_CONFIG": str(RUN / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(RUN / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "JUNIT_OUTPUT_DIR": str(RUN / "junit"),
            "JUNIT_HIDE_TASK_ARGUMENTS": "true",
            "JUNIT_TASK_RELATIVE_PATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            (BINARIES / "ansible-playbook", "--inventory", RUN / "inventory.yml", playbook),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=RUN,
            env=environment,
            preexec_fn=group.enter,
        )
        recap = {
            name: (int(ok), int(changed), int(unreachable) + int(failed))
            for name, ok, changed, unreachable, failed in RECAP.findall(done.stdout)
        }
        if done.returncode or set(self.names) - set(recap):
            raise RolloutError(f"{playbook}: {done.stdout[-4000:]}")
        return recap

    def _machines_seconds(self) -> dict[str, float]:
        """Processor time of all machines together, and of each program there."""
        found: dict[str, float] = defaultdict(float)
        for name in self.names:
            group = MACHINES.control_group(MACHINES.name_of(str(RUN)), name)
            found["machines"] += processor_seconds(group)
            for program in PROGRAMS:
                for below in group.rglob(program):
                    found[program] += processor_seconds(below)
        return found

    def _tasks(self) -> dict[str, float]:
        """Seconds of each task of the last play, from its start until the last host was done, by place and name."""
        longest: dict[tuple[str, int], float] = defaultdict(float)
        for report in (RUN / "junit").iterdir():
            seen: dict[tuple[str, str], int] = defaultdict(int)
            for case in ElementTree.parse(report).getroot().iter("testcase"):
                host, _, task = case.attrib["name"].partition("] ")
                where = case.attrib["classname"].partition("ansible_collections/pierhead/pierhead/")[2]
                name = f"{where or case.attrib['classname']} {task.partition(': ')[2]}"
                key = (name, seen[host, name])
                seen[host, name] += 1
                longest[key] = max(longest[key], float(case.attrib["time"]))
        seconds: dict[str, float] = defaultdict(float)
        for (name, _), found in longest.items():
            seconds[name] += found
        return seconds


def measure(site: Site, way: Way, compared: Sequence[Way]) -> dict[str, Any]:
    """A site from nothing, and again; raises RolloutError where the second run changes something."""
    available = _available_bytes()
    size = len(site.names)
    with site:
        figures: dict[str, Any] = {"hosts": size, "boot_seconds": round(site.boot_seconds, 1)}
        _say(f"{size} hosts have booted in {site.boot_seconds:.0f} s")
        figures["rollout"] = site.run(way)
        _say_figures("rollout", figures["rollout"])
        figures["again"] = []
        for each in (way, *compared):
            again = site.run(each)
            figures["again"].append(again)
            _say_figures("again", again)
            if again["changed"]:
                raise RolloutError(f"{size} hosts: a second run changed {again['changed']} things")
        figures["memory_mib_a_machine"] = round((available - _available_bytes()) / size / 2**20)
    return figures


def ratios(sites: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Figures a host on the largest site, as a share of their medians on the smallest ones."""
    sizes = sorted({site["hosts"] for site in sites})
    few, many = ([site for site in sites if site["hosts"] == size] for size in (sizes[0], sizes[-1]))

    def share(phase: str, *path: str) -> float:
        def middle(group: Sequence[Mapping[str, Any]]) -> float:
            found: list[float] = []
            for site in group:
                figure: Any = site[phase] if phase == "rollout" else site[phase][0]
                for name in path:
                    figure = figure[name]
                found.append(float(figure))
            return statistics.median(found)

        return round(middle(many) / middle(few), 2)

    return {
        f"{phase}_{name}": share(phase, *path)
        for phase in ("rollout", "again")
        for name, path in {
            "seconds": ("seconds_a_host",),
            "control_processor_seconds": ("processor_seconds_a_host", "control"),
            "machines_processor_seconds": ("processor_seconds_a_host", "machines_by_ansible"),
        }.items()
    }


def _available_bytes() -> int:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _say_figures(phase: str, figures: Mapping[str, Any]) -> None:
    spent = ", ".join(f"{name} {seconds}" for name, seconds in figures["processor_seconds_a_host"].items())
    _say(f"{phase}, {figures['way']}: {figures['seconds_a_host']} s a host; processor: {spent}")


def main() -> None:
    """Measure each site and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[5, 50], help="how many each site has")
    parser.add_argument("--forks", type=int, default=20)
    parser.add_argument("--release", default="bookworm", help="Debian's release of the machines")
    parser.add_argument("--slowest", type=int, default=12, help="how many of the slowest tasks to print")
    parser.add_argument(
        "--compare", action="store_true", help="run again without pipelining, and with Ansible's defaults"
    )
    asked = parser.parse_args()
    if not all(0 < size <= MOST_HOSTS for size in asked.hosts):
        parser.error(f"a site has 1 to {MOST_HOSTS} hosts here")
    way = Way(asked.forks)
    compared = (replace(way, pipelining=False), Way(5), Way(5, pipelining=False)) if asked.compare else ()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    subprocess.run((ROOT / ".ci/dist",), env={**os.environ, "PYTHONS": "3.11"}, stdout=sys.stderr, check=True)
    with raised_limits():
        sites = [measure(Site(size, asked.release, asked.slowest), way, compared) for size in asked.hosts]
    print(json.dumps({"machine": machine(), "sites": sites, "ratio_of_most_to_fewest": ratios(sites)}, indent=2))


if __name__ == "__main__":
    try:
        main()
    except RolloutError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
