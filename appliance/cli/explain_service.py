"""`pierhead explain service`: where the chain from a Service to an application that answers breaks, and what to do."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import click

from appliance.advertise.assigned import Circumstances, assigned
from appliance.advertise.endpoint import slices_by_service
from appliance.advertise.explain import ChainLink as PlannedLink
from appliance.advertise.explain import Finding, LinkVerdict, explain
from appliance.advertise.host import site_hosts, taken_addresses
from appliance.advertise.vip import Site as PlannedSite
from appliance.api.address import IPAddress, address_of
from appliance.api.core import EndpointSlice, Node, Protocol, Service
from appliance.api.kind import REPORTS, Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Host, VirtualIP
from appliance.api.problem import Problem, locate
from appliance.api.problem import Source as FileSource
from appliance.api.refusal import StoreRefusal
from appliance.cli.completion import Named, names_of
from appliance.cli.failure import Exit, Failure, unknown
from appliance.cli.option import json_option, watch_option
from appliance.cli.output import to_text
from appliance.cli.source import source_options
from appliance.config.compile import compile_config
from appliance.control.client import read_status
from appliance.control.error import ControlError
from appliance.control.message import AgentStatus
from appliance.ipam.option import options_of
from appliance.ipam.reason import Reason
from appliance.overview.chain import Step, chain, first_broken
from appliance.overview.explanation import advice, answer_sentence, host_sentence, lines, sentence
from appliance.overview.probe import Answer, probe
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, ask_each, follow_site, put_status
from appliance.store.protocol import Changes, Listing, StoreError

T = TypeVar("T", EndpointSlice, Host, Node, Service, VirtualIP)

KINDS = frozenset(Kind) - {Kind.SECRET, Kind.LEASE, Kind.EVENT, Kind.BACKENDS} - REPORTS
# What a host may read where operators' kinds are not for it.
_HOSTS_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.HOST})
TCP, HTTP = "tcp", "http"
_PACE_SECONDS = 0.5
_EXAMPLES = """
\b
pierhead explain service shop/web
pierhead explain service web -n shop --probe=http --path /healthz
pierhead explain service shop/web --json | jq -r .advice
"""


@dataclass(frozen=True, slots=True)
class _Known:
    """What could be read: all that operators wrote, or None, and the site as hosts tell it; else why not."""

    site: Site
    listing: Listing | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """One Service: what is planned for it, its addresses, the ports to probe, and mistakes in what was written."""

    path: str
    planned: tuple[Finding, ...]
    addresses: tuple[IPAddress, ...]
    ports: tuple[int, ...] = ()
    problems: tuple[Problem, ...] = field(default=())


@click.command("service", short_help="Say why a Service is not reachable, and what to do.", epilog=_EXAMPLES)
@click.argument("name", metavar="[NAMESPACE/]NAME", shell_complete=names_of(Named.SERVICE))
@click.option(
    "--namespace",
    "-n",
    default="default",
    show_default=True,
    envvar="PIERHEAD_NAMESPACE",
    show_envvar=True,
    help="The namespace of a NAME without one.",
)
@click.option(
    "--load-balancer-class", "own_class", default=None, help="The class the allocator serves (default: those of none)."
)
@click.option(
    "--probe",
    "probing",
    type=click.Choice([TCP, HTTP]),
    is_flag=False,
    flag_value=TCP,
    default=None,
    help="Ask the application too, from this machine: connect to each TCP port, or send one HTTP request. Two seconds.",
)
@click.option("--path", "http_path", default="/", show_default=True, help="What --probe=http asks for.")
@source_options
@watch_option
@json_option
def service(
    *,
    name: str,
    namespace: str,
    own_class: str | None,
    probing: str | None,
    http_path: str,
    source: Source,
    watch: bool,
    as_json: bool,
) -> None:
    """Walk from a Service to the application that answers, and name the first link that is broken.

    Has it an address; is that announced, and by which hosts; can they receive it; can an endpoint serve; does the
    application answer. What the store does not tell here, as on a host that may not read Services, is left open.

    Exits 0 where nothing is broken, 1 where something is, 2 where there is no such Service.
    """
    if watch and probing is not None:
        raise click.UsageError("--watch goes without --probe: nothing tells that an application changes")
    path = name if "/" in name else f"{namespace}/{name}"
    known = asyncio.run(_read(source))
    for failure in known.failures:
        click.echo(failure, err=True)
    is_cluster = source.store.startswith("kubernetes:")
    case = _case(path, known, own_class, cluster_ips_known=is_cluster)
    if watch:

        def show(known: _Known) -> str:
            try:
                case = _case(path, known, own_class, cluster_ips_known=is_cluster)
            except Failure as failure:
                return json.dumps({"service": path, "error": failure.message}) if as_json else failure.message
            return _written(case, chain(case.planned, known.site, case.addresses), as_json=as_json)

        with suppress(KeyboardInterrupt):
            asyncio.run(_follow(source, known, show, as_json=as_json))
        return
    targets = [(address, port) for address in case.addresses for port in case.ports]
    answers: tuple[Answer, ...] = ()
    if probing is not None:
        answers = asyncio.run(probe(targets, http_path=http_path if probing == HTTP else ""))
    steps = chain(case.planned, known.site, case.addresses, answers)
    click.echo(_written(case, steps, as_json=as_json))
    raise click.exceptions.Exit(Exit.NO if first_broken(steps) else Exit.OK)


async def _follow(source: Source, known: _Known, show: Callable[[_Known], str], *, as_json: bool) -> None:
    """Print what is to be shown, first and whenever it is another text, until interrupted."""
    kinds = _HOSTS_KINDS if known.listing is None else KINDS
    told, changed, shown = _Told(), asyncio.Event(), ""
    latest = known.site

    def hear(site: Site, _touched: Touched) -> None:
        nonlocal latest
        latest = site
        if not source.store or kinds <= told.listed:
            changed.set()

    def say(part: str, why: str) -> None:
        if why:
            click.echo(f"{part}: {why}", err=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(follow_site(source, hear, say, kinds=kinds, note=told.take), name="follow")
        while True:
            await changed.wait()
            changed.clear()
            text = show(_Known(latest, None if known.listing is None else told.listing(latest.objects)))
            if text != shown:
                shown = text
                if not as_json:
                    click.clear()
                click.echo(text)
            # In a large site something changes all the time, and a whole allocation is gone through again.
            await asyncio.sleep(_PACE_SECONDS)


class _Told:
    """What a store's watch tells beside the objects."""

    def __init__(self) -> None:
        self.listed: frozenset[Kind] = frozenset()
        self._unreadable: frozenset[Ref] = frozenset()
        self._problems: tuple[Problem, ...] = ()
        self._is_complete = True
        self._sources: dict[Ref, FileSource] = {}

    def take(self, batch: Changes) -> None:
        """Take over what is new."""
        self.listed |= batch.listed
        if batch.unreadable is not None:
            self._unreadable = batch.unreadable
        if batch.problems is not None:
            self._problems = batch.problems
        if batch.is_complete is not None:
            self._is_complete = batch.is_complete
        for ref in (*map(ref_of, batch.changed), *batch.removed):
            self._sources.pop(ref, None)
        self._sources |= batch.sources

    def listing(self, objects: Mapping[Ref, Object]) -> Listing:
        """All that is known, as if it were listed now."""
        return Listing(objects, self._unreadable, self._problems, self._is_complete, self._sources)


