"""The feed on disk: what a host announces when nobody can be asked.

One row an object, so that a change costs what it changes. SQLite's write-ahead log makes a commit whole or absent after
a crash, and `synchronous=FULL` makes it last: a drain that was asked of this host is forgotten once the feed on disk
has it, so a commit that was told must not be lost with the power.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.api.kind import KINDS_BY_TITLE, Object, ref_of
from appliance.api.manifest import decode, encode
from appliance.api.meta import Ref

log = structlog.get_logger()

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS object (
  kind TEXT, namespace TEXT, name TEXT, content TEXT NOT NULL, PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_PUT = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)"
_REMOVE = "DELETE FROM object WHERE kind = ? AND namespace = ? AND name = ?"
# There are secrets in it.
_MODE = 0o600


class CacheError(Exception):
    """The cache cannot be read or written; `is_lost` where what it held is gone and has to be saved anew."""

    def __init__(self, path: Path, error: Exception, is_lost: bool = False) -> None:
        super().__init__(f"{path}: {error}")
        self.is_lost = is_lost


@dataclass(frozen=True, slots=True)
class Cached:
    """What the disk remembers; `unusable` are objects that this program does not take for what they say they are."""

    objects: Mapping[Ref, Object]
    unusable: tuple[Ref, ...] = ()


class FeedCache:
    """One SQLite file; a file that is damaged or of another version is put aside, beside it, and a new one begun.

    Methods block, each is to be called off the loop, and one at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: sqlite3.Connection | None = None
        self._inode = 0

    def load(self) -> Cached:
        """The objects last saved; none where nothing was, or nothing that can be read. Raises CacheError."""
        try:
            if not self._path.exists():
                return Cached({})
            rows = self._connection().execute("SELECT kind, namespace, name, content FROM object").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        objects: dict[Ref, Object] = {}
        unusable: list[Ref] = []
        for kind, namespace, name, content in rows:
            ref = Ref(kind, namespace, name)
            try:
                objects[ref] = _read(ref, content)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                log.warning("cached_object_not_usable", object=str(ref), error=str(error))
                unusable.append(ref)
        return Cached(objects, tuple(unusable))

    def save(self, changes: Mapping[Ref, Object | None]) -> None:
        """Put or remove (None) objects, all or none, and return when the disk has them. Raises CacheError."""
        try:
            if self._opened is not None and not self._is_there():
                raise sqlite3.DatabaseError("the file was taken away")
            connection = self._connection()
            with connection:
                connection.execute("BEGIN")
                connection.executemany(_PUT, (_row(ref, kept) for ref, kept in changes.items() if kept is not None))
                removed = ((ref.kind, ref.namespace, ref.name) for ref, kept in changes.items() if kept is None)
                connection.executemany(_REMOVE, removed)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Let the file go."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _is_there(self) -> bool:
        """Whether what is open is what a restart would find."""
        return self._path.exists() and self._path.stat().st_ino == self._inode

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
            try:
                os.fchmod(handle, _MODE)
                self._inode = os.fstat(handle).st_ino
            finally:
                os.close(handle)
            self._opened = _open(self._path)
        return self._opened

    def _failure(self, error: Exception) -> CacheError:
        """The error to raise; where the file itself is at fault it is out of the way afterwards."""
        self.close()
        is_lost = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if is_lost:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error("cache_put_aside", path=str(self._path), aside=str(aside), error=str(error))
            with suppress(FileNotFoundError):
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._path.replace(aside)
        return CacheError(self._path, error, is_lost)


def _open(path: Path) -> sqlite3.Connection:
    """A checked database; raises sqlite3.DatabaseError for a file that is none or not whole."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"version {version} is not known here")
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _read(ref: Ref, content: str) -> Object:
    """The object of a row; raises whatever JSON, the kind or its name is refused with."""
    manifest = decode(KINDS_BY_TITLE[ref.kind], json.loads(content), strict=False)
    if ref_of(manifest) != ref:
        raise ValueError(f"it is {ref_of(manifest)}")
    return manifest


def _row(ref: Ref, manifest: Object) -> tuple[str, str, str, str]:
    return ref.kind, ref.namespace, ref.name, json.dumps(encode(manifest))
