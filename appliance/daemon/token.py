"""The token this host shows an API server: the newer of what its kubeconfig holds and what its agent was given since.

`pierhead host-credentials` makes the first one. The agent has it renewed long before it ends and keeps the new one
beside its feed; the forwarder and the commands read it there. A token that is refused has both files read anew, so that
a new kubeconfig is taken without a restart. A unit may be given one kubeconfig as a credential (systemd.exec(5)), which
is as it was when the unit started: its programs need no right to that file itself, and read it too where they have one.
"""

import asyncio
import base64
import contextlib
import json
import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import structlog

from appliance.api.kind import Kind
from appliance.api.refusal import StoreRefusal
from appliance.api.yaml import BadYAML, load_documents
from appliance.daemon.settings import HostSettings
from appliance.daemon.systemd import credential
from appliance.host.file import replace_file
from appliance.store.kubernetes.connection import Connection, Verb
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.open import open_store, parse_store_url
from appliance.store.protocol import Store, StoreError
from appliance.store.scope import Scope

log = structlog.get_logger()

LIFE_SECONDS_MIN, LIFE_SECONDS_MAX = 600, 86400  # the API server's least, and the policy's most
# The name of the units' credential (LoadCredential=), and the kubeconfig that it is read in place of.
KUBECONFIG = "kubeconfig"
KUBECONFIG_PATH = Path("/etc/pierhead/kubeconfig")
_SUBJECT = ["system", "serviceaccount"]
_MODE_MAX = 0o640


@dataclass(frozen=True, slots=True)
class Token:
    """A ServiceAccount's token (RFC 7519): when it was given and when it ends, in seconds since 1970."""

    text: str
    namespace: str
    account: str
    given: float
    ends: float

    @property
    def life_seconds(self) -> float:
        """How long it is good for."""
        return self.ends - self.given

    @property
    def end(self) -> str:
        """When it ends, as RFC 3339 text."""
        return datetime.fromtimestamp(self.ends, UTC).isoformat(timespec="seconds")