async def explained(source: Source, path: str) -> tuple[str, ...]:
    """Where the chain of one Service breaks, as lines, whatever is found out; for those who have a screen already."""
    try:
        known = await _read(source)
        case = _case(path, known, None, cluster_ips_known=source.store.startswith("kubernetes:"))
    except Failure as failure:
        return (failure.message,)
    return (*_lines(case, chain(case.planned, known.site, case.addresses)), *known.failures)


async def _read(source: Source) -> _Known:
    """All there is to know; a Failure where nothing can be asked."""
    site, listing, failures = Site(), None, []
    try:
        if source.store:
            store = source.opened()
            try:
                listing = await store.list(KINDS)
                site.begin(listing.objects.values())
            except StoreError as error:
                if error.refusal is not StoreRefusal.FORBIDDEN:
                    raise
                failures.append(str(error))
                site.begin((await store.list(_HOSTS_KINDS)).objects.values())
    except StoreError as error:
        failures.append(str(error))
    for _, answer in await ask_each(source.agents, partial(read_status, kind=AgentStatus)):
        if isinstance(answer, ControlError):
            failures.append(str(answer))
        else:
            put_status(site, answer)
    if listing is None and not site.host_names() and not site.addresses():
        raise Failure("; ".join(failures) or f"{source.store} tells of no host")
    return _Known(site, listing, tuple(failures))


