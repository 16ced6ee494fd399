"""From a store's URL to the store."""

from collections.abc import Mapping
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


def open_store(url: str, *, scopes: Mapping[Kind, Scope] = NO_SCOPES, tokens: "TokenSource | None" = None) -> Store:
    """The store a URL names; refuses UNAVAILABLE with the known forms for any other text.

    `kubernetes:` is the API server of the Pod this runs in, else that of the default kubeconfig. `scopes` says how much
    of a kind is asked for there, `tokens` whom it is asked as instead of what the kubeconfig says; a directory is one
    site's and has neither.
    """
    scheme, _, rest = url.partition(":")
    match scheme:
        case "directory" if rest:
            return DirectoryStore(Path(rest))
        case "kubernetes":
            return kubernetes_store(url, rest, scopes, tokens)
        case _:
            raise StoreError(StoreRefusal.UNAVAILABLE, url.rstrip(":"), f"is not a store's URL; write {FORMS}")


def kubernetes_store(
    url: str, rest: str, scopes: Mapping[Kind, Scope] = NO_SCOPES, tokens: "TokenSource | None" = None
) -> "KubernetesStore":
    """The store of a kubeconfig's path and context, both optional."""
    # What a site without Kubernetes never needs takes a tenth of a second to import.
    from appliance.store.kubernetes.access import load_access
    from appliance.store.kubernetes.connection import Connection
    from appliance.store.kubernetes.store import KubernetesStore

    path, _, query = rest.partition("?")
    options = parse_qs(query, keep_blank_values=True)
    context = options.pop("context", [""])[-1]
    if options:
        raise StoreError(StoreRefusal.UNAVAILABLE, url, f"has no {', '.join(options)}; write {FORMS}")

    async def load() -> "Access":
        return await load_access(Path(path) if path else None, context or None)

    return KubernetesStore(Connection(url.removesuffix(":"), load, tokens), scopes)