def read_token(text: str) -> Token | None:
    """What a token says of itself, which only its server can check; None where it is no ServiceAccount's."""
    try:
        body = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        *subject, namespace, account = str(claims["sub"]).split(":")
        given, ends = float(claims["iat"]), float(claims["exp"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    is_one = subject == _SUBJECT and math.isfinite(given) and math.isfinite(ends)
    return Token(text, namespace, account, given, ends) if is_one else None


async def request_token(connection: Connection, namespace: str, account: str, seconds: int) -> Token:
    """A new token of a ServiceAccount; the server may make it for less time than asked for. Raises StoreError.

    https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
    """
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    subject = f"token of ServiceAccount {namespace}/{account}"
    answer = await connection.request(Verb.CREATE, path, body=asked, subject=subject)
    made = read_token(str(_mapping(answer.get("status")).get("token", "")))
    if made is None:
        raise StoreError(StoreRefusal.UNAVAILABLE, subject, "the answer has no token in it")
    return made


class HostToken:
    """A source of tokens for a store: one that was refused is not shown again while there is another."""

    def __init__(self, kubeconfig: Path, context: str, kept: Path, credential: Path | None = None) -> None:
        """`kubeconfig` is the file that operators know of, `credential` what is read in its place."""
        self.kubeconfig = kubeconfig
        self._read = credential or kubeconfig
        self.is_new = asyncio.Event()
        self._context = context
        self._kept = kept
        self._text: str | None = None
        self._refused: frozenset[str] = frozenset()

    @property
    def current(self) -> Token | None:
        """The token that is shown; None where it is none of a ServiceAccount, which nobody renews."""
        return read_token(self.token())

    @property
    def is_refused(self) -> bool:
        """Whether the server takes none of the tokens there are."""
        return self._text is not None and self._text in self._refused

    @property
    def takes_new_file(self) -> bool:
        """Whether a kubeconfig that is put at its place is found there without a restart."""
        return self._read == self.kubeconfig or os.access(self.kubeconfig, os.R_OK)

    def token(self) -> str:
        """The token to show next; "" as long as there is none."""
        if not self._text:
            is_first = self._text is None
            self._text = self._choose()
            if self._text and not is_first:
                self.is_new.set()
        return self._text

    def refuse(self, token: str) -> None:
        """The server did not take this token: look for another."""
        before = self._text
        self._refused |= {token}
        self._text = self._choose()
        if self._text != before:
            self.is_new.set()

    def keep(self, token: Token) -> None:
        """Show a token from now on, and keep it for the next start and for the forwarder; blocks, raises OSError.

        Whoever may read the kubeconfig may read the file, and nobody else.
        """
        self._text = token.text
        self._refused = frozenset()
        allowed = self._read.stat()
        replace_file(self._kept, token.text, allowed.st_mode & _MODE_MAX, allowed.st_gid)

    def _choose(self) -> str:
        """The newest of the tokens that were not refused, else the newest; of the account in the kubeconfig."""
        files = dict.fromkeys((self._read, self.kubeconfig))
        written = [text for file in files if (text := written_token(file, self._context))]
        kept = self._remembered()
        if written and not _is_same_account(max(written, key=_given), kept):
            kept = ""
        texts = [text for text in (*written, kept) if text]
        self._refused &= frozenset(texts)
        usable = [text for text in texts if text not in self._refused] or texts
        return max(usable, key=_given, default="")

    def _remembered(self) -> str:
        try:
            return self._kept.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""


class TokenRenewal:
    """Has this host's token renewed; `on_problem` hears what an operator has to do, and "" once it is done."""

    def __init__(
        self,
        source: HostToken,
        connection: Connection,
        on_problem: Callable[[str], None],
        *,
        first_seconds: tuple[float, float] = (0.0, 10.0),
        share: tuple[float, float] = (0.6, 0.7),
        retry_seconds: tuple[float, float] = (5.0, 60.0),
    ) -> None:
        """Renewed some seconds after the start, then when a `share` of the token's life has passed.

        Each is between two numbers, by chance, so that not all hosts ask at once. Only what this program has waited
        itself is counted: a host's clock may be wrong.
        """
        self._source = source
        self._connection = connection
        self._on_problem = on_problem
        self._first_seconds = first_seconds
        self._share = share
        self._retry_seconds = retry_seconds
        self._told = ""

    async def run(self) -> NoReturn:
        """Renew for ever; an API server that cannot be reached is asked again with back-off."""
        wait, failures = random.uniform(*self._first_seconds), 0
        while True:
            await self._sleep(wait)
            token = self._source.current
            if token is None:
                # A client certificate, or a token nobody here can renew, until another kubeconfig is there.
                wait = float("inf")
                self._tell("")
                continue
            try:
                renewed = await request_token(self._connection, token.namespace, token.account, _seconds(token))
            except StoreError as error:
                failures += 1
                first, longest = self._retry_seconds
                wait = min(first * 2.0 ** (failures - 1), longest) * random.uniform(0.75, 1.25)
                self._take_failure(token, error)
                continue
            failures = 0
            await self._keep(renewed)
            wait = renewed.life_seconds * random.uniform(*self._share)
            self._tell("")

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until there is another token."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                await self._source.is_new.wait()
        self._source.is_new.clear()

    async def _keep(self, token: Token) -> None:
        log.info("token_renewed", account=token.account, ends=token.end)
        try:
            await asyncio.to_thread(self._source.keep, token)
        except OSError as error:
            # It is shown all the same; a restart begins with the one before, while that is good.
            log.warning("token_not_kept", error=str(error))

    def _take_failure(self, token: Token, error: StoreError) -> None:
        """Say what is to be done where waiting does not help."""
        path, ends = self._source.kubeconfig, token.end
        again = f"`pierhead host-credentials {token.account}` makes a new kubeconfig, to be put at {path}"
        if not self._source.takes_new_file:
            again += ", after which agent and forwarder are to be restarted"
        if self._source.is_refused:
            self._tell(f"the API server takes no token of this host any more (the last was to end {ends}): {again}")
        elif error.refusal is StoreRefusal.FORBIDDEN:
            self._tell(f"this host's token ends {ends} and may not be renewed ({error}): {again}")
        else:
            log.info("token_not_renewed", error=str(error))

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            if problem:
                log.error("token_not_renewed", problem=problem)
            self._on_problem(problem)


def open_host_store(
    settings: HostSettings, scopes: Mapping[Kind, Scope], credential_of: Path = KUBECONFIG_PATH
) -> tuple[Store, HostToken | None]:
    """The store of a host's settings, and the source of its tokens where it names a kubeconfig with a token in it.

    The unit's credential is read in place of the file `credential_of`, and of no other that the settings may name.
    """
    token = host_token(settings, credential_of)
    return open_store(_readable(settings.store, credential_of), scopes=scopes, tokens=token), token


def renewal_of(store: Store, token: HostToken | None, on_problem: Callable[[str], None]) -> TokenRenewal | None:
    """What renews the tokens of a host's store; None where it shows none."""
    if token is None or not isinstance(store, KubernetesStore):
        return None
    return TokenRenewal(token, store.connection, on_problem)


def host_token(settings: HostSettings, credential_of: Path = KUBECONFIG_PATH) -> HostToken | None:
    """The source of this host's tokens; None where the store asks for none, or its kubeconfig has another way.

    A kubeconfig that cannot be read yet may have one.
    """
    named = parse_store_url(settings.store)
    if not named.is_kubernetes or not named.path:
        return None
    path = Path(named.path)
    given = credential(KUBECONFIG) if path == credential_of else None
    read = given or path
    if os.access(read, os.R_OK) and not written_token(read, named.context):
        return None
    return HostToken(path, named.context, settings.cache_directory / "token", given)


def _readable(store: str, credential_of: Path) -> str:
    """A store's URL with the file that is read in place of its kubeconfig."""
    named = parse_store_url(store)
    given = credential(KUBECONFIG) if named.is_kubernetes and Path(named.path) == credential_of else None
    _, mark, query = store.partition("?")
    return f"kubernetes:{given}{mark}{query}" if given else store


def written_token(kubeconfig: Path, context: str) -> str:
    """The token that a kubeconfig's user has; "" where there is none, or no kubeconfig."""
    try:
        document = next(iter(load_documents(kubeconfig.read_text())), None)
    except (OSError, BadYAML, UnicodeDecodeError):
        return ""
    config = _mapping(document)
    chosen = _named(config, "contexts", context or str(config.get("current-context", "")), "context")
    user = _named(config, "users", str(chosen.get("user", "")), "user")
    return str(user.get("token") or "").strip()


def _named(config: Mapping[str, object], part: str, name: str, field: str) -> Mapping[str, object]:
    """An entry of one of a kubeconfig's lists."""
    entries = config.get(part)
    for entry in entries if isinstance(entries, list) else ():
        if _mapping(entry).get("name") == name:
            return _mapping(_mapping(entry).get(field))
    return {}


def _seconds(token: Token) -> int:
    """For how long the next token is asked for: as this one, within what is allowed."""
    return int(min(max(token.life_seconds, LIFE_SECONDS_MIN), LIFE_SECONDS_MAX))


def _mapping(content: object) -> Mapping[str, object]:
    return content if isinstance(content, Mapping) else {}


def _is_same_account(one: str, other: str) -> bool:
    first, second = read_token(one), read_token(other)
    return (
        first is not None
        and second is not None
        and (first.namespace, first.account) == (second.namespace, second.account)
    )


def _given(text: str) -> float:
    token = read_token(text)
    return token.given if token else float("-inf")
