"""The feed on disk."""

import json
import sqlite3
import stat
import tempfile
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.core import Secret
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Host, HostInterface, HostStatus, VirtualIP, VirtualIPSpec
from appliance.daemon.cache import Cached, FeedCache
from appliance.daemon.database import DatabaseError

VIP = VirtualIP(
    metadata=Metadata(name="192.0.2.1"), spec=VirtualIPSpec(address=ip_address("192.0.2.1"), pool="production")
)
HOST = Host(metadata=Metadata(name="node-a"), status=HostStatus(interfaces=(HostInterface(name="eth0"),)))
SECRET = Secret(metadata=Metadata(name="bgp", namespace="metallb-system"), type="kubernetes.io/basic-auth")

MALFORMED = {
    "metadata": {"name": "node-a"},
    "status": {"interfaces": [{"name": "eth0", "hardwareAddress": "02:00:00:00:00:01:02"}]},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "status", "name", "namespace", "labels", "address", "owner", "data", "kind"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the cache will be; its folder is not there yet."""
    return tmp_path / "lib" / "feed.db"


def named(*objects: Object) -> dict[Ref, Object]:
    """Objects by name."""
    return {ref_of(each): each for each in objects}


def saved(path: Path, *objects: Object) -> None:
    """Save objects as a program does that ends afterwards."""
    cache = FeedCache(path)
    cache.save(named(*objects))
    cache.close()


def alter(path: Path, statement: str, *values: str) -> None:
    """Change the file as somebody else."""
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_what_was_saved_is_loaded(path: Path) -> None:
    """Every kind comes back equal."""
    saved(path, VIP, HOST, SECRET)
    assert FeedCache(path).load() == Cached(named(VIP, HOST, SECRET))


def test_nothing_saved_is_nothing_loaded(path: Path) -> None:
    """A first start finds nothing, and leaves nothing."""
    assert (FeedCache(path).load(), path.exists()) == (Cached({}), False)


def test_a_change_writes_what_changed(path: Path) -> None:
    """Objects come, differ and go; others are not touched."""
    saved(path, VIP, HOST)
    alter(path, "CREATE TABLE written (name TEXT)")
    alter(path, "CREATE TRIGGER seen AFTER INSERT ON object BEGIN INSERT INTO written VALUES (new.name); END")
    cache = FeedCache(path)
    other = replace(HOST, status=HostStatus(version="2"))
    cache.save({ref_of(HOST): other, ref_of(SECRET): SECRET, ref_of(VIP): None})
    assert cache.load() == Cached(named(other, SECRET))
    cache.close()
    connection = sqlite3.connect(path)
    assert sorted(connection.execute("SELECT name FROM written")) == [("bgp",), ("node-a",)]
    connection.close()


def test_only_the_program_may_read_it(path: Path) -> None:
    """Passwords are in it, and in what SQLite keeps beside it."""
    cache = FeedCache(path)
    cache.save(named(SECRET))
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 3
    cache.close()


def test_what_was_saved_outlives_a_kill(path: Path) -> None:
    """A program that never closed its file left everything in it that it was told is there."""
    cache = FeedCache(path)
    cache.save(named(VIP))
    killed = path.parent.parent / "killed"
    killed.mkdir()
    for file in path.parent.iterdir():
        (killed / file.name).write_bytes(file.read_bytes())
    assert FeedCache(killed / path.name).load() == Cached(named(VIP))
    cache.close()


@pytest.mark.parametrize(
    ("column", "content"),
    [
        ("content", json.dumps(MALFORMED)),
        ("content", "[]"),
        ("content", "{"),
        ("content", '{"metadata": {"name": "node-b"}}'),
        ("kind", "Fellow"),
    ],
    ids=["malformed hardware address", "no object", "no JSON", "another name", "no such kind"],
)
def test_an_object_that_cannot_be_used_is_left_out(path: Path, column: str, content: str) -> None:
    """The others are used; its name is told, so that it can be removed."""
    saved(path, VIP, HOST)
    alter(path, f"UPDATE object SET {column} = ? WHERE kind = 'Host'", content)
    unusable = Ref(content if column == "kind" else "Host", "", "node-a")
    assert FeedCache(path).load() == Cached(named(VIP), (unusable,))


@given(st.sampled_from(list(Kind)), JSON)
@settings(max_examples=200, deadline=None)
def test_whatever_a_row_holds_is_an_object_or_left_out(kind: Kind, content: object) -> None:
    """No text in the file keeps a program from starting, nor the other objects from being used."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.db"
        saved(path, VIP)
        alter(path, "INSERT INTO object VALUES (?, '', 'other', ?)", kind.title, json.dumps(content))
        cached = FeedCache(path).load()
    assert cached.objects[ref_of(VIP)] == VIP
    assert len(cached.objects) + len(cached.unusable) == 2


def damage_header(path: Path) -> None:
    """No database at all."""
    path.write_text("not a database, and longer than the header of one is" * 10)


def damage_pages(path: Path) -> None:
    """A database whose pages are not what they were."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def damage_version(path: Path) -> None:
    """One of another version of this program."""
    alter(path, "PRAGMA user_version = 99")


@pytest.mark.parametrize("damage", [damage_header, damage_pages, damage_version])
def test_a_damaged_file_is_put_aside(path: Path, damage: object) -> None:
    """It is said, kept beside for whoever wants to know, and a new one is begun."""
    saved(path, VIP, HOST, SECRET)
    assert callable(damage)
    damage(path)
    cache = FeedCache(path)
    with pytest.raises(DatabaseError) as failed:
        cache.load()
    assert failed.value.is_lost
    assert cache.load() == Cached({})
    cache.save(named(VIP))
    assert cache.load() == Cached(named(VIP))
    assert (path.parent / "feed.db.damaged").exists()
    cache.close()


def test_a_damaged_file_that_cannot_be_put_aside_stays_until_it_can(path: Path) -> None:
    """Neither a start nor a running program ends by it; what is to be remembered is all written then."""
    saved(path, VIP)
    damage_header(path)
    aside = path.parent / "feed.db.damaged"
    (aside / "full").mkdir(parents=True)
    cache = FeedCache(path)
    for attempt in (cache.load, lambda: cache.save(named(HOST))):
        with pytest.raises(DatabaseError) as failed:
            attempt()
        assert failed.value.is_lost
    (aside / "full").rmdir()
    aside.rmdir()
    with pytest.raises(DatabaseError):
        cache.save(named(HOST))
    cache.save(named(VIP, HOST))
    assert (cache.load(), aside.is_file()) == (Cached(named(VIP, HOST)), True)
    cache.close()


def test_a_file_that_was_taken_away_is_lost(path: Path) -> None:
    """What is written to a file that nobody will find again is not saved."""
    cache = FeedCache(path)
    cache.save(named(VIP))
    path.unlink()
    with pytest.raises(DatabaseError) as failed:
        cache.save(named(HOST))
    assert failed.value.is_lost
    cache.save(named(VIP, HOST))
    cache.close()
    assert FeedCache(path).load() == Cached(named(VIP, HOST))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """With the system's reason; what was there is not lost."""
    (tmp_path / "lib").write_text("")
    with pytest.raises(DatabaseError, match="File exists") as failed:
        FeedCache(tmp_path / "lib" / "feed.db").save(named(VIP))
    assert not failed.value.is_lost
