"""`pierhead allocator`."""

import asyncio

import click
import structlog

from appliance.allocator.run import run
from appliance.allocator.setting import Settings
from appliance.api.address import parse_network
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import StoreError


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
def allocator(url: str, load_balancer_class: str | None, service_networks: tuple[str, ...]) -> None:
    """Hand out addresses to Services."""
    try:
        store = open_store(url)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    try:
        networks = tuple(map(parse_network, service_networks))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--service-network") from error
    settings = Settings(load_balancer_class, url.startswith("kubernetes:"), service_networks=networks)
    structlog.get_logger().info("allocator_started", store=url)
    asyncio.run(run(store, settings))
