"""`pierhead allocator`."""

import asyncio
import secrets
import socket
from collections.abc import Iterator

import click
import structlog

from appliance.advertise.plan import CandidateOrder
from appliance.allocation.configuration import OPERATORS
from appliance.allocation.event import CONFIGURATION_NAMESPACES, WRITES_MAX, Settings
from appliance.allocation.leader_election import LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, LeaseTerms
from appliance.allocator.event_writer import EventWriter
from appliance.allocator.metric import SERVICE_EVENTS_DROPPED
from appliance.allocator.program import Program
from appliance.api.address import parse_network
from appliance.api.kind import REPORTS, Kind
from appliance.api.pierhead import HOSTS_NAMESPACE, SYSTEM_NAMESPACE
from appliance.api.text import is_qualified_name, shown
from appliance.control.listener import ListenAddress, parse_listen_address
from appliance.control.metric import Reading, one
from appliance.control.scrape import ScrapeServer
from appliance.daemon.signals import run_until_ended
from appliance.daemon.systemd import Unit, Work
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import Store, StoreError
from appliance.store.scope import Scope

LEASE_NAME = "pierhead-allocator"


@click.command("allocator")
@click.option("--store", "url", envvar="PIERHEAD_STORE", required=True, help=f"Where the objects are: {FORMS}.")
@click.option("--load-balancer-class", default=None, help="Serve only Services of this class (default: those of none).")
@click.option(
    "--service-network",
    "service_networks",
    multiple=True,
    metavar="CIDR",
    help="A network of cluster addresses, so that a pool overlapping it is warned of; may be repeated.",
)
@click.option(
    "--configuration-namespace",
    "namespaces",
    multiple=True,
    metavar="NAMESPACE",
    help="Read pools, peers and advertisements from this namespace only; may be repeated. Default: with the Kubernetes"
    " API metallb-system and pierhead-system, else all.",
)
@click.option(
    "--candidate-order",
    type=click.Choice([order.name.lower() for order in CandidateOrder]),
    default=CandidateOrder.SPREAD.name.lower(),
    show_default=True,
    help="spread: owners stay, and new addresses go to the host with the fewest; hash: MetalLB's order alone.",
)
@click.option(
    "--ignore-exclude-label",
    is_flag=True,
    help="Announce from hosts labelled node.kubernetes.io/exclude-from-external-load-balancers too.",
)
@click.option(
    "--writes",
    "writes_max",
    type=click.IntRange(1, 256),
    default=WRITES_MAX,
    show_default=True,
    help="How many writes may be under way at a time.",
)
@click.option(
    "--namespace",
    envvar=["PIERHEAD_NAMESPACE", "POD_NAMESPACE"],
    default=SYSTEM_NAMESPACE,
    show_default=True,
    help="With the Kubernetes API: the namespace of its Lease and of the statuses it writes for MetalLB's users.",
)
@click.option(
    "--identity",
    envvar=["PIERHEAD_IDENTITY", "POD_NAME"],
    default=None,
    help="With the Kubernetes API: who this allocator is among its replicas, such as its pod's name. No two may have"
    " the same. Default: the machine's name and a random part.",
)
@click.option(
    "--lease-seconds",
    type=float,
    default=LEASE_SECONDS,
    show_default=True,
    help="How long a leader that is heard of no longer is waited for.",
)
@click.option(
    "--renew-seconds",
    type=float,
    default=RENEW_SECONDS,
    show_default=True,
    help="How long a leader that cannot renew its Lease goes on; less than a lease, by the time a write may take.",
)
@click.option(
    "--retry-seconds",
    type=float,
    default=RETRY_SECONDS,
    show_default=True,
    help="How often the Lease is renewed, or looked at by those who do not lead.",
)
@click.option(
    "--metrics",
    "listen",
    envvar="PIERHEAD_METRICS",
    default="",
    metavar="ADDRESS:PORT",
    help="Where /metrics, /healthz and /readyz are answered; `:PORT` for all addresses. Default: nowhere.",
)
@click.option("--check", is_flag=True, help="Say what is wrong with the options, and stop.")
def allocator(
    *,
    url: str,
    load_balancer_class: str | None,
    service_networks: tuple[str, ...],
    namespaces: tuple[str, ...],
    candidate_order: str,
    ignore_exclude_label: bool,
    writes_max: int,
    namespace: str,
    identity: str | None,
    lease_seconds: float,
    renew_seconds: float,
    retry_seconds: float,
    listen: str,
    check: bool,
) -> None:
    """Hand out addresses to Services until it is told to stop (SIGTERM).

    Exits 2 where an option is wrong, before anything is begun, with --check as without.
    """
    read_from = frozenset(namespaces) or CONFIGURATION_NAMESPACES
    try:
        store = open_store(url, scopes=_scopes(read_from, namespace))
    except StoreError as error:
        raise click.BadParameter(str(error), param_hint="--store") from error
    if load_balancer_class is not None and not is_qualified_name(load_balancer_class):
        problem = f"{shown(load_balancer_class)} is no class of a Service, such as internal or example.com/internal"
        raise click.BadParameter(problem, param_hint="--load-balancer-class")
    try:
        networks = tuple(map(parse_network, service_networks))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--service-network") from error
    is_kubernetes = url.startswith("kubernetes:")
    settings = Settings(
        load_balancer_class=load_balancer_class,
        cluster_ips_known=is_kubernetes,
        service_networks=networks,
        configuration_namespaces=read_from if namespaces or is_kubernetes else None,
        order=CandidateOrder[candidate_order.upper()],
        ignores_exclude_label=ignore_exclude_label,
        writes_max=writes_max,
        report_namespace=namespace if is_kubernetes else "",
    )
    try:
        terms = LeaseTerms(
            LEASE_NAME,
            namespace,
            identity or f"{socket.gethostname()}_{secrets.token_hex(4)}",
            lease_seconds,
            renew_seconds,
            retry_seconds,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--lease-seconds, --renew-seconds, --retry-seconds") from error
    try:
        address = parse_listen_address(listen) if listen else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--metrics") from error
    if check:
        return
    structlog.get_logger().info("allocator_started", store=url)
    asyncio.run(_run(store, settings, terms if is_kubernetes else None, address))


def _scopes(read_from: frozenset[str], namespace: str) -> dict[Kind, Scope]:
    """What is asked of an API server: of MetalLB's kinds and of Secrets what is read, and no more."""
    operators = Scope(tuple(sorted(read_from)))
    return {
        **{kind: operators for kind in Kind if kind.title in OPERATORS},
        **{kind: Scope((namespace,)) for kind in REPORTS},
        Kind.LEASE: Scope((namespace,), LEASE_NAME),
        Kind.SECRET: Scope(tuple(sorted({*read_from, HOSTS_NAMESPACE}))),
    }


async def _run(store: Store, settings: Settings, lease: LeaseTerms | None, listen: ListenAddress | None) -> None:
    events = EventWriter(store) if lease is not None else None
    program = Program(store, settings, events, lease)
    checks = {"/healthz": lambda: program.not_live, "/readyz": lambda: program.not_ready}

    def metrics() -> Iterator[Reading]:
        yield from program.metrics()
        yield one(SERVICE_EVENTS_DROPPED, events.dropped if events is not None else 0)

    unit = Unit()

    def works() -> tuple[Work]:
        return (Work("changes", bool(program.not_live), 0),)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(program.run(), name="allocator")
            group.create_task(unit.run(program.listed(), program.describe, works), name="systemd")
            if events is not None:
                group.create_task(events.run(), name="events")
            if listen is not None:
                group.create_task(ScrapeServer(listen, "--metrics", metrics, checks).run(), name="metrics")

    program.on_turn = unit.look_again
    ending = "lets another lead; what is given stays as it is"
    await run_until_ended(main(), program.leave, on_end=lambda _: unit.stopping(ending))
