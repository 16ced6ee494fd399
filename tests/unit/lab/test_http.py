"""What a client's kernel knows of a connection."""

import asyncio
import socket

from appliance.lab.http import KeptConnection

DEADLINE_SECONDS = 60.0


async def kept(opened: socket.socket) -> KeptConnection:
    """A connection that is open."""
    reader, writer = await asyncio.open_connection(sock=opened)
    return KeptConnection(reader, writer, "x")


def client() -> socket.socket:
    """A socket that is not connected yet."""
    made = socket.socket()
    made.setblocking(False)
    return made


async def test_a_connection_whose_first_packet_was_lost_says_so() -> None:
    """The kernel of a server whose queue is full drops it; a second later it is sent again, and comes through."""
    loop = asyncio.get_running_loop()
    first, second = client(), client()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        await loop.sock_connect(first, listener.getsockname())
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
            connecting = group.create_task(loop.sock_connect(second, listener.getsockname()), name="second")
            await asyncio.sleep(0)
            assert not connecting.done()
            accepted, _ = listener.accept()
        connections = [await kept(each) for each in (first, second)]
        assert [each.was_opened_at_once() for each in connections] == [True, False]
        for each in connections:
            each.close()
        accepted.close()
