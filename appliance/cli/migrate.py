"""`pierhead migrate`: coming from MetalLB."""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

import click
from click.core import ParameterSource

from appliance.allocation.event import CONFIGURATION_NAMESPACES, Settings
from appliance.allocation.takeover import Fate, ServiceTakeover, take_over
from appliance.api.kind import REPORTS, Kind, Object
from appliance.api.problem import Problem, locate
from appliance.api.refusal import StoreRefusal
from appliance.cli.failure import Exit, Failure
from appliance.cli.option import json_option
from appliance.cli.output import Cell, Table, Tone, print_json, print_tables
from appliance.config.compile import compile_config
from appliance.config.report import warning_text
from appliance.ipam.option import options_of
from appliance.store.kubernetes.foreign import ForeignObject, foreign_objects
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import Listing, Store, StoreError

KINDS = frozenset(Kind) - {Kind.SECRET, Kind.LEASE} - REPORTS
OURS = frozenset(kind for kind in Kind if kind.group == "pierhead.io")
_TONES = {
    Fate.LOST: Tone.BAD,
    Fate.CHANGED: Tone.BAD,
    Fate.GAINED: Tone.WAITING,
    Fate.WAITING: Tone.QUIET,
    Fate.KEPT: Tone.GOOD,
    Fate.LEFT: Tone.QUIET,
}


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What would change, and what stands in the way."""

    services: tuple[ServiceTakeover, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unreadable: tuple[str, ...]
    foreign: tuple[ForeignObject, ...]

    @property
    def is_harmless(self) -> bool:
        """Whether every Service keeps the addresses it has, and nothing is wrong."""
        changed = any(each.fate in (Fate.LOST, Fate.CHANGED) for each in self.services)
        return not (changed or self.problems or self.unreadable)


@click.group(short_help="Look at a cluster that another load balancer serves.")
def migrate() -> None:
    """Coming from another load balancer; the guide is docs/migration.md."""


@migrate.command("check", short_help="Say what would change if Pierhead took over.")
@click.option(
    "--store",
    "url",
    default="kubernetes:",
    show_default=True,
    envvar="PIERHEAD_STORE",
    help=f"The cluster, or a folder with a dump of it: {FORMS}.",
)
@click.option("--context", default=None, help="The kubeconfig's context, instead of a --store.")
@click.option(
    "--load-balancer-class", "own_class", default=None, help="The class Pierhead shall serve (default: none)."
)
@click.option(
    "--configuration-namespace",
    "namespaces",
    multiple=True,
    default=sorted(CONFIGURATION_NAMESPACES),
    show_default=True,
    metavar="NAMESPACE",
    help="Where pools, peers and advertisements are read from; may be repeated.",
)
@json_option
def check(url: str, context: str | None, own_class: str | None, namespaces: tuple[str, ...], as_json: bool) -> None:
    """Read a running cluster, write nothing, and say what would change if Pierhead took it over now.

    Every Service is decided for as the allocator would, on the manifests and addresses there are. Exits 0 where all
    keep their addresses and nothing is wrong, 1 where something would change, 2 where the cluster cannot be read.
    """
    if context is not None:
        if click.get_current_context().get_parameter_source("url") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--context is in place of --store, where it is written ?context=NAME")
        url = f"kubernetes:?context={quote(context, safe='')}"
    settings = Settings(
        load_balancer_class=own_class,
        cluster_ips_known=url.startswith("kubernetes:"),
        configuration_namespaces=frozenset(namespaces),
    )
    try:
        report = asyncio.run(_report(url, settings))
    except StoreError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json(_json(report))
    else:
        _print(report)
    sys.exit(Exit.OK if report.is_harmless else Exit.NO)


async def _report(url: str, settings: Settings) -> MigrationReport:
    store = open_store(url)
    listing = await _listing(store)
    foreign = await foreign_objects(store.connection) if isinstance(store, KubernetesStore) else ()
    objects = tuple(listing.objects.values())
    read = tuple(manifest for manifest in objects if _is_read(manifest, settings))
    compiled = compile_config(read)
    mistakes = (*compiled.problems, *options_of(read).problems)
    return MigrationReport(
        services=take_over(objects, settings, time.time()),
        problems=(*listing.problems, *(locate(problem, listing.sources) for problem in mistakes)),
        warnings=tuple(locate(warning, listing.sources) for warning in compiled.warnings),
        unreadable=tuple(sorted(map(str, listing.unreadable))),
        foreign=foreign,
    )


async def _listing(store: Store) -> Listing:
    """Everything that decides; a cluster that Pierhead was never installed in has none of its kinds."""
    if not isinstance(store, KubernetesStore):
        return await store.list(KINDS)
    async with store.connection.held():
        listing = await store.list(KINDS - OURS)
        for kind in sorted(KINDS & OURS, key=str):
            try:
                own = await store.list(frozenset({kind}))
            except StoreError as error:
                if error.refusal is not StoreRefusal.NOT_FOUND:
                    raise
                continue
            listing = replace(
                listing,
                objects={**listing.objects, **own.objects},
                unreadable=listing.unreadable | own.unreadable,
            )
    return listing


def _is_read(manifest: Object, settings: Settings) -> bool:
    """Whether an object is of those the allocator reads its configuration from."""
    namespaces = settings.configuration_namespaces
    is_configuration = type(manifest).__module__ == "appliance.api.metallb"
    return namespaces is None or not is_configuration or manifest.metadata.namespace in namespaces


def _print(report: MigrationReport) -> None:
    shown = [each for each in report.services if each.fate not in (Fate.KEPT, Fate.LEFT)]
    rows = tuple(
        (
            Cell(each.service),
            Cell(each.fate.value, _TONES[each.fate]),
            Cell(" ".join(each.before)),
            Cell(" ".join(each.after)),
            Cell("; ".join(event.message for event in each.told)),
        )
        for each in shown
    )
    columns = ("SERVICE", "WHAT BECOMES OF IT", "NOW", "THEN", "WHY")
    tables = [Table("Services that do not simply keep their addresses", columns, rows)]
    if report.foreign:
        foreign = tuple(
            (Cell(each.product), Cell(each.kind), Cell(each.name), Cell(each.advice)) for each in report.foreign
        )
        tables.append(Table("Still there", ("OF", "KIND", "NAME", "TO DO"), foreign))
    print_tables(tables)
    for line in _lines(report):
        click.echo(line)


def _lines(report: MigrationReport) -> Iterator[str]:
    yield from (f"problem: {problem}" for problem in report.problems)
    yield from map(warning_text, report.warnings)
    yield from (f"problem: {name} cannot be read" for name in report.unreadable)
    counts = {fate: sum(each.fate is fate for each in report.services) for fate in Fate}
    counted = ", ".join(f"{number} {_of(fate, number)}" for fate, number in counts.items() if number)
    yield f"{len(report.services)} Services: {counted}" if counted else "There is no Service of type LoadBalancer."


def _of(fate: Fate, number: int) -> str:
    """A fate said of several Services."""
    text = {
        Fate.LOST: "lose addresses",
        Fate.CHANGED: "get other addresses",
        Fate.GAINED: "get an address",
        Fate.WAITING: "have none and get none",
        Fate.KEPT: "keep their addresses",
        Fate.LEFT: "are left alone",
    }[fate]
    return text if number != 1 else fate.value


def _json(report: MigrationReport) -> dict[str, object]:
    return {
        "harmless": report.is_harmless,
        "services": [
            {
                "service": each.service,
                "fate": each.fate.name.lower(),
                "before": list(each.before),
                "after": list(each.after),
                "why": [event.message for event in each.told],
            }
            for each in report.services
        ],
        "problems": _texts(report.problems),
        "warnings": _texts(report.warnings),
        "unreadable": list(report.unreadable),
        "foreign": [
            {"product": each.product, "kind": each.kind, "name": each.name, "advice": each.advice}
            for each in report.foreign
        ],
    }


def _texts(problems: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in problems]
