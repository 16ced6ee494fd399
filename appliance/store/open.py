"""From a store's URL to the store."""

from pathlib import Path

from appliance.store.directory.store import DirectoryStore
from appliance.store.protocol import Store, StoreError, StoreRefusal

FORMS = "directory:/path/to/folder"


def open_store(url: str) -> Store:
    """The store a URL names; refuses UNAVAILABLE with the known forms for any other text."""
    scheme, _, rest = url.partition(":")
    match scheme:
        case "directory" if rest:
            return DirectoryStore(Path(rest))
        case "kubernetes":
            raise StoreError(StoreRefusal.UNAVAILABLE, url, f"the Kubernetes store is not there yet; use {FORMS}")
        case _:
            raise StoreError(StoreRefusal.UNAVAILABLE, url, f"is not a store's URL; write {FORMS}")
