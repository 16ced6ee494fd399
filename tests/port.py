"""TCP ports for servers of tests."""

import random
import socket

# Below those that the kernel gives to connections (ip_local_port_range): none takes a port before its server has it,
# nor does a client that asks again and again until somebody listens ever come upon itself.
_FIRST, _LAST = 20_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody has on any address, and that was not given before."""
    while True:
        port = random.randint(_FIRST, _LAST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True):
            return True
    except OSError:
        return False
