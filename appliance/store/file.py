"""One file of a directory store and what it holds."""

import hashlib
import os
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.api.manifest import Document, parse
from appliance.api.problem import Problem, Source
from appliance.store.overlay import Overlay, parse_overlay

Signature = tuple[int, int, int]

# A file written twice within one tick of the file system's clock shows the same times (4 ms on Debian 12).
_CLOCK_TICK_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read; `signature` is None where it may change without showing it.

    The documents of a wrong text are those it held when it was last right; `complete` is False where it never was.
    """

    digest: bytes
    signature: Signature | None
    modified: float
    documents: tuple[Document, ...] = ()
    overlay: Overlay | None = None
    problems: tuple[Problem, ...] = ()
    complete: bool = True


def read_manifests(path: str, known: File | None, *, strict: bool) -> File | None:
    """Read a file of manifests; None where there is no file. Operators' files are read strictly, programs' are not."""
    found = _read(path, known)
    if found is None or found is known or isinstance(found, File):
        return found
    content, file = found
    try:
        parsed = parse(content.decode(), path, strict=strict)
    except UnicodeDecodeError as error:
        return _broken(file, known, (Problem(None, "", f"is not UTF-8 text at byte {error.start}", Source(path, 1)),))
    if parsed.problems:
        return _broken(file, known, parsed.problems)
    return replace(file, documents=parsed.documents)


def read_overlay(path: str, known: File | None) -> File | None:
    """Read a file that holds a status overlay; None where there is no file."""
    found = _read(path, known)
    if found is None or found is known or isinstance(found, File):
        return found
    content, file = found
    return replace(file, overlay=parse_overlay(content.decode(errors="replace")))


def signature_of(status: os.stat_result) -> Signature:
    """What differs between two versions of a file."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: str, known: File | None) -> tuple[bytes, File] | File | None:
    """Content and a file without documents yet, or all of the file where nothing is left to parse."""
    try:
        with Path(path).open("rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            content = opened.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        unread = File(b"", None, time.time())
        return _broken(unread, known, (Problem(None, "", f"cannot be read: {error.strerror}", Source(path, 1)),))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    is_settled = time.time_ns() - status.st_mtime_ns > _CLOCK_TICK_NS
    signature = signature_of(status) if is_settled else None
    if known is not None and known.digest == digest:
        return replace(known, signature=signature, modified=status.st_mtime)
    return content, File(digest, signature, status.st_mtime)


def _broken(file: File, known: File | None, problems: tuple[Problem, ...]) -> File:
    """A file that is wrong now: the objects it held when it was right stay."""
    if known is None:
        return replace(file, problems=problems, complete=False)
    return replace(file, documents=known.documents, problems=problems, complete=known.complete)
