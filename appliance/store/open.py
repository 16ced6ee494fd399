"""From a store's URL to the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from appliance.api.kind import Kind
from appliance.api.refusal import StoreRefusal
from appliance.store.directory.store import DirectoryStore
from appliance.store.protocol import Store, StoreError
from appliance.store.scope import Scope

if TYPE_CHECKING:
    from appliance.store.kubernetes.access import Access, TokenSource
    from appliance.store.kubernetes.store import KubernetesStore

FORMS = "directory:/path/to/folder, kubernetes: or kubernetes:/path/to/kubeconfig?context=NAME"

NO_SCOPES: Mapping[Kind, Scope] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What a store's URL names: a folder, or a kubeconfig and a context of it, each "" where it is the default one."""

    is_kubernetes: bool
    path: str
    context: str = ""


def parse_store_url(url: str) -> StoreUrl:
    """Read a store's URL, whether or not there is what it names; raises ValueError with the known forms."""
    scheme, colon, rest = url.partition(":")
    if "\0" in url or not colon or scheme not in ("directory", "kubernetes") or (scheme == "directory" and not rest):
        raise ValueError(f"is not a store's URL; write {FORMS}")
    if scheme == "directory":
        return StoreUrl(False, rest)
    path, _, query = rest.partition("?")
    options = parse_qs(query, keep_blank_values=True)
    context = options.pop("context", [""])[-1]
    if options:
        raise ValueError(f"has no {', '.join(options)}; write {FORMS}")
    return StoreUrl(True, path, context)


def open_store(url: str, *, scopes: Mapping[Kind, Scope] = NO_SCOPES, tokens: "TokenSource | None" = None) -> Store:
    """The store a URL names; refuses UNAVAILABLE with the known forms for any other text.

    `kubernetes:` is the API server of the Pod this runs in, else that of the default kubeconfig. `scopes` says how much
    of a kind is asked for there, `tokens` whom it is asked as instead of what the kubeconfig says; a directory is one
    site's and has neither.
    """
    named = _named(url)
    return kubernetes_store(url, scopes, tokens) if named.is_kubernetes else DirectoryStore(Path(named.path))


def kubernetes_store(
    url: str, scopes: Mapping[Kind, Scope] = NO_SCOPES, tokens: "TokenSource | None" = None
) -> "KubernetesStore":
    """The store of the kubeconfig and context that a URL names, both optional; refuses as `open_store` does."""
    # What a site without Kubernetes never needs takes a tenth of a second to import.
    from appliance.store.kubernetes.access import load_access
    from appliance.store.kubernetes.connection import Connection
    from appliance.store.kubernetes.store import KubernetesStore

    named = _named(url)

    async def load() -> "Access":
        return await load_access(Path(named.path) if named.path else None, named.context or None)

    return KubernetesStore(Connection(url.removesuffix(":"), load, tokens), scopes)


def _named(url: str) -> StoreUrl:
    try:
        return parse_store_url(url)
    except ValueError as error:
        raise StoreError(StoreRefusal.UNAVAILABLE, url.rstrip(":"), str(error)) from error
