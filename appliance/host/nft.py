"""The kernel's packet filter: transactions and listings through libnftables(3), other people's changes by netlink.

The library is what `nft` itself consists of. Called in here a transaction of one VIP costs a tenth of a millisecond;
starting `nft` for it costs five, and on a busy machine three times that.
"""

import asyncio
import contextlib
import ctypes
import errno
import functools
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
_LIBRARY = "libnftables.so.1"
_OUTPUT_JSON, _OUTPUT_NUMERIC = 1 << 4, 0b1111 << 7


class NftError(Exception):
    """The library is missing or refused what it was given, or notifications cannot be had; the message is its own."""


class Nft:
    """The tables named `pierhead` of this network namespace, or of the one that `enter` brings a thread into.

    The library keeps the interfaces' names for the whole process, so that all that is asked of it is asked in one
    thread, one after the other.
    """

    def __init__(self, enter: Callable[[], None] = lambda: None) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nft", initializer=enter)
        self._own_marks: deque[bytes] = deque(maxlen=_REMEMBERED)

    async def apply(self, text: str, revision: str) -> None:
        """Make one transaction, which marks the tables with a revision; one that is refused changes nothing."""
        # Noted before it is made: the kernel tells of it before the library is done.
        self._own_marks.append(revision_mark(revision).encode() + b"\0")
        await self._run(text)

    async def read(self) -> KernelTables:
        """The tables as they are, as empty ones where they hold what we never write; raises NftError."""
        present = await self._listed("list tables")
        tables = [entry["table"] for entry in present if "table" in entry]
        own = [table["family"] for table in tables if table["name"] == TABLE and table["family"] in FAMILIES]
        entries = [entry for family in own for entry in await self._listed(f"list table {family} {TABLE}")]
        try:
            return read_listing(entries)
        except ValueError:
            return KernelTables()

    async def clear(self) -> None:
        """Remove the tables."""
        await self._run(render_removal())

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

    async def _listed(self, command: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = json.loads(await self._run(command, _OUTPUT_JSON | _OUTPUT_NUMERIC))["nftables"]
        return entries

    async def _run(self, text: str, output: int = 0) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _run, text, output)


def _run(text: str, output: int) -> str:
    """Have the library read a text, in a context of its own: nothing is left of one call for the next."""
    library = _library()
    context = library.nft_ctx_new(0)
    try:
        library.nft_ctx_output_set_flags(context, output)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        refused = library.nft_run_cmd_from_buffer(context, text.encode())
        if refused:
            complaint: bytes = library.nft_ctx_get_error_buffer(context)
            raise NftError(complaint.decode(errors="replace").strip())
        told: bytes = library.nft_ctx_get_output_buffer(context)
        return told.decode()
    finally:
        library.nft_ctx_free(context)


@functools.cache
def _library() -> ctypes.CDLL:
    """The library with the types of what is used of it; raises NftError where it is not installed."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NftError(str(error)) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for function in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
        function.argtypes, function.restype = (ctypes.c_void_p,), ctypes.c_char_p
    for function in (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error, library.nft_ctx_free):
        function.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return library


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
