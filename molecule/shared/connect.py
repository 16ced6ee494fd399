#!/usr/bin/env python3
"""Connects ssh to a machine of a run (machines.py): OpenSSH's ProxyCommand, with ProxyUseFdpass.

The connected socket goes to ssh over standard output, so nothing stays in between.

usage: connect.py RUN ADDRESS PORT
"""

import ctypes
import os
import socket
import sys

from machines import name_of

CLONE_NEWNET = 0x40000000
CONNECT_SECONDS = 5


def enter(namespace: str) -> None:
    """Move this process into a network namespace; raises OSError. Python has os.setns from 3.12 on."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(descriptor)


def main() -> int:
    """Connect and pass the socket on."""
    if len(sys.argv) != 4:
        sys.stderr.write(__doc__ or "")
        return 2
    run, address, port = sys.argv[1:]
    try:
        enter(name_of(run))
        connected = socket.create_connection((address, int(port)), timeout=CONNECT_SECONDS)
    except OSError as error:
        sys.stderr.write(f"connect.py: {address}: {error}\n")
        return 1
    connected.settimeout(None)
    with socket.socket(fileno=sys.stdout.fileno()) as ssh:
        socket.send_fds(ssh, [b"\0"], [connected.fileno()])
        ssh.detach()
    return 0


if __name__ == "__main__":
    sys.exit(main())
