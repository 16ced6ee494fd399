"""The adapters that every store test runs on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.api.meta import Ref
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.open import open_store
from appliance.store.protocol import Store
from tests.cluster.control_plane import ControlPlane
from tests.contract.sample import HOSTS, SERVICES, VIPS

WRITTEN = VIPS | HOSTS | SERVICES


@pytest.fixture(params=["directory", "kubernetes", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each adapter; what a test made on the API server that all share goes with the test."""
    match request.param:
        case "memory":
            yield MemoryStore()
        case "directory":
            yield DirectoryStore(tmp_path)
        case _:
            control_plane: ControlPlane = request.getfixturevalue("site_kinds")
            made = open_store(f"kubernetes:{control_plane.kubeconfig}")
            await _clear(made)
            yield made
            await _clear(made)


async def _clear(store: Store) -> None:
    """Remove what these tests and those before them wrote; the API server's own Service is made again by itself."""
    for ref in (await store.list(WRITTEN)).objects:
        if ref != Ref("Service", "default", "kubernetes"):
            await store.delete(ref)
