"""HTTP as the story's clients speak it: sockets that belong to a namespace, answers of the lab's backends."""

import asyncio
import json
import socket
import sys
from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.lab import namespace

_HEADER_END = b"\r\n\r\n"
_TCP_INFO_BYTES = 104  # of Linux' tcp_info (linux/tcp.h), up to and with tcpi_total_retrans


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """What a client in a namespace asks."""

    client: str
    address: IPAddress
    port: int = 80

    def __str__(self) -> str:
        return str(self.address) if self.address.version == 4 else f"[{self.address}]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend said: its own name, and the client address it saw."""

    backend: str
    client: str

    @property
    def host(self) -> str:
        """The host that the backend stands on."""
        return self.backend.rpartition("-")[0]


class NoAnswerError(Exception):
    """A request that was not answered; the text says why not."""


def open_socket(client: str, address: IPAddress, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket that stays in the client's namespace, of the family of the address it is for."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with namespace.inside(client):
        opened = socket.socket(family, kind)
    opened.setblocking(False)
    return opened


class KeptConnection:
    """One connection that is kept open from one request to the next."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    async def ask(self, timeout_seconds: float) -> Answer:
        """Send one request and read its answer; raises NoAnswerError."""
        try:
            async with asyncio.timeout(timeout_seconds):
                self._writer.write(self._request)
                head = await self._reader.readuntil(_HEADER_END)
                return _answer(await self._reader.readexactly(_content_length(head)))
        except TimeoutError:
            raise NoAnswerError("timeout") from None
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error

    def was_opened_at_once(self) -> bool:
        """Whether its first packet came through: whoever sends that again (after 1 s, RFC 6298) lost one on the way."""
        told = self._writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        return not int.from_bytes(told[-4:], sys.byteorder)

    def close(self) -> None:
        """Give the connection up."""
        self._writer.transport.abort()


async def connect(target: HttpTarget, timeout_seconds: float) -> KeptConnection:
    """Open a connection; raises NoAnswerError."""
    opened = open_socket(target.client, target.address)
    try:
        async with asyncio.timeout(timeout_seconds):
            await asyncio.get_running_loop().sock_connect(opened, (str(target.address), target.port))
            reader, writer = await asyncio.open_connection(sock=opened)
    except (OSError, TimeoutError) as error:
        opened.close()
        raise NoAnswerError(str(error) or "timeout") from error
    except asyncio.CancelledError:
        opened.close()
        raise
    return KeptConnection(reader, writer, str(target))


async def get(target: HttpTarget, timeout_seconds: float) -> Answer:
    """One request on a connection of its own; raises NoAnswerError, also where its first packet was lost."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    channel = await connect(target, timeout_seconds)
    try:
        if not channel.was_opened_at_once():
            raise NoAnswerError("its first packet was lost")
        return await channel.ask(deadline - asyncio.get_running_loop().time())
    finally:
        channel.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError("an answer without Content-Length")


def _answer(body: bytes) -> Answer:
    content = json.loads(body)
    return Answer(str(content["backend"]), str(content["client"]))
