"""A backend: answers every HTTP request with its machine's name and the address it was asked from."""

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv6Address

PORT = 5678


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as HTTP/1.1 does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        asked_from = IPv6Address(self.client_address[0])
        client = str(asked_from.ipv4_mapped or asked_from)
        body = json.dumps({"backend": socket.gethostname(), "client": client}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Listens on both families."""

    address_family = socket.AF_INET6
    request_queue_size = 256


Server(("::", PORT), Handler).serve_forever()
