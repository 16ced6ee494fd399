"""What stands between a store and an API server in tests of faults; it passes everything on, unless told."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.cluster.control_plane import ControlPlane

_HOP = frozenset({"host", "connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding"})


def status(code: int, reason: str, message: str = "as the test wants it") -> dict[str, object]:
    """A Status object as the API server answers it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def is_watch(request: web.BaseRequest) -> bool:
    """Whether a request is for a watch."""
    return "watch" in request.query


class Proxy:
    """Plain HTTP on loopback in front of a control plane; requests without a token go on as the administrator's.

    `answer` may answer a request itself, `cut_after` is how many bytes of a watch's answer go through before the
    connection ends, `is_cut` ends every connection at once, and `is_slow` sends a watch in pieces of a few bytes.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        self.answer: Callable[[web.BaseRequest], web.Response | None] = lambda _: None
        self.cut_after: Callable[[], int | None] = lambda: None
        self.is_cut = False
        self.is_slow = False
        self.seen: Counter[tuple[str, str]] = Counter()
        self.url = ""
        self._control_plane = control_plane
        self._watches: set[asyncio.Transport] = set()

    def cut(self) -> None:
        """End all watches, and every connection from now on."""
        self.is_cut = True
        self.cut_once()

    def cut_once(self) -> None:
        """End all watches, those that are not answered yet among them."""
        for transport in self._watches:
            transport.abort()

    def kubeconfig(self, folder: Path, **user: str) -> Path:
        """A kubeconfig that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "proxy", "user": user}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        path = folder / "proxy.kubeconfig"
        path.write_text(json.dumps(content))
        return path

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Serve within the block."""
        context = ssl.create_default_context(cafile=str(self._control_plane.certificate_authority))
        admin = ssl.create_default_context(cafile=str(self._control_plane.certificate_authority))
        admin.load_cert_chain(self._control_plane.folder / "admin.crt", self._control_plane.folder / "admin.key")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:

            async def pass_on(request: web.BaseRequest) -> web.StreamResponse:
                return await self._pass_on(request, session, context if "Authorization" in request.headers else admin)

            server = web.Server(pass_on)
            runner = web.ServerRunner(server, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                self.cut()
                await runner.cleanup()

    async def _pass_on(
        self, request: web.BaseRequest, session: aiohttp.ClientSession, context: ssl.SSLContext
    ) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self.seen[request.method, "watch" if is_watch(request) else ""] += 1
        if self.is_cut:
            transport.abort()
            return web.Response()
        if (answer := self.answer(request)) is not None:
            return answer
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _HOP}
        if is_watch(request):
            self._watches.add(transport)
        try:
            async with session.request(
                request.method,
                self._control_plane.url + request.path_qs,
                data=await request.read(),
                headers=headers,
                ssl=context,
            ) as upstream:
                try:
                    return await self._send(request, upstream, transport)
                finally:
                    # What was not read to its end is not waited for, either.
                    if upstream.connection and upstream.connection.transport:
                        upstream.connection.transport.abort()
        except aiohttp.ClientError:
            transport.abort()
            return web.Response()
        finally:
            self._watches.discard(transport)

    async def _send(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse, transport: asyncio.Transport
    ) -> web.StreamResponse:
        kept = {
            name: text for name, text in upstream.headers.items() if name.lower() in ("content-type", "retry-after")
        }
        response = web.StreamResponse(status=upstream.status, headers=kept)
        left = self.cut_after() if is_watch(request) else None
        try:
            await response.prepare(request)
            async for piece in upstream.content.iter_any():
                step = 7 if self.is_slow else len(piece)
                for begin in range(0, len(piece), step):
                    part = piece[begin : begin + step]
                    await response.write(part if left is None else part[:left])
                    if left is not None and (left := left - len(part)) <= 0:
                        transport.close()
                        return response
            await response.write_eof()
        except ConnectionError:
            transport.abort()
        return response
