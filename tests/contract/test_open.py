"""From a URL to a store."""

from pathlib import Path

import pytest

from appliance.api.refusal import StoreRefusal
from appliance.store.open import open_store
from appliance.store.protocol import StoreError
from tests.contract.sample import VIPS, vip


async def test_a_directory(tmp_path: Path) -> None:
    """`directory:` and a path give the store of that folder."""
    await open_store(f"directory:{tmp_path}").create(vip(1), "agent")
    assert len((await open_store(f"directory:{tmp_path}").list(VIPS)).objects) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/etc/pierhead",
        "directory:",
        "etcd:x",
        "directory:/a\0",
        "kubernetes?context=a",
        "kubernetes:/etc/kubeconfig?user=me",
    ],
)
def test_anything_else_is_told(url: str) -> None:
    """A wrong URL is answered with the form that works."""
    with pytest.raises(StoreError, match="directory:/path/to/folder") as error:
        open_store(url)
    assert error.value.refusal is StoreRefusal.UNAVAILABLE
