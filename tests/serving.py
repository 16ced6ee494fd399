"""Servers of tests that leave nothing behind: what is left open is warned of in whichever test the collector runs."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.port import free_port

Serve = Callable[[socket.socket], None]


class Server(socketserver.ThreadingTCPServer):
    """Its port may have served another connection a moment ago."""

    allow_reuse_address = True


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """The port of a server on 127.0.0.1, in threads of its own; every connection is closed when the block has ended.

    `serve` is called for each connection; the block ends once all calls have returned.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                serve(self.request)

    with Server(("127.0.0.1", free_port()), Handler) as server:
        listening = threading.Thread(target=server.serve_forever, args=(0.02,))
        listening.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            listening.join()


def saying(content: bytes) -> Serve:
    """A server that reads a request, says this and hangs up."""

    def serve(connection: socket.socket) -> None:
        if connection.recv(1024):
            connection.sendall(content)

    return serve


def say_nothing(connection: socket.socket) -> None:
    """Hear the client until it hangs up."""
    while connection.recv(1024):
        continue
