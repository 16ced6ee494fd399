"""An API server as a test asks it: plain requests, none of them by the store that is tested."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

Content = dict[str, Any]

JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"
WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})


class ApiError(Exception):
    """An answer that is none of 2xx; `code` is its status."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Api:
    """One user's connections to one API server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def request(self, method: str, path: str, body: object = None, content_type: str = JSON) -> Content:
        """Ask for one thing; raises ApiError."""
        text = json.dumps(body) if body is not None else None
        headers = {"Content-Type": content_type}
        async with self._session.request(method, self._url + path, data=text, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise ApiError(answer.status, content.decode()[:500])
            found: Content = json.loads(content) if content.startswith(b"{") else {"text": content.decode()}
            return found

    async def get(self, path: str) -> Content:
        """Read one thing."""
        return await self.request("GET", path)

    async def create(self, path: str, body: Content) -> Content:
        """Add an object to a collection."""
        return await self.request("POST", path, body)

    async def patch(self, path: str, body: Content) -> Content:
        """Merge something into an object."""
        return await self.request("PATCH", path, body, MERGE_PATCH)

    async def delete(self, path: str) -> Content:
        """Remove an object."""
        return await self.request("DELETE", path)

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Content]]:
        """What changes from a version on, as pairs of the kind of change and the object; ends with the connection."""
        url = f"{self._url}{path}?watch=true&resourceVersion={version}"
        async with self._session.get(url) as answer:
            if answer.status >= 300:
                raise ApiError(answer.status, (await answer.read()).decode()[:500])
            rest = b""
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def written(self) -> int:
        """How many writes the server has answered since it was started, events of Services and leases not counted."""
        return sum(
            count
            for labels, count in await self.counted()
            if labels["verb"] in WRITES and labels["resource"] not in ("events", "leases")
        )

    async def counted(self) -> list[tuple[dict[str, str], int]]:
        """Every line of `apiserver_request_total`: its labels, and how many requests."""
        text = (await self.get("/metrics"))["text"]
        found = []
        for line in text.splitlines():
            if line.startswith("apiserver_request_total{"):
                inside, _, value = line.partition("{")[2].rpartition("} ")
                labels = dict(pair.split("=", 1) for pair in inside.split(","))
                found.append(({name: entry.strip('"') for name, entry in labels.items()}, int(float(value))))
        return found


@asynccontextmanager
async def api_of(kubeconfig: Path, connections: int = 100) -> AsyncIterator[Api]:
    """Ask the server of a kubeconfig as its user."""
    content = json.loads(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    connector = aiohttp.TCPConnector(ssl=context, limit=connections)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield Api(session, cluster["server"])


async def many(count: int, under_way: int, do: Any) -> None:
    """Do something for each number, so many at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await do(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(under_way):
            group.create_task(work(), name="work")
