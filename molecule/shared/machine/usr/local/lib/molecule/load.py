"""A client: asks URLs over and over, counts what was not answered, and says so in JSON at its end.

Some of it opens a connection a request, some of it keeps its connections. Exits 1 where a request was not answered in
time. Ends after --requests of each kind, or by SIGTERM when every request under way is answered.

usage: load.py [--requests N] [--kept N] [--timeout SECONDS] [--every SECONDS] [--report FILE] URL...
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Seen:
    """What came of the requests."""

    answered: int = 0
    slowest_milliseconds: int = 0
    failures: list[str] = field(default_factory=list)
    backends: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)

    def report(self) -> str:
        """All of it as JSON; of the failures the first few."""
        return json.dumps(
            {
                "answered": self.answered,
                "failed": len(self.failures),
                "slowest_milliseconds": self.slowest_milliseconds,
                "failures": self.failures[:20],
                "backends": sorted(self.backends),
                "clients": sorted(self.clients),
            }
        )


class Connection:
    """One connection, opened by its first request."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> dict[str, str]:
        """One request and its answer; raises OSError, EOFError, ValueError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"GET / HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
        answer: dict[str, str] = json.loads(await reader.readexactly(length))
        return answer

    def close(self) -> None:
        """Give it up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def ask_on(seen: Seen, url: str, kept: bool, arguments: argparse.Namespace, end: asyncio.Event) -> None:
    """Ask one URL until the end, on one connection or on one a request."""
    connection = Connection(url)
    count = 0
    while not end.is_set() and count != arguments.requests:
        count += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(arguments.timeout):
                answer = await connection.ask()
        except (OSError, EOFError, ValueError, StopIteration) as error:
            what = "kept connection" if kept else "new connection"
            seen.failures.append(f"{time.time():.3f} {url} {what}: {type(error).__name__} {error}")
            connection.close()
        else:
            seen.answered += 1
            seen.backends.add(answer["backend"])
            seen.clients.add(answer["client"])
        took = time.monotonic() - began
        seen.slowest_milliseconds = max(seen.slowest_milliseconds, round(took * 1000))
        if not kept:
            connection.close()
        try:
            await asyncio.wait_for(end.wait(), max(0.0, arguments.every - took))
        except TimeoutError:
            continue
    connection.close()


async def run(arguments: argparse.Namespace) -> Seen:
    """All of them at once."""
    seen, end = Seen(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with asyncio.TaskGroup() as group:
        for url in arguments.urls:
            for kept in (False, *[True] * arguments.kept):
                group.create_task(ask_on(seen, url, kept, arguments, end))
    return seen


def main() -> int:
    """Read the command line and ask."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=-1, help="of each connection or kind; default: until SIGTERM")
    parser.add_argument("--kept", type=int, default=0, help="connections to each URL that are kept open")
    parser.add_argument("--timeout", type=float, default=3.0)
    parser.add_argument("--every", type=float, default=0.02, help="seconds from one request to the next")
    parser.add_argument("--report", type=Path)
    parser.add_argument("urls", nargs="+", metavar="URL")
    arguments = parser.parse_args()
    seen = asyncio.run(run(arguments))
    sys.stdout.write(f"{seen.report()}\n")
    if arguments.report:
        arguments.report.write_text(seen.report())
    return 1 if seen.failures else 0


if __name__ == "__main__":
    sys.exit(main())
