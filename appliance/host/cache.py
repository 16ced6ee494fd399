"""The feed on disk: what a host announces when nobody can be asked."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from appliance.api.kind import KINDS_BY_TITLE, Object
from appliance.api.manifest import decode, encode


class CacheError(Exception):
    """The cache cannot be read or written."""


class FeedCache:
    """One file, a manifest in JSON on each line, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = ""

    def load(self) -> tuple[Object, ...]:
        """The objects last saved; none where nothing was. Raises CacheError for a file that is not whole.

        An object that cannot be one (another version of this program took it for one) is left out, and no other.
        """
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise CacheError(f"{self._path}: {error.strerror}") from error
        try:
            read = [_read_line(line) for line in text.splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise CacheError(f"{self._path}: {error}") from error
        self._written = text
        return tuple(manifest for manifest in read if manifest is not None)

    def save(self, objects: Iterable[Object]) -> None:
        """Replace the file where the objects differ from what it holds; a crash leaves the old or the new one."""
        text = "".join(f"{json.dumps(encode(manifest))}\n" for manifest in objects)
        if text == self._written:
            return
        try:
            replace_file(self._path, text)
        except OSError as error:
            raise CacheError(f"{self._path}: {error.strerror}") from error
        self._written = text


def _read_line(line: str) -> Object | None:
    content = json.loads(line)
    try:
        return decode(KINDS_BY_TITLE[content["kind"]], content, strict=False)
    except ValidationError:
        return None


def replace_file(path: Path, text: str, mode: int = 0o640) -> None:
    """Write a whole file so that a reader or a crash sees the old one or the new one; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
