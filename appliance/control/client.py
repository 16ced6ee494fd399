"""The asking end of a control socket; every function raises ControlError."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from appliance.control.error import ControlError, Fault
from appliance.control.message import AgentStatus, DrainRequest, VirtualIPVerdict
from appliance.control.text import from_json, to_json

if TYPE_CHECKING:
    from aiohttp import ClientResponse

T = TypeVar("T")

ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 10.0


async def read_status(path: Path, kind: type[T]) -> T:
    """The status of the program behind a socket."""
    return _decoded(path, kind, await _ask(path, "GET", "/v1/status"))


async def explain(path: Path, address: str) -> VirtualIPVerdict:
    """Everything an agent decided about one VIP; raises NOT_FOUND or INVALID for what is none."""
    return _decoded(path, VirtualIPVerdict, await _ask(path, "GET", f"/v1/explain/{quote(address, safe='')}"))


async def drain(path: Path, wanted: bool) -> None:
    """Move everything away from an agent's host, or let it come back."""
    await _ask(path, "POST", "/v1/drain", to_json(DrainRequest(drain=wanted)))


async def read_events(path: Path) -> list[dict[str, object]]:
    """What happened lately, oldest first."""
    return _decoded(path, list[dict[str, object]], await _ask(path, "GET", "/v1/events"))


def watch_agent(path: Path) -> AsyncGenerator[AgentStatus]:
    """An agent's status now and after each change."""
    return watch_status(path, AgentStatus)


async def watch_status(path: Path, kind: type[T]) -> AsyncGenerator[T]:
    """A program's status now, after each change and as a heartbeat; raises LOST when the program ends."""
    async with _answer(path, "GET", "/v1/watch", None, SILENCE_SECONDS) as response:
        parts: list[bytes] = []
        async for chunk in response.content.iter_any():
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                yield _decoded(path, kind, b"".join([*parts, line]))
                parts = []
            parts.append(rest)
    raise ControlError(Fault.LOST, str(path))


async def _ask(path: Path, method: str, route: str, content: bytes | None = None) -> bytes:
    async with _answer(path, method, route, content, ANSWER_SECONDS) as response:
        return await response.read()


@asynccontextmanager
async def _answer(
    path: Path, method: str, route: str, content: bytes | None, silence_seconds: float
) -> AsyncIterator["ClientResponse"]:
    """A good answer; `silence_seconds` may pass without a byte of it."""
    from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
    from aiohttp.client_exceptions import UnixClientConnectorError

    timeout = ClientTimeout(total=None, sock_connect=ANSWER_SECONDS, sock_read=silence_seconds)
    try:
        async with (
            ClientSession(connector=UnixConnector(str(path)), timeout=timeout) as session,
            session.request(method, f"http://pierhead{route}", data=content) as response,
        ):
            if response.status >= 400:
                raise _refusal(path, await response.read())
            yield response
    except UnixClientConnectorError as error:
        fault = Fault.DENIED if isinstance(error.os_error, PermissionError) else Fault.NOT_RUNNING
        raise ControlError(fault, str(path)) from error
    except TimeoutError as error:
        raise ControlError(Fault.TIMED_OUT, str(path)) from error
    except (ClientError, OSError) as error:
        raise ControlError(Fault.LOST, str(path)) from error


def _refusal(path: Path, content: bytes) -> ControlError:
    """The error a server wrote, its sentence unchanged."""
    try:
        written = json.loads(content)
        subject, _, detail = str(written["error"]).partition(": ")
        return ControlError(Fault[written["fault"]], subject, detail)
    except (ValueError, KeyError, TypeError):
        return ControlError(Fault.PROTOCOL, str(path))


def _decoded(path: Path, kind: type[T], content: bytes) -> T:
    try:
        return from_json(kind, content)
    except ValueError as error:
        raise ControlError(Fault.PROTOCOL, str(path), f"{Fault.PROTOCOL.value} ({error})") from error
