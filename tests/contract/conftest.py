"""The adapters that every store test runs on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Store

ADAPTERS: dict[str, Callable[[Path], Store]] = {"memory": lambda _: MemoryStore(), "directory": DirectoryStore}


@pytest.fixture(params=sorted(ADAPTERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each adapter."""
    return ADAPTERS[request.param](tmp_path)
