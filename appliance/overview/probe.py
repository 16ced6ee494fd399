"""Whether the application behind an address answers: a TCP connection, or an HTTP request, from this machine."""

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import IPAddress
from appliance.api.text import clean_text

TARGETS_MAX = 32
_SECONDS = 2.0
_AT_ONCE = 8
_LINE_BYTES_MAX = 1024
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL})


class Answering(Enum):
    """What became of a probe; FAILS is HTTP status 500 or more."""

    ACCEPTS = "accepts connections"
    ANSWERS = "answers"
    FAILS = "answers with an error"
    REFUSES = "refuses the connection"
    SILENT = "does not answer"
    UNREACHABLE = "cannot be reached from this machine"
    BREAKS_OFF = "ends the connection without an answer"

    @property
    def is_good(self) -> bool:
        """Whether the application does its part."""
        return self in (Answering.ACCEPTS, Answering.ANSWERS)


@dataclass(frozen=True, slots=True)
class Answer:
    """How one port of an address took a probe, after how long; `detail` is HTTP's first line, or the kernel's word."""

    address: IPAddress
    port: int
    outcome: Answering
    milliseconds: float
    detail: str = ""


async def probe(
    targets: Sequence[tuple[IPAddress, int]], *, http_path: str = "", seconds: float = _SECONDS
) -> tuple[Answer, ...]:
    """Ask some TCP ports, each once and for so long at most; with `http_path`, over HTTP; the first TARGETS_MAX."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def ask(address: IPAddress, port: int) -> Answer:
        async with room:
            return await _ask(address, port, http_path, seconds)

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(*target), name=f"probe {target}") for target in targets[:TARGETS_MAX]]
    return tuple(each.result() for each in asked)


async def _ask(address: IPAddress, port: int, http_path: str, seconds: float) -> Answer:
    clock = asyncio.get_running_loop().time
    began = clock()
    detail = ""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(str(address), port, limit=_LINE_BYTES_MAX)
            try:
                outcome = Answering.ACCEPTS
                if http_path:
                    outcome, detail = await _request(reader, writer, address, http_path)
            finally:
                writer.close()
    except TimeoutError:
        outcome = Answering.SILENT
    except ConnectionRefusedError:
        outcome = Answering.REFUSES
    except ConnectionError:
        outcome = Answering.BREAKS_OFF
    except OSError as error:
        outcome = Answering.UNREACHABLE if error.errno in _UNREACHABLE else Answering.SILENT
        detail = error.strerror or ""
    return Answer(address, port, outcome, round((clock() - began) * 1000, 1), detail)


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: IPAddress, path: str
) -> tuple[Answering, str]:
    host = f"[{address}]" if address.version == 6 else str(address)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pierhead\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    await writer.drain()
    try:
        line = await reader.readline()
    except ValueError:
        return Answering.BREAKS_OFF, "the first line has no end"
    text = str(clean_text(line.decode("latin-1").strip()))
    words = text.split()
    if not words or not words[0].startswith("HTTP/"):
        return Answering.BREAKS_OFF, text
    is_error = len(words) > 1 and words[1].isdigit() and int(words[1]) >= 500
    return (Answering.FAILS if is_error else Answering.ANSWERS), text
