"""A package index (PEP 503) over a folder of wheels, for those who know its password.

usage: index.py FOLDER ADDRESS PORT USER:PASSWORD
"""

import re
import sys
from base64 import b64encode
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

FOLDER, ADDRESS, PORT, PASSWORD = sys.argv[1:]
AUTHORIZATION = f"Basic {b64encode(PASSWORD.encode()).decode()}"


def normalized(name: str) -> str:
    """A project's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Handler(SimpleHTTPRequestHandler):
    """Pages of projects at /simple/NAME/, and the wheels they link to."""

    def __init__(self, *rest: object) -> None:
        super().__init__(*rest, directory=FOLDER)  # type: ignore[arg-type]  # what the server gives

    def do_GET(self) -> None:
        """Answer who has the password."""
        if self.headers.get("Authorization") != AUTHORIZATION:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif project := re.fullmatch(r"/simple/([^/]+)/", self.path):
            wheels = [path.name for path in Path(FOLDER).iterdir() if normalized(path.name.split("-")[0]) == project[1]]
            page = "".join(f'<a href="/{wheel}">{wheel}</a>\n' for wheel in wheels).encode()
            self.send_response(200 if wheels else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            super().do_GET()


# Not HTTPServer, which asks for its own name where nobody answers.
ThreadingTCPServer((ADDRESS, int(PORT)), Handler).serve_forever()
