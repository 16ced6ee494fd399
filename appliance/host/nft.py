"""The kernel's packet filter: transactions and listings through `nft`, other people's changes by netlink."""

import asyncio
import contextlib
import errno
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Sequence

from appliance.forward.change import revision_mark
from appliance.forward.listing import KernelTables, read_listing
from appliance.forward.structure import FAMILIES, TABLE, render_removal

_NETLINK_NETFILTER = 12
_NFNLGRP_NFTABLES = 7
_NFT_MSG_NEWCHAIN, _NFT_MSG_NEWGEN = 3, 15
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 16 * 2**20
_DATAGRAM_BYTES = 2**17
_REMEMBERED = 8


class NftError(Exception):
    """`nft` cannot be run or refused what it was given, or its notifications cannot be had; the message is its own."""


class Nft:
    """The tables named `pierhead` of this network namespace, or of the one that `command` enters."""

    def __init__(self, command: Sequence[str] = ("nft",)) -> None:
        self._command = tuple(command)
        self._own_marks: deque[bytes] = deque(maxlen=_REMEMBERED)

    async def apply(self, text: str, revision: str) -> None:
        """Make one transaction, which marks the tables with a revision; one that is refused changes nothing."""
        # Noted before it is made: the kernel tells of it before `nft` ends.
        self._own_marks.append(revision_mark(revision).encode() + b"\0")
        await self._run(("-f", "-"), text)

    async def check(self, text: str) -> None:
        """Ask whether the kernel would take a text; raises NftError where it would not."""
        await self._run(("-c", "-f", "-"), text)

    async def read(self) -> KernelTables:
        """The tables as they are, as empty ones where they hold what we never write; raises NftError."""
        present = json.loads(await self._run(("-j", "list", "tables"), ""))["nftables"]
        tables = [entry["table"] for entry in present if "table" in entry]
        own = [table["family"] for table in tables if table["name"] == TABLE and table["family"] in FAMILIES]
        listed = [json.loads(await self._run(("-j", "-nn", "list", "table", family, TABLE), "")) for family in own]
        try:
            return read_listing([entry for document in listed for entry in document["nftables"]])
        except ValueError:
            return KernelTables()

    async def clear(self) -> None:
        """Remove the tables."""
        await self._run(("-f", "-"), render_removal())

    async def watch(self) -> AsyncIterator[None]:
        """An item now, and one after each change of the tables that was not made by `apply`; raises NftError."""
        try:
            with _listening_socket() as listener:
                yield
                is_touched = is_own = False
                while True:
                    datagram = await _next_datagram(listener)
                    if datagram is None:
                        yield
                        continue
                    is_touched |= TABLE.encode() + b"\0" in datagram
                    is_own |= is_touched and self._adds_own_mark(datagram)
                    # The message that a transaction ends with comes alone.
                    if _kind_at(datagram, 0) == _NFT_MSG_NEWGEN:
                        if is_touched and not is_own:
                            yield
                        is_touched = is_own = False
        except OSError as error:
            raise NftError(f"nftables notifications: {error.strerror}") from error

    def _adds_own_mark(self, datagram: bytes) -> bool:
        """Whether a chain is added here that `apply` marks a transaction with; whoever flushes removes such a chain."""
        found = [datagram.find(mark) for mark in self._own_marks]
        return any(at >= 0 and _kind_at(datagram, at) == _NFT_MSG_NEWCHAIN for at in found)

    async def _run(self, arguments: tuple[str, ...], text: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise NftError(f"{self._command[0]}: {error.strerror}") from error
        output, complaint = await process.communicate(text.encode())
        if process.returncode != 0:
            raise NftError(complaint.decode(errors="replace").strip())
        return output.decode()


def _listening_socket() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
    try:
        with contextlib.suppress(PermissionError):
            listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        listener.bind((0, 0))
        listener.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
    except OSError:
        listener.close()
        raise
    return listener


async def _next_datagram(listener: socket.socket) -> bytes | None:
    """The next notifications, or None where some were lost."""
    try:
        return await asyncio.get_running_loop().sock_recv(listener, _DATAGRAM_BYTES)
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return None


def _kind_at(datagram: bytes, place: int) -> int:
    """The kind of the message that holds a place in a datagram."""
    begin = 0
    while True:
        length, kind = struct.unpack_from("=IH", datagram, begin)
        if begin + length > place:
            return int(kind & 0xFF)
        begin += (length + 3) & ~3
