"""The commands that show a site, on a directory store."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.failure import Failure
from appliance.cli.main import main
from appliance.cli.source import find_source
from appliance.cli.top import read_preferences
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, follow_site
from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.control.sample import DRAINED

SITE = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.10-192.0.2.13]}
status: {assignedIPv4: 3, availableIPv4: 1, assignedIPv6: 0, availableIPv6: 0}
---
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 192.0.2.10}
spec: {address: 192.0.2.10, pool: p, services: [{namespace: d, name: s}], layer2: {candidates: [a]}}
status: {owner: {host: a, since: '2026-01-01T00:00:00Z', epoch: 3}}
---
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 192.0.2.11}
spec: {address: 192.0.2.11, pool: p, services: [{namespace: d, name: t}], layer2: {candidates: [a]}}
---
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {name: a}
spec: {drain: true}
status: {version: 0.1.0, announced: 2, bgpSessions: [{name: tor, peer: 192.0.2.1, state: Active, message: refused}]}
"""
HOST = """
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {name: new}
"""
TABLES = {
    "vips": """\
VIPs
  ADDRESS     STATE     MODE  OWNER  ANNOUNCING  POOL  SERVICES  SINCE
  192.0.2.10  answered  L2    a      -           p     d/s       2026-01-01T00:00:00Z
  192.0.2.11  no owner  L2    -      -           p     d/t       -
""",
    "hosts": """\
Hosts
  HOST  STATE    OWNS  ANNOUNCES  DRAINED  CONFLICTS  AGENT  DETAIL
  a     drained  1     2          yes      0          0.1.0  -
""",
    "peers": """\
BGP sessions
  HOST  PEER  ADDRESS    HEALTH  STATE   BFD  SENT  ACCEPTED  FLAPS  SINCE  MESSAGE
  a     tor   192.0.2.1  down    Active  -    -     -         -      -      refused
""",
    "pools": """\
Pools
  POOL  FAMILY  GIVEN  OF  USED  AUTO  ADDRESSES
  p     IPv4    3      4   75 %  yes   192.0.2.10-192.0.2.13
""",
}


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A site's store."""
    (tmp_path / "site.yaml").write_text(SITE)
    return f"directory:{tmp_path}"


@pytest.mark.parametrize("command", sorted(TABLES))
def test_a_site_as_tables(command: str, store: str) -> None:
    """The whole text of each."""
    done = CliRunner().invoke(main, [command, "--store", store])
    assert (done.exit_code, done.stdout) == (0, TABLES[command])


def test_only_the_vips_asked_for(store: str) -> None:
    """By owner and by pool."""
    done = CliRunner().invoke(main, ["vips", "--owner", "a", "--json"], env={"PIERHEAD_STORE": store})
    assert [row["address"] for row in json.loads(done.stdout)] == ["192.0.2.10"]
    done = CliRunner().invoke(main, ["vips", "--owner", "b", "--store", store])
    assert (done.exit_code, done.stderr) == (2, "Error: there is no host b\n")
    done = CliRunner().invoke(main, ["vips", "--pool", "pp", "--store", store])
    assert (done.exit_code, done.stderr) == (2, "Error: there is no pool pp; did you mean p?\n")


def test_rows_as_json(store: str) -> None:
    """States with how much they matter, usage by family."""
    (host,) = json.loads(CliRunner().invoke(main, ["hosts", "--json", "--store", store]).stdout)
    assert host["health"] == {"state": "drained", "severity": "waiting"}
    (pool,) = json.loads(CliRunner().invoke(main, ["pools", "--json", "--store", store]).stdout)
    assert pool["usage"] == {"4": {"assigned": 3, "total": 4}}


def test_a_store_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """Nobody can be asked: exit 2, and the store is named."""
    done = CliRunner().invoke(main, ["vips", "--store", f"directory:{tmp_path / 'nowhere'}"])
    assert (done.exit_code, str(tmp_path / "nowhere") in done.stderr) == (2, True)


