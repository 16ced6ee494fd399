"""How an API server is reached and who asks it: a kubeconfig, or what a Pod is given; read with the official client."""

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from appliance.store.kubernetes.kubeconfig import AccessError, choose_context, unusable

_TOKEN_SECONDS = 60.0
POD_CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class TokenSource(Protocol):
    """Where bearer tokens come from; both methods are called for every request, so they are quick."""

    def token(self) -> str:
        """The token to show next; "" where there is none."""

    def refuse(self, token: str) -> None:
        """The server did not take this token (401); whatever was remembered of it is to be read anew."""


class TokenFile:
    """A token that somebody else renews in a file: read anew once it is a minute old, or at once when it is refused."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._token = ""
        self._read_at: float | None = None

    def token(self) -> str:
        """The file's token; the last one that could be read where the file cannot be."""
        now = self._clock()
        if self._read_at is None or now - self._read_at > _TOKEN_SECONDS:
            try:
                self._token = self._path.read_text().strip()
            except (OSError, UnicodeDecodeError):
                return self._token
            self._read_at = now
        return self._token

    def refuse(self, token: str) -> None:
        """Read the file before the next request."""
        if token == self._token:
            self._read_at = None


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A token that stands in the kubeconfig itself, which is read anew as a whole where it is refused."""

    text: str = ""

    def token(self) -> str:
        """That token."""
        return self.text

    def refuse(self, token: str) -> None:
        """Nothing is remembered here."""


@dataclass(frozen=True, slots=True)
class Access:
    """An API server, and the credentials to show it; a `basic` one is a user name and password, encoded.

    `authority` are the certificates (PEM) that its own has to be signed with, "" for those this machine trusts.
    """

    server: str
    tls: ssl.SSLContext
    tokens: TokenSource
    basic: str = ""
    authority: str = ""
    proxy: str | None = None
    server_name: str | None = None


async def load_access(kubeconfig: Path | None, context: str | None, pod_credentials: Path = POD_CREDENTIALS) -> Access:
    """Read a kubeconfig; without one what a Pod is given, else the default kubeconfig; raises AccessError.

    https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
    """
    # A third of a second and 11 MiB that programs with another store do not spend.
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.client.rest import RESTClientObject
    from kubernetes.aio.config import ConfigException, load_kube_config
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    configuration: Any = Configuration()
    in_cluster = kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ
    tokens: TokenSource | None = None
    paths = str(kubeconfig or os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser())
    chosen = "" if in_cluster else choose_context(paths, context)
    try:
        if in_cluster:
            token = pod_credentials / "token"
            # The client has no types here.
            pod: Any = InClusterConfigLoader
            pod(str(token), str(pod_credentials / "ca.crt"), try_refresh_token=False).load_and_set(configuration)
            tokens = TokenFile(token)
        else:
            loaded = await load_kube_config(paths, chosen, configuration, False)  # type: ignore[no-untyped-call]  # likewise
            tokens = _token_file(loaded, paths)
        tls = RESTClientObject(configuration).ssl_context
        authority = Path(configuration.ssl_ca_cert).read_text() if configuration.ssl_ca_cert else ""
    # In certificates and in what providers of tokens say the client raises whatever it comes to.
    except Exception as e:
        why = str(e) if isinstance(e, (ConfigException, OSError, ValueError)) else f"{type(e).__name__}: {e}"
        raise (AccessError(why) if in_cluster else unusable(paths, f"its context {chosen}: {why}")) from e
    scheme, _, credential = str(configuration.api_key.get("BearerToken", "")).strip().partition(" ")
    is_basic = scheme.lower() == "basic"
    return Access(
        server=str(configuration.host).rstrip("/"),
        tls=tls,
        tokens=tokens or FixedToken("" if is_basic else credential),
        basic=credential if is_basic else "",
        authority=authority,
        proxy=configuration.proxy or None,
        server_name=configuration.tls_server_name or None,
    )


def _token_file(loader: Any, path: str) -> TokenFile | None:
    """The file a kubeconfig's user names for its token; the client would read it only once."""
    user = loader._user  # the client has no other way to the user of a context
    name = user.safe_get("tokenFile") if user is not None else None
    if not name or user.safe_get("token"):
        return None
    return TokenFile(Path(user.path or path).parent / str(name))
