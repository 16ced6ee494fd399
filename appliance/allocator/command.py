"""`pierhead allocator`."""

import asyncio

import click
import structlog

from appliance.allocator.run import run
from appliance.allocator.setting import Settings
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import StoreError


@click.command("allocator")
@click.option("--store", "url", envvar="PIERHEAD_STORE", required=True, help=f"Where the objects are: {FORMS}.")
@click.option("--load-balancer-class", default=None, help="Serve only Services of this class (default: those of none).")
def allocator(url: str, load_balancer_class: str | None) -> None:
    """Hand out addresses to Services."""
    try:
        store = open_store(url)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    settings = Settings(load_balancer_class, cluster_ips_known=url.startswith("kubernetes:"))
    structlog.get_logger().info("allocator_started", store=url)
    asyncio.run(run(store, settings))