def _case(path: str, known: _Known, own_class: str | None, *, cluster_ips_known: bool) -> _Case:
    """A Service as it is planned; without what operators wrote, as far as hosts know; a Failure where it is none."""
    if known.listing is None:
        return _case_of_hosts(path, known.site)
    found = known.listing.objects.get(Ref("Service", *path.split("/", 1)))
    if not isinstance(found, Service):
        raise _missing(path, known.listing)
    objects = tuple(known.listing.objects.values())
    compiled, options = compile_config(objects), options_of(objects)
    hosts = site_hosts(_of(objects, Host), _of(objects, Node))
    site = PlannedSite(compiled.draft, hosts, slices_by_service(_of(objects, EndpointSlice)))
    taken = taken_addresses(hosts.values(), _of(objects, Node), compiled.draft.peers.values())
    now = datetime.now(UTC).timestamp()
    unusable = _unusable(known.listing)
    circumstances = Circumstances(compiled.draft, options, now, own_class, cluster_ips_known, taken, unusable)
    given = assigned(found, _of(objects, Service), _of(objects, VirtualIP), circumstances)
    mistakes = (*compiled.problems, *options.problems)
    problems = (*known.listing.problems, *(locate(problem, known.listing.sources) for problem in mistakes))
    ports = tuple(port.port for port in found.spec.ports if port.protocol is Protocol.TCP)
    return _Case(path, explain(found, given, site), given.addresses, ports, problems)


def _missing(path: str, listing: Listing) -> Failure:
    """Why there is no Service to explain: it cannot be read, or there is none as far as manifests can be read."""
    ref = Ref("Service", *path.split("/", 1))
    if ref in listing.unreadable:
        problems = (str(problem) for problem in listing.problems if problem.ref == ref)
        return Failure("; ".join((f"{ref} cannot be read", *problems)))
    failure = unknown("Service", path, (ref.path for ref in listing.objects if ref.kind == "Service"))
    if listing.is_complete or not listing.problems:
        return failure
    return Failure(f"{failure.message}, but not all manifests can be read: {listing.problems[0]}")


def _unusable(listing: Listing) -> dict[IPAddress, Reason]:
    """The addresses whose VirtualIP cannot be read, or is one that operators wrote for nobody."""
    unusable: dict[IPAddress, Reason] = {}
    for ref in listing.unreadable:
        if ref.kind == "VirtualIP":
            # An object of any other name is in nobody's way.
            with suppress(ValueError):
                unusable[address_of(ref.name)] = Reason.UNREADABLE
    for vip in _of(listing.objects.values(), VirtualIP):
        if ref_of(vip) in listing.sources and not vip.spec.services:
            unusable[vip.spec.address] = Reason.NAME_TAKEN
    return unusable


def _case_of_hosts(path: str, site: Site) -> _Case:
    rows = [row for address in site.addresses() if (row := site.vip(address))]
    held = [row for row in rows if path in row.services]
    if not held:
        raise unknown("Service with a VIP", path, {name for row in rows for name in row.services})
    addresses = tuple(row.address for row in held)
    subject = ", ".join(map(str, addresses))
    planned = (
        Finding(PlannedLink.POOL, LinkVerdict.HELD, ", ".join(sorted({row.pool for row in held}))),
        Finding(PlannedLink.ADDRESS, LinkVerdict.HELD, subject),
    )
    ports = {
        port.port
        for address in addresses
        if (vip := site.vips.get(address))
        for holder in vip.spec.services
        if str(holder.reference) == path
        for port in holder.ports
        if port.protocol is Protocol.TCP
    }
    return _Case(path, planned, addresses, tuple(sorted(ports)))


def _of(objects: Iterable[Object], cls: type[T]) -> tuple[T, ...]:
    return tuple(manifest for manifest in objects if isinstance(manifest, cls))


def _written(case: _Case, steps: tuple[Step, ...], *, as_json: bool) -> str:
    return to_text(_json(case, steps)) if as_json else "\n".join(_lines(case, steps))


def _lines(case: _Case, steps: tuple[Step, ...]) -> Iterator[str]:
    yield f"Service {case.path}"
    yield from lines(steps)
    if case.problems:
        yield "The manifests have problems, so the last good configuration is in force, which may differ:"
        yield from (f"  {problem}" for problem in case.problems)


def _json(case: _Case, steps: tuple[Step, ...]) -> dict[str, object]:
    broken = first_broken(steps)
    return {
        "service": case.path,
        "whole": broken is None,
        "broken": broken.link.value if broken else None,
        "advice": advice(steps) or None,
        "links": [_entry(step) for step in steps],
        "problems": [str(problem) for problem in case.problems],
    }


def _entry(step: Step) -> dict[str, object]:
    return {
        "link": step.link.value,
        "state": step.verdict.value,
        "address": str(step.address) if step.address else None,
        "reason": step.reason.name if step.reason else None,
        "sentence": sentence(step),
        "hosts": [
            {
                "host": host.host,
                "medium": host.medium.value if host.medium else None,
                "reason": host.state.name,
                "sentence": host_sentence(host),
            }
            for host in step.hosts
        ],
        "answers": [
            {"port": answer.port, "outcome": answer.outcome.name, "sentence": answer_sentence(answer)}
            for answer in step.answers
        ],
    }
