"""The feed on disk: what a host announces when nobody can be asked.

One row an object, so that a change costs what it changes. A drain that was asked of this host is forgotten once the
feed on disk has it, so a commit that was told must not be lost with the power.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.api.kind import KINDS_BY_TITLE, Object, ref_of
from appliance.api.manifest import decode, encode
from appliance.api.meta import Ref
from appliance.daemon.database import Database

log = structlog.get_logger()

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  kind TEXT, namespace TEXT, name TEXT, content TEXT NOT NULL, PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID
"""
_PUT = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)"
_REMOVE = "DELETE FROM object WHERE kind = ? AND namespace = ? AND name = ?"


@dataclass(frozen=True, slots=True)
class Cached:
    """What the disk remembers; `unusable` are objects that this program does not take for what they say they are."""

    objects: Mapping[Ref, Object]
    unusable: tuple[Ref, ...] = ()


class FeedCache:
    """One SQLite file, see Database; methods block, each is to be called off the loop, and one at a time."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA, _VERSION)

    def load(self) -> Cached:
        """The objects last saved; none where nothing was, or nothing that can be read. Raises DatabaseError."""
        try:
            if not self._database.exists():
                return Cached({})
            rows = self._database.connection().execute("SELECT kind, namespace, name, content FROM object").fetchall()
        except (sqlite3.Error, OSError) as error:
            raise self._database.failure(error) from error
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
        """Put or remove (None) objects, all or none, and return when the disk has them. Raises DatabaseError."""
        try:
            connection = self._database.connection()
            with connection:
                connection.execute("BEGIN")
                connection.executemany(_PUT, (_row(ref, kept) for ref, kept in changes.items() if kept is not None))
                removed = ((ref.kind, ref.namespace, ref.name) for ref, kept in changes.items() if kept is None)
                connection.executemany(_REMOVE, removed)
        except (sqlite3.Error, OSError) as error:
            raise self._database.failure(error) from error

    def close(self) -> None:
        """Let the file go."""
        self._database.close()


def _read(ref: Ref, content: str) -> Object:
    """The object of a row; raises whatever JSON, the kind or its name is refused with."""
    manifest = decode(KINDS_BY_TITLE[ref.kind], json.loads(content), strict=False)
    if ref_of(manifest) != ref:
        raise ValueError(f"it is {ref_of(manifest)}")
    return manifest


def _row(ref: Ref, manifest: Object) -> tuple[str, str, str, str]:
    return ref.kind, ref.namespace, ref.name, json.dumps(encode(manifest))