def test_an_agent_that_is_not_there_leaves_the_store(store: str, tmp_path: Path) -> None:
    """What can be asked is shown, what cannot is said."""
    socket = str(tmp_path / "agent.sock")
    done = CliRunner().invoke(main, ["vips", "--store", store, "--socket", socket])
    assert (done.exit_code, done.stdout, socket in done.stderr) == (0, TABLES["vips"], True)


def test_the_source_is_that_of_the_hosts_settings(tmp_path: Path) -> None:
    """The store they name, and the agent's socket where there is one."""
    settings = tmp_path / "agent.yaml"
    settings.write_text(f"host: a\nstore: directory:/site\nrunDirectory: {tmp_path}\n")
    assert find_source(None, (), settings) == Source("directory:/site")
    (tmp_path / "agent.sock").touch()
    assert find_source(None, (), settings) == Source("directory:/site", (tmp_path / "agent.sock",))
    assert find_source("directory:/other", (), settings) == Source("directory:/other")


def test_settings_with_a_mistake_are_a_failure(tmp_path: Path) -> None:
    """With the field named."""
    settings = tmp_path / "agent.yaml"
    settings.write_text("host: a\nsotre: directory:/site\n")
    with pytest.raises(Failure, match="sotre"):
        find_source(None, (), settings)


def test_settings_that_cannot_be_looked_for_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where /etc/pierhead, $HOME or /run/pierhead is shut for this user: what reads them says so."""
    unsearchable = "/" + "x" * 300
    with pytest.raises(Failure, match="x:1: cannot be read: File name too long"):
        find_source(None, (), Path(unsearchable))
    monkeypatch.setenv("KUBECONFIG", f"/none:{unsearchable}")
    assert find_source(None, (), Path("/none")) == Source("kubernetes:")
    done = CliRunner().invoke(main, ["vips"])
    assert (done.exit_code, done.stderr.count("\n"), "cannot be used: File name too long" in done.stderr) == (
        2,
        1,
        True,
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", unsearchable)
    with pytest.raises(Failure, match=r"top.yaml:1: cannot be read: File name too long"):
        read_preferences(None)


async def test_an_agent_alone_is_enough(agent: Agent, pierhead: Pierhead) -> None:
    """Its own view of the VIPs, with the store out of reach; afterwards its hosts."""
    done = await pierhead("vips", "--json")
    assert {row["address"] for row in json.loads(done.stdout)} == {str(vip.address) for vip in agent.status.vips}
    done = await pierhead("hosts", "--json")
    wanted = {agent.status.program.host, *(neighbor.name for neighbor in agent.status.hosts)}
    assert {row["name"] for row in json.loads(done.stdout)} == wanted


async def test_what_is_followed_changes(store: str, agent: Agent, tmp_path: Path) -> None:
    """A new file and a drain are seen without being asked for."""
    source, host = Source(store, (tmp_path / "agent.sock",)), agent.status.program.host
    is_there, is_changed = asyncio.Event(), asyncio.Event()

    def show(site: Site, _touched: Touched) -> None:
        own, new = site.host(host), site.host("new")
        if own and len(site.addresses()) >= 2:
            is_there.set()
        if own and own.drained and new:
            is_changed.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        following = group.create_task(follow_site(source, show, lambda _part, _why: None), name="following")
        await is_there.wait()
        (tmp_path / "more.yaml").write_text(HOST)
        agent.become(DRAINED)
        await is_changed.wait()
        following.cancel()


async def test_hosts_that_were_not_asked_may_announce_too(agent: Agent, pierhead: Pierhead, tmp_path: Path) -> None:
    """With a site of two hosts one agent's word is not the whole."""
    host = "apiVersion: pierhead.io/v1alpha1\nkind: Host\nmetadata: {name: %s}\n"
    (tmp_path / "site").mkdir()
    for name, wanted in (("node-a", "1"), ("node-b", "1+")):
        (tmp_path / "site" / f"{name}.yaml").write_text(host % name)
        done = await pierhead("vips", "--store", f"directory:{tmp_path}/site")
        (row,) = (line.split() for line in done.stdout.splitlines() if "2001:db8:100::1" in line)
        assert wanted in row
