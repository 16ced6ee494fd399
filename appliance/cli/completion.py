"""`pierhead completion`, and the names of what is there, for shells to complete."""

import asyncio
import importlib
from collections.abc import Callable, Iterable
from enum import Enum

import click
from click.shell_completion import CompletionItem, get_completion_class

from appliance.cli.failure import Failure

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PIERHEAD_COMPLETE"
_SECONDS = 1.0

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a SHELL complete Pierhead's commands and options, and the names of hosts, VIPs, pools, Services.

    \b
    bash   source <(pierhead completion bash)      in ~/.bashrc
    zsh    source <(pierhead completion zsh)       in ~/.zshrc
    fish   pierhead completion fish | source       in ~/.config/fish/config.fish

    Names are read from where the command would read them, where that answers within a second.
    """
    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"completion for {shell} is not part of this installation")
    click.echo(found(context.find_root().command, {}, "pierhead", VARIABLE).source())


class Named(Enum):
    """What has a name that a shell can complete."""

    HOST = "host"
    VIP = "VIP"
    POOL = "pool"
    SERVICE = "Service"


def names_of(kind: Named) -> Complete:
    """For `shell_complete=` of a parameter: names that begin with what is there; none where nobody answers at once."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _names(context, kind) if name.startswith(incomplete)]

    return complete


def _names(context: click.Context, kind: Named) -> Iterable[str]:
    # What a completion of options alone has no need of.
    from appliance.cli.source import find_source, taken_agents
    from appliance.overview.source import SourceError, read_site

    options = {name: context.params.get(name) or () for name in ("socket", "node")}
    agents = taken_agents({**options, "ssh_config": context.params.get("ssh_config")})

    async def read() -> Iterable[str]:
        if source.agents:
            # What it costs to load counts against nobody's time to answer.
            await asyncio.to_thread(importlib.import_module, "aiohttp")
        async with asyncio.timeout(_SECONDS):
            site = await read_site(source, lambda _: None)
        rows = [row for address in site.addresses() if (row := site.vip(address))]
        match kind:
            case Named.HOST:
                return site.host_names()
            case Named.VIP:
                return [str(row.address) for row in rows]
            case Named.POOL:
                return sorted({ref.name for ref in site.pools} | {row.pool for row in rows})
            case Named.SERVICE:
                return sorted({ref.path for ref in site.services} | {name for row in rows for name in row.services})

    try:
        source = find_source(context.params.get("store"), agents)
        return asyncio.run(read())
    except (SourceError, TimeoutError, click.ClickException):
        return ()
