"""A `birdcl` for tests: passes everything on to the real one, but for what a file beside it says.

The file `fault` holds a word and the beginning of the commands it is for:
    refuse COMMAND   answer 8002, as BIRD does to a text it cannot take
    hang COMMAND     never answer
    flood COMMAND    answer without end
    end COMMAND      end instead of answering
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

SCRIPT = """\
#!{python}
import pathlib, runpy
runpy.run_path({source!r})["main"](pathlib.Path({directory!r}))
"""


class Interposed:
    """The program in a folder of its own, what it is to do wrong, and what was asked through it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.program = directory / "birdcl"
        self._fault = directory / "fault"
        self._log = directory / "log"
        self.program.write_text(SCRIPT.format(python=sys.executable, directory=str(directory), source=__file__))
        self.program.chmod(0o755)
        self._log.touch()

    def fail(self, fault: str, command: str) -> None:
        """From now on, do this wrong."""
        self._fault.write_text(f"{fault} {command}")

    def mend(self) -> None:
        """From now on, do everything right."""
        self._fault.unlink(missing_ok=True)

    @property
    def commands(self) -> list[str]:
        """Every command so far; `(start)` = another process."""
        return self._log.read_text().splitlines()


def main(directory: Path) -> None:
    """Be a client until its own input ends."""
    real = subprocess.Popen(["birdcl", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    if real.stdin is None or real.stdout is None:
        raise OSError("no pipes")
    threading.Thread(target=_pass_on, args=(real, real.stdout), daemon=True).start()
    _log(directory, "(start)")
    wrong = directory / "fault"
    for line in sys.stdin:
        _log(directory, line.strip())
        fault, _, command = wrong.read_text().partition(" ") if wrong.exists() else ("", "", "")
        if not (fault and line.startswith(command)):
            real.stdin.write(line.encode())
        elif fault == "refuse":
            _print(f"{line}8002 not today\nbird> ")
        elif fault == "flood":
            _print(line)
            while True:
                _print("1006-and so on\n" * 1000)
        elif fault == "end":
            break
    real.kill()


def _pass_on(real: "subprocess.Popen[bytes]", stdout: IO[bytes]) -> None:
    while printed := stdout.read(65536):
        os.write(1, printed)
    os._exit(real.wait())


def _print(text: str) -> None:
    os.write(1, text.encode())


def _log(directory: Path, text: str) -> None:
    with (directory / "log").open("a") as file:
        file.write(f"{text}\n")
