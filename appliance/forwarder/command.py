"""`pierhead forwarder`."""

import asyncio
import sys
from pathlib import Path

import click

from appliance.daemon.settings import DEFAULT_PATH, SETTINGS_EXIT_STATUS, SettingsError, load_settings


@click.command(short_help="Carry connections to the host their backend stands on.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="The settings file; the agent reads the same.",
)
@click.option("--check", is_flag=True, help="Read the settings file, say what is wrong with it, and stop.")
@click.option("--clear", is_flag=True, help="Remove this host's rules from the kernel, and stop.")
def forwarder(config: Path, check: bool, clear: bool) -> None:
    """Run this host's forwarder until it is told to stop (SIGTERM).

    It follows the site's store and the agent, and keeps three nftables tables named pierhead. They stay in the kernel
    when it stops, so that no connection ends with it. Needs CAP_NET_ADMIN, and net.ipv4.ip_forward and
    net.ipv6.conf.all.forwarding set. SIGHUP has it read the settings again. Exits 78 where they are wrong at the start
    (1 with --check), naming the file and every field.
    """
    if clear:
        _clear()
        return
    try:
        settings = load_settings(config)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"pierhead forwarder: {problem}", err=True)
        sys.exit(1 if check else SETTINGS_EXIT_STATUS)
    if not check:
        from appliance.forwarder.program import run

        asyncio.run(run(settings, config))


def _clear() -> None:
    from appliance.forwarder.program import clear
    from appliance.host.nft import NftError

    try:
        asyncio.run(clear())
    except NftError as error:
        click.echo(f"pierhead forwarder: {error}", err=True)
        sys.exit(1)
