"""`pierhead explain service`: where the chain from a Service to its endpoints breaks."""

import asyncio
import difflib
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

import click

from appliance.advertise.assigned import Circumstances, assigned
from appliance.advertise.endpoint import slices_by_service
from appliance.advertise.explain import ChainLink, Finding, HostFinding, LinkVerdict, explain, first_broken
from appliance.advertise.host import site_hosts, taken_addresses
from appliance.advertise.vip import Site
from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.kind import REPORTS, Kind, Object
from appliance.api.meta import Ref
from appliance.api.pierhead import Host, VirtualIP
from appliance.api.problem import Problem, locate
from appliance.cli.source import require_store, store_option
from appliance.config.compile import compile_config
from appliance.ipam.option import options_of
from appliance.store.open import open_store
from appliance.store.protocol import Listing, StoreError

T = TypeVar("T", EndpointSlice, Host, Node, Service, VirtualIP)

KINDS = frozenset(Kind) - {Kind.SECRET, Kind.LEASE, Kind.EVENT, Kind.BACKENDS} - REPORTS
_MARKS = {LinkVerdict.HELD: "ok", LinkVerdict.BROKEN: "BROKEN", LinkVerdict.UNKNOWN: "-"}
_HELD_SENTENCES = {
    ChainLink.IMPLEMENTATION: "Pierhead serves it",
    ChainLink.POOL: "at least one pool admits it",
    ChainLink.HOST: "at least one host may announce it",
    ChainLink.ENDPOINTS: "at least one endpoint can serve",
}


@click.command("service", short_help="Say why a Service is not reachable.")
@click.argument("name", metavar="[NAMESPACE/]NAME")
@store_option
@click.option(
    "--load-balancer-class", "own_class", default=None, help="The class the allocator serves (default: those of none)."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def service(name: str, store: str | None, own_class: str | None, as_json: bool) -> None:
    """Walk from a Service to its endpoints and name the first link that is broken.

    Exits 0 where the chain is whole, 1 where it is broken, 2 where there is no such Service.
    """
    sys.exit(explain_service(require_store(store), name, own_class, as_json))


def explain_service(store_url: str, name: str, own_class: str | None, as_json: bool) -> int:
    """Print the chain of one Service of a store; the exit status as `service` documents it."""
    path = name if "/" in name else f"default/{name}"
    try:
        snapshot = asyncio.run(_read(store_url))
    except StoreError as error:
        click.echo(f"pierhead explain: {error}", err=True)
        return 2
    found = snapshot.objects.get(Ref("Service", *path.split("/", 1)))
    if not isinstance(found, Service):
        click.echo(f"pierhead explain: there is no Service {path}{_near(path, snapshot)}", err=True)
        return 2
    findings, problems = _findings(found, snapshot, own_class, cluster_ips_known=store_url.startswith("kubernetes:"))
    click.echo(_json(path, findings, problems) if as_json else "\n".join(_lines(path, findings, problems)))
    return int(first_broken(findings) is not None)


async def _read(store_url: str) -> Listing:
    return await open_store(store_url).list(KINDS)


def _findings(
    found: Service, snapshot: Listing, own_class: str | None, cluster_ips_known: bool
) -> tuple[tuple[Finding, ...], tuple[Problem, ...]]:
    objects = tuple(snapshot.objects.values())
    compiled, options = compile_config(objects), options_of(objects)
    hosts = site_hosts(_of(objects, Host), _of(objects, Node))
    site = Site(compiled.draft, hosts, slices_by_service(_of(objects, EndpointSlice)))
    taken = taken_addresses(hosts.values(), _of(objects, Node), compiled.draft.peers.values())
    now = datetime.now(UTC).timestamp()
    circumstances = Circumstances(compiled.draft, options, now, own_class, cluster_ips_known, taken)
    given = assigned(found, _of(objects, Service), _of(objects, VirtualIP), circumstances)
    mistakes = (*compiled.problems, *options.problems)
    problems = (*snapshot.problems, *(locate(problem, snapshot.sources) for problem in mistakes))
    return explain(found, given, site), problems


def _of(objects: Iterable[Object], cls: type[T]) -> tuple[T, ...]:
    return tuple(manifest for manifest in objects if isinstance(manifest, cls))


def _near(path: str, snapshot: Listing) -> str:
    names = sorted(ref.path for ref in snapshot.objects if ref.kind == "Service")
    near = difflib.get_close_matches(path, names, n=3)
    near += [other for other in names if other.partition("/")[2] == path.partition("/")[2] and other not in near]
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _lines(path: str, findings: tuple[Finding, ...], problems: tuple[Problem, ...]) -> Iterator[str]:
    yield f"Service {path}"
    for finding in findings:
        yield f"  {_MARKS[finding.state]:<7}{finding.link.value:<15}{sentence(finding)}".rstrip()
        for host in finding.hosts:
            yield f"{'':24}{_host_sentence(host)}"
    if problems:
        yield "The manifests have problems, so the last good configuration is in force, which may differ:"
        yield from (f"  {problem}" for problem in problems)


def sentence(finding: Finding) -> str:
    """A link as one sentence."""
    at = f"{finding.address}: " if finding.address else ""
    if finding.state is LinkVerdict.HELD:
        return at + (finding.subject or _HELD_SENTENCES.get(finding.link, ""))
    if finding.refusal is not None:
        return f"{at}{finding.refusal}"
    subject = f"{finding.subject}: " if finding.subject else ""
    return f"{at}{subject}{finding.reason.value}" if finding.reason else ""


def _host_sentence(found: HostFinding) -> str:
    return f"{found.host} ({found.medium.value}) {found.reason.value}"


def _json(path: str, findings: tuple[Finding, ...], problems: tuple[Problem, ...]) -> str:
    broken = first_broken(findings)
    return json.dumps(
        {
            "service": path,
            "whole": broken is None,
            "broken": broken.link.value if broken else None,
            "links": [_entry(finding) for finding in findings],
            "problems": [str(problem) for problem in problems],
        },
        indent=2,
    )


def _entry(finding: Finding) -> dict[str, object]:
    return {
        "link": finding.link.value,
        "state": finding.state.value,
        "address": str(finding.address) if finding.address else None,
        "reason": finding.reason.name if finding.reason else None,
        "sentence": sentence(finding),
        "hosts": [{"host": h.host, "medium": h.medium.value, "reason": h.reason.name} for h in finding.hosts],
    }
