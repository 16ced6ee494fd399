"""Actions and their previews in words."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from appliance.overview.action import (
    AcknowledgeConflict,
    Action,
    DrainHost,
    HandOver,
    MoveVip,
    Preview,
    Replan,
    RouteChange,
    UndrainHost,
)

T = TypeVar("T")

_LISTED_MAX = 10


def title(action: Action) -> str:
    """What an action does, as a request."""
    match action:
        case DrainHost(host):
            return f"Drain {host}"
        case UndrainHost(host):
            return f"Undrain {host}"
        case MoveVip(address, to):
            return f"Move {address} to {to or 'the next host of its order'}"
        case AcknowledgeConflict(address):
            return f"Acknowledge the conflict of {address}"
        case Replan():
            return "Hand VIPs over as planned anew"


def subject(action: Action) -> str:
    """The host or the VIP an action is about."""
    match action:
        case DrainHost(host) | UndrainHost(host):
            return f"host {host}"
        case MoveVip(address) | AcknowledgeConflict(address):
            return f"VIP {address}"
        case Replan():
            return "plan"


def told(preview: Preview) -> tuple[str, ...]:
    """What an action would change, the most general first; of many things the first ones."""
    if preview.obstacle is not None:
        about = subject(preview.action)
        if isinstance(preview.action, MoveVip) and preview.action.to:
            about = f"{about} to {preview.action.to}"
        return (f"{about}: {preview.obstacle.value}",)
    match preview.action:
        case DrainHost(host):
            lines = [_moves_away(host, preview), _withdrawals(preview)]
        case UndrainHost(host):
            lines = [_comes_back(host, preview), _announcements(preview.routes)]
        case MoveVip():
            lines = [f"{_named(move)} goes from {move.owner} to {move.successor}" for move in preview.moves]
        case Replan():
            taken = ", ".join(f"{number} to {name}" for name, number in sorted(preview.successors().items()))
            lines = [f"{_count(len(preview.moves), 'VIP')} change hands, one after the other: {taken}"]
        case AcknowledgeConflict(_, by):
            lines = [
                f"{', '.join(preview.conflicts)} answers for it too: {by} has taken note of that",
                "nothing else changes: its owner goes on defending it, and another machine would be news",
            ]
    lines += _first(preview.staying, lambda move: f"{_named(move)} stays: no other host is able to answer for it")
    lines += _first(preview.unreachable, lambda address: f"{address} will be unreachable: no other host announces it")
    return tuple(lines)


def _moves_away(host: str, preview: Preview) -> str:
    if not preview.moves:
        return f"{host} answers for no VIP"
    taken = ", ".join(f"{number} to {name}" for name, number in sorted(preview.successors().items()))
    return f"{host} answers for {_count(len(preview.moves), 'VIP')}" + (f", of which go {taken}" if taken else "")


def _comes_back(host: str, preview: Preview) -> str:
    if not preview.moves:
        return f"no VIP moves: owners keep what they have, and {host} takes its turn again"
    return f"{host} takes {_count(len(preview.moves), 'VIP')} that nobody answers for"


def _withdrawals(preview: Preview) -> str:
    if not preview.routes:
        return "it announces no route"
    withdrawn = f"it withdraws {_count(len(preview.routes), 'route')}"
    if preview.is_partial:
        return f"{withdrawn}; what other hosts announce is not known here"
    return f"{withdrawn}; other hosts announce {sum(bool(route.others) for route in preview.routes)} of them"


def _announcements(routes: Sequence[RouteChange]) -> str:
    return f"it announces {_count(len(routes), 'route')} again" if routes else "it announces no route"


def _first(entries: Sequence[T], line: Callable[[T], str]) -> Iterator[str]:
    yield from map(line, entries[:_LISTED_MAX])
    if len(entries) > _LISTED_MAX:
        yield f"and {len(entries) - _LISTED_MAX} more"


def _named(move: HandOver) -> str:
    return f"{move.address} ({', '.join(move.services)})" if move.services else str(move.address)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
