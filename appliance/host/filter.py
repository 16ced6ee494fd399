"""Kernel filters on sockets: classic BPF programs (Linux, networking/filter)."""

import ctypes
import socket
import struct
from collections.abc import Sequence

_SO_ATTACH_FILTER = 26

Instruction = tuple[int, int, int, int]


def attach_filter(opened: socket.socket, program: Sequence[Instruction]) -> None:
    """Let the kernel pass over what a program drops; each step is (code, jump if true, jump if false, operand)."""
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(steps)))
