"""Actions carried out: a host's drain through its own agent where that can be asked, else through the store."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from appliance.api.address import IPAddress
from appliance.api.kind import Kind
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Host, HostSpec
from appliance.api.refusal import StoreRefusal
from appliance.control.client import drain, move, watch_topic
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentProgram
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import MoveRefusal
from appliance.overview.acknowledgement import Acknowledgement, acknowledged
from appliance.overview.action import AcknowledgeConflict, Action, DrainHost, HandOver, MoveVip, Replan, UndrainHost
from appliance.overview.site import Site
from appliance.overview.source import AgentSocket, Source, reached
from appliance.store.protocol import Store, StoreError

MANAGER = "pierhead-operator"

_PAUSE_SECONDS = 0.05
_UNASKED = frozenset({StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED})


class ActionError(Exception):
    """An action that was not taken, and what to do instead where that is known; `is_refused`, not only unasked."""

    def __init__(self, text: str, *, is_refused: bool = True) -> None:
        super().__init__(text)
        self.is_refused = is_refused


async def carry_out(source: Source, action: Action) -> None:
    """Ask for an action; what follows is seen on the site. Raises ActionError."""
    try:
        match action:
            case DrainHost(host):
                await _set_drain(source, host, wanted=True)
            case UndrainHost(host):
                await _set_drain(source, host, wanted=False)
            case MoveVip(address, to):
                await _move(source, address, to)
            case Replan(moves):
                await _move_all(source, moves)
            case AcknowledgeConflict(address, by):
                await _acknowledge(source, address, by)
    except ControlError as error:
        raise ActionError(str(error), is_refused=error.fault is ControlFault.REFUSED) from error
    except StoreError as error:
        raise ActionError(str(error), is_refused=error.refusal not in _UNASKED) from error


async def host_behind(agent: AgentSocket) -> str:
    """The host whose agent answers on a socket; raises ControlError."""
    async with reached(agent) as path, aclosing(watch_topic(path, Topic.PROGRAM, AgentProgram)) as changes:
        async for change in changes:
            return change.changed[ONLY].host
    return ""


async def _set_drain(source: Source, host: str, *, wanted: bool) -> None:
    agent = await _agent_of(source, host)
    if agent is not None:
        async with reached(agent) as path:
            await drain(path, wanted)
    elif source.store:
        await _record_drain(source.opened(), host, wanted=wanted)
    else:
        asked = ", ".join(map(str, source.agents))
        text = f"{host} is not the host of {asked}: name the site's store, or ask {host} itself"
        raise ActionError(text, is_refused=False)


async def _move(source: Source, address: IPAddress, to: str) -> None:
    """Ask the owner, whichever of the agents that is; the others say that they are not."""
    unasked: list[str] = []
    for agent in source.agents:
        try:
            async with reached(agent) as path:
                await move(path, address, to)
        except ControlError as error:
            if error.fault is not ControlFault.REFUSED:
                unasked.append(str(error))
            elif error.detail != MoveRefusal.NOT_OWNER.value:
                raise
        else:
            return
    others = ", ".join(map(str, source.agents)) or "no agent"
    text = f"{address}: only its owner can hand it over, and that is none of those asked ({others}); use its --host"
    raise ActionError("; ".join((*unasked, text)), is_refused=False)


async def _move_all(source: Source, moves: Sequence[HandOver]) -> None:
    """One hand-over after the other, with a pause for what else happens; the first that fails ends it."""
    for number, wanted in enumerate(moves):
        try:
            await _move(source, wanted.address, wanted.successor)
        except (ControlError, ActionError) as error:
            is_refused = not isinstance(error, ActionError) or error.is_refused
            text = f"{number} of {len(moves)} VIPs were moved, then: {error}"
            raise ActionError(text, is_refused=is_refused) from error
        await asyncio.sleep(_PAUSE_SECONDS)


async def _acknowledge(source: Source, address: IPAddress, by: str) -> None:
    """Write on the VIP who took note of which machines, as the hosts tell of them in the store."""
    if not source.store:
        raise ActionError(f"{address}: that is written in the site's store, so name that", is_refused=False)
    store = source.opened()
    listing = await store.list(frozenset({Kind.HOST, Kind.VIRTUAL_IP}))
    site = Site()
    site.begin(listing.objects.values())
    vip, row = site.vips.get(address), site.vip(address)
    if vip is None or row is None or not row.conflicts:
        raise ActionError(f"{address}: the store knows of no machine that answers for it")
    noted = Acknowledgement(
        hardware_addresses=row.conflicts, by=by, at=datetime.now(UTC).isoformat(timespec="milliseconds")
    )
    await store.apply_metadata(replace(vip, metadata=acknowledged(vip, noted)), MANAGER)


async def _agent_of(source: Source, host: str) -> AgentSocket | None:
    """Where a host's own agent answers; raises ControlError where one cannot be asked and there is no store either."""
    for agent in source.agents:
        try:
            if await host_behind(agent) == host:
                return agent
        except ControlError:
            if not source.store and agent == source.agents[-1]:
                raise
    return None


async def _record_drain(store: Store, host: str, *, wanted: bool) -> None:
    """Write what is wanted of a host; what it was told on the spot only it can be told otherwise."""
    found = await store.get(Ref("Host", "", host))
    if not isinstance(found, Host):
        raise ActionError(f"{host} is no Host")
    if not wanted and found.is_draining and not found.spec.drain:
        raise ActionError(f"{host} was drained on the host itself, and only there can that be ended")
    try:
        await store.apply(replace(found, metadata=Metadata(name=host), spec=HostSpec(drain=wanted)), MANAGER)
    except StoreError as error:
        match error.refusal:
            case StoreRefusal.READ_ONLY:
                raise ActionError(f"{error}; spec.drain is to be written in that file") from error
            case StoreRefusal.FORBIDDEN:
                raise ActionError(f"{error}; ask as somebody who may write Hosts, or on {host} itself") from error
            case _:
                raise
