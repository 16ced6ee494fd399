"""A SQLite file of a program's own: checked when it is opened, and put aside where it is damaged.

SQLite's write-ahead log makes a commit whole or absent after a crash, and `synchronous=FULL` makes it last.
"""

import os
import sqlite3
from pathlib import Path

import structlog

log = structlog.get_logger()

_MODE = 0o600


class DatabaseError(Exception):
    """The file cannot be read or written; `is_lost` where what it held is gone, and the next file is a new one."""

    def __init__(self, path: Path, error: Exception, is_lost: bool = False) -> None:
        super().__init__(f"{path}: {error}")
        self.is_lost = is_lost


class Database:
    """One file; one that is damaged or of another version is put aside, beside it, and a new one begun.

    Methods block, each is to be called off the loop, and one at a time.
    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._opened: sqlite3.Connection | None = None
        self._inode = 0

    def exists(self) -> bool:
        """Whether there is a file; raises OSError."""
        return self._path.exists()

    def connection(self) -> sqlite3.Connection:
        """The connection to the file a restart would find; raises sqlite3.Error or OSError, see `failure`."""
        if self._opened is not None and not self._is_there():
            raise sqlite3.DatabaseError("the file was taken away")
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
            try:
                os.fchmod(handle, _MODE)
                self._inode = os.fstat(handle).st_ino
            finally:
                os.close(handle)
            self._opened = self._open()
        return self._opened

    def close(self) -> None:
        """Let the file go."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def failure(self, error: Exception) -> DatabaseError:
        """The error to raise; where the file itself is at fault it is out of the way afterwards, if the disk allows."""
        self.close()
        is_lost = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if is_lost:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error("database_put_aside", path=str(self._path), aside=str(aside), error=str(error))
            try:
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._path.replace(aside)
            except OSError as hindrance:
                # A file that was taken away is out of the way; any other is tried again with what is written next.
                if not isinstance(hindrance, FileNotFoundError):
                    log.error("database_stays", path=str(self._path), error=str(hindrance))
        return DatabaseError(self._path, error, is_lost)

    def _is_there(self) -> bool:
        return self._path.exists() and self._path.stat().st_ino == self._inode

    def _open(self) -> sqlite3.Connection:
        """A checked database; raises sqlite3.DatabaseError for a file that is none or not whole."""
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            if version not in (0, self._version):
                raise sqlite3.DatabaseError(f"version {version} is not known here")
            connection.executescript(f"{self._schema}; PRAGMA user_version = {self._version};")
        except sqlite3.Error:
            connection.close()
            raise
        return connection
