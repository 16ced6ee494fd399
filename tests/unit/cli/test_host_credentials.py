"""`pierhead host-credentials` where the site is a folder; a cluster's is in tests/cluster."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.api.core import Secret
from appliance.api.meta import Metadata
from appliance.api.pierhead import HOSTS_NAMESPACE, Host, HostStatus
from appliance.cli.main import main
from appliance.store.open import open_store

HOSTS = ("a", "b")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which two hosts have registered, and the allocator has given each its Secret."""

    async def fill() -> None:
        store = open_store(f"directory:{tmp_path}")
        for name in HOSTS:
            await store.create(Host(metadata=Metadata(name=name)), "pierhead-agent")
            await store.apply_status(
                Host(metadata=Metadata(name=name), status=HostStatus(version="1")), "pierhead-agent"
            )
            await store.create(Secret(metadata=Metadata(name=name, namespace=HOSTS_NAMESPACE)), "pierhead-allocator")

    asyncio.run(fill())
    return tmp_path


def retire(site: Path, *words: str) -> Result:
    """Forget hosts of a folder's site."""
    return CliRunner().invoke(main, ["host-credentials", "--retire", f"--store=directory:{site}", *words])


def named(site: Path) -> list[str]:
    """The files that are about one host, hidden ones too."""
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.json"))


def test_nothing_of_a_retired_host_stays_in_the_folder(site: Path) -> None:
    """Its Host, and the Secret that the allocator wrote for it and may not be there to remove; others' stay."""
    result = retire(site, "a", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [{"host": "a", "revoked": False, "deleted": True}])
    assert named(site) == [".pierhead/hosts/b.json", f".pierhead/secrets/{HOSTS_NAMESPACE}.b.json"]


def test_a_host_that_is_not_there_is_no_mistake(site: Path) -> None:
    """A second run says so, and changes nothing."""
    texts = [retire(site, "a").stdout for _ in range(2)]
    assert texts == [f"a: there was nothing to revoke; its Host {end}\n" for end in ("is deleted", "was not there")]


@pytest.mark.parametrize("words", [("--revoke",), ("--output=a.kubeconfig",)])
def test_a_folder_has_no_credentials(site: Path, words: tuple[str, ...]) -> None:
    """There is nothing to make or to take back, and that is said."""
    result = CliRunner().invoke(main, ["host-credentials", f"--store=directory:{site}", "a", *words])
    assert (result.exit_code, "others ask for no credentials" in result.stderr) == (2, True)
    assert len(named(site)) == 2 * len(HOSTS)
