"""The lab's backend: answers every HTTP request with its own name and the client address it saw."""

import argparse
import asyncio
import ipaddress

from aiohttp import web

_KEEP_ALIVE_SECONDS = 3600.0


def _client(request: web.Request) -> str:
    """The address the connection came from; IPv4 clients as such, not mapped into IPv6."""
    address = ipaddress.ip_address(request.remote or "::")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def application(name: str) -> web.Application:
    """An application that answers any path with the backend's name and the client's address."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"backend": name, "client": _client(request)})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def run(name: str, port: int) -> None:
    """Serve both families until cancelled."""
    runner = web.AppRunner(application(name), access_log=None, keepalive_timeout=_KEEP_ALIVE_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, None, port, backlog=1024).start()
    await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.name, arguments.port))


if __name__ == "__main__":
    main()
