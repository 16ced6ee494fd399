"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, text: str, mode: int = 0o640, group: int = -1) -> None:
    """Write a whole file so that a reader or a crash sees the old one or the new one; raises OSError.

    `group` (a number) is whom its mode speaks of; where this program may not give it to them, they get no right to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.chown(temporary, -1, group)
        except PermissionError:
            mode &= ~0o070
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
