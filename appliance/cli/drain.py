"""`pierhead drain`: move everything away from this host, or let it come back."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from appliance.cli.failure import Denial
from appliance.cli.option import asked, json_option, socket_option
from appliance.cli.output import print_json
from appliance.control.client import drain as ask_to_drain
from appliance.control.client import read_status, watch
from appliance.control.message import AgentProgram, AgentStatus, VirtualIPVerdict
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import Role


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What a host still carries."""

    drained: bool
    owned: int
    announced: int

    def is_done(self, drain: bool) -> bool:
        """Whether a drain, or the end of one, is complete."""
        return self.drained == drain and not (drain and (self.owned or self.announced))


@click.command()
@click.option("--undo", is_flag=True, help="Let the host take VIPs again.")
@click.option("--wait", is_flag=True, help="Return only when this host answers for no VIP and announces none.")
@click.option("--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long --wait waits.")
@socket_option
@json_option
def drain(undo: bool, wait: bool, timeout: float, socket: Path, as_json: bool) -> None:
    """Move every VIP and route away from this host, and keep new ones away until --undo.

    No request fails and no connection is lost. Open connections stay where they are.
    """
    load = asked(_drain(socket, not undo, timeout if wait else None))
    if as_json:
        print_json({"drained": load.drained, "owned": load.owned, "announced": load.announced})
    else:
        click.echo(_sentence(load, undo))
    if wait and not load.is_done(not undo):
        raise Denial(f"not done after {timeout:g} s")


def load_of(program: AgentProgram, vips: Iterable[VirtualIPVerdict]) -> HostLoad:
    """What an agent says its host still carries."""
    owned = announced = 0
    for vip in vips:
        owned += vip.layer2 is not None and vip.layer2.role in (Role.OWNER, Role.PROBING)
        announced += vip.bgp is not None and vip.bgp.announced
    return HostLoad(program.drained, owned, announced)


async def _drain(socket: Path, wanted: bool, timeout_seconds: float | None) -> HostLoad:
    await ask_to_drain(socket, wanted)
    status = await read_status(socket, AgentStatus)
    load = load_of(status.program, status.vips)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds or 0), aclosing(_loads(socket)) as loads:
            async for load in loads:
                if load.is_done(wanted):
                    break
    return load


async def _loads(socket: Path) -> AsyncGenerator[HostLoad]:
    """What the host carries, now and after each change."""
    told: dict[Topic, dict[str, object]] = {}
    kinds: dict[Topic, type[object]] = {Topic.PROGRAM: AgentProgram, Topic.VIPS: VirtualIPVerdict}
    async with aclosing(watch(socket, kinds)) as changes:
        async for change in changes:
            change.fold(told.setdefault(change.topic, {}))
            if len(told) < len(kinds):
                continue
            vips = (vip for vip in told[Topic.VIPS].values() if isinstance(vip, VirtualIPVerdict))
            match told[Topic.PROGRAM].get(ONLY):
                case AgentProgram() as program:
                    yield load_of(program, vips)


def _sentence(load: HostLoad, undo: bool) -> str:
    if undo:
        return "The host takes VIPs again." if not load.drained else "The host will take VIPs again."
    if load.is_done(drain=True):
        return "The host is drained: it answers for no VIP and announces none."
    return f"The host is draining: it answers for {load.owned} VIPs and announces {load.announced}."
