"""One HTTP session with an API server: requests, streams, time-outs, and what each status code means."""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import Enum
from typing import cast

import aiohttp
from pydantic_core import from_json, to_json

from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.kubernetes.access import Access, TokenSource
from appliance.store.kubernetes.kubeconfig import AccessError
from appliance.store.protocol import StoreError

REQUEST_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
# Shorter than the server's, so that no request goes out on a connection that is being closed.
_IDLE_SECONDS = 45.0
_USER_AGENT = "pierhead"
_JSON = "application/json"


class Verb(Enum):
    """What a request asks for, as RBAC names it, and its HTTP method."""

    GET = ("get", "GET")
    LIST = ("list", "GET")
    WATCH = ("watch", "GET")
    CREATE = ("create", "POST")
    UPDATE = ("update", "PUT")
    PATCH = ("patch", "PATCH")
    DELETE = ("delete", "DELETE")

    def __init__(self, title: str, method: str) -> None:
        self.title = title
        self.method = method


class ExpiredError(StoreError):
    """The server no longer has the version it was asked to go on from (410): all is to be listed anew."""

    def __init__(self, subject: Ref | str, detail: str) -> None:
        super().__init__(StoreRefusal.UNAVAILABLE, subject, detail)


Content = dict[str, object]


class Connection:
    """Requests to one API server; `requests` counts them by verb and status code ("" where none came).

    The session is open while somebody holds or uses it, so that a program that watches keeps its connections and a
    command leaves nothing behind.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Awaitable[Access]],
        tokens: TokenSource | None = None,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self._name = name
        self._load = load
        self._tokens = tokens
        self._request_seconds = request_seconds
        self._access: Access | None = None
        self._session: aiohttp.ClientSession | None = None
        self._holders = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Keep the session open within the block."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, socket_factory=_watchful_socket)
            self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": _USER_AGENT})
        self._holders += 1
        session = self._session
        try:
            yield session
        finally:
            self._holders -= 1
            if not self._holders:
                self._session = None
                await session.close()

    async def request(
        self,
        verb: Verb,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = _JSON,
        subject: Ref | str = "",
    ) -> Content:
        """What the server answers; raises StoreError with the refusal that its status code means."""
        about = subject or path
        try:
            async with (
                asyncio.timeout(self._request_seconds),
                self._answer(verb, path, query or {}, body=body, content_type=content_type, about=about) as answer,
            ):
                return _content(await answer.read(), about)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(verb, about, error) from error

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a watch as they come; raises StoreError where it breaks."""
        try:
            async with asyncio.timeout(self._request_seconds) as beginning:
                async with self._answer(
                    Verb.WATCH, path, query, body=None, content_type=_JSON, about=subject
                ) as answer:
                    beginning.reschedule(None)
                    yield answer.content.iter_any()
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(Verb.WATCH, subject, error) from error

    @asynccontextmanager
    async def _answer(
        self, verb: Verb, path: str, query: Mapping[str, str], *, body: object, content_type: str, about: Ref | str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer; credentials that are refused are read anew, once."""
        async with self.held() as session:
            for is_last in (False, True):
                access = await self.access()
                token = access.tokens.token()
                headers = {"Accept": _JSON, "Content-Type": content_type}
                if token or access.basic:
                    headers["Authorization"] = f"Bearer {token}" if token else f"Basic {access.basic}"
                async with session.request(
                    verb.method,
                    access.server + path,
                    params=query,
                    data=None if body is None else to_json(body),
                    headers=headers,
                    ssl=access.tls,
                    proxy=access.proxy,
                    server_hostname=access.server_name,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                    allow_redirects=False,
                ) as answer:
                    self.requests[verb.title, str(answer.status)] += 1
                    if answer.status == 401 and not is_last:
                        access.tokens.refuse(token)
                        self._access = None
                        continue
                    if answer.status >= 300:
                        raise await _refusal(answer, about)
                    try:
                        yield answer
                    finally:
                        # Not read to its end, like a watch: TLS would wait half a minute for the server's farewell.
                        if answer.connection and answer.connection.transport:
                            answer.connection.transport.abort()
                    return

    def _unanswered(self, verb: Verb, about: Ref | str, error: Exception) -> StoreError:
        self.requests[verb.title, ""] += 1
        text = f"no answer within {self._request_seconds:g} s" if isinstance(error, TimeoutError) else _sentence(error)
        return StoreError(StoreRefusal.UNAVAILABLE, about, text or type(error).__name__)

    async def access(self) -> Access:
        """How the server is reached; raises StoreError where nothing says it."""
        return self._access or await self._read_access()

    async def _read_access(self) -> Access:
        try:
            access = await self._load()
        except AccessError as error:
            raise StoreError(StoreRefusal.UNAVAILABLE, self._name, str(error)) from error
        self._access = replace(access, tokens=self._tokens) if self._tokens else access
        return self._access


def _sentence(error: Exception) -> str:
    """Why there is no answer; aiohttp's own text names objects of Python."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"{error.host}:{error.port}: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            known = errno.errorcode.get(error.os_error.errno or 0, "")
            is_kernels = known and not isinstance(error, aiohttp.ClientSSLError)
            why = os.strerror(error.os_error.errno or 0) if is_kernels else error.os_error.strerror
            return f"{error.host}:{error.port}: {why or error.os_error}"
        case _:
            return str(error)


def _watchful_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices within half a minute that nobody is at the other end any more."""
    made = socket.socket(info[0], info[1], info[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made


async def _refusal(answer: aiohttp.ClientResponse, about: Ref | str) -> StoreError:
    """A refused request as the exception it is; the text is the server's own (a Status object)."""
    try:
        status = _content(await answer.read(), about)
    except StoreError:
        status = {}
    detail = str(status.get("message") or answer.reason or answer.status)
    if answer.status == 410:
        return ExpiredError(about, detail)
    return StoreError(
        refusal_of(answer.status, str(status.get("reason", ""))), about, detail, _retry_seconds(answer.headers)
    )


def refusal_of(code: int, reason: str) -> StoreRefusal:
    """What a status code means for the one object it was answered for.

    https://kubernetes.io/docs/reference/using-api/api-concepts/ and "HTTP Status codes" of the API conventions
    """
    match code:
        case 409:
            return StoreRefusal.EXISTS if reason == "AlreadyExists" else StoreRefusal.CONFLICT
        case 403:
            return StoreRefusal.FORBIDDEN
        case 404:
            return StoreRefusal.NOT_FOUND
        case 429:
            return StoreRefusal.THROTTLED
        case 400 | 405 | 406 | 413 | 415 | 422:
            return StoreRefusal.INVALID
        case _:
            return StoreRefusal.UNAVAILABLE


def _retry_seconds(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds (RFC 9110 section 10.2.3); the API server sends no dates."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _content(text: bytes, about: Ref | str) -> Content:
    try:
        content = from_json(text)
    except ValueError as error:
        raise StoreError(StoreRefusal.UNAVAILABLE, about, f"the answer is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(StoreRefusal.UNAVAILABLE, about, "the answer is no object")
    return cast(Content, content)
