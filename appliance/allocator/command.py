"""`pierhead allocator`."""

import asyncio

import click
import structlog

from appliance.advertise.plan import CandidateOrder
from appliance.allocation.event import WRITES_MAX, Settings
from appliance.allocator.program import run
from appliance.api.address import parse_network
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import StoreError

CONFIGURATION_NAMESPACES = frozenset({"metallb-system", "pierhead-system"})


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
def allocator(
    *,
    url: str,
    load_balancer_class: str | None,
    service_networks: tuple[str, ...],
    namespaces: tuple[str, ...],
    candidate_order: str,
    ignore_exclude_label: bool,
    writes_max: int,
) -> None:
    """Hand out addresses to Services."""
    try:
        store = open_store(url)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    try:
        networks = tuple(map(parse_network, service_networks))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--service-network") from error
    is_kubernetes = url.startswith("kubernetes:")
    default = CONFIGURATION_NAMESPACES if is_kubernetes else None
    settings = Settings(
        load_balancer_class=load_balancer_class,
        cluster_ips_known=is_kubernetes,
        service_networks=networks,
        configuration_namespaces=frozenset(namespaces) or default,
        order=CandidateOrder[candidate_order.upper()],
        ignores_exclude_label=ignore_exclude_label,
        writes_max=writes_max,
    )
    structlog.get_logger().info("allocator_started", store=url)
    asyncio.run(run(store, settings))
