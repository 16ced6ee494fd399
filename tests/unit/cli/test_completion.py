"""Completion as a shell asks for it: by the words that are there, through the real program."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from appliance.cli.completion import SHELLS, VARIABLE
from appliance.cli.main import ENTRIES, main
from tests.unit.cli.conftest import Agent
from tests.unit.cli.test_site import SITE

DEADLINE_SECONDS = 120.0
HEAVY = {"aiohttp", "pydantic", "pyroute2", "rich", "yaml"}


def completed(*words: str) -> list[str]:
    """What could stand for the last word."""
    *before, incomplete = words
    return [item.value for item in ShellComplete(main, {}, "pierhead", "").get_completions(before, incomplete)]


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A site's store."""
    (tmp_path / "site.yaml").write_text(SITE)
    return f"directory:{tmp_path}"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell: str) -> None:
    """It asks the program by the variable that the program heeds."""
    result = CliRunner().invoke(main, ["completion", shell], prog_name="pierhead")
    assert (result.exit_code, f"{VARIABLE}={shell}_complete" in result.output) == (0, True)


def test_commands_cost_no_import() -> None:
    """Every press of the key starts the program anew."""
    script = (
        "import sys\nfrom appliance.cli.main import main\n"
        "try:\n  main(prog_name='pierhead')\nfinally:\n  print(*sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, VARIABLE: "bash_complete", "COMP_WORDS": "pierhead ", "COMP_CWORD": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == [f"plain,{name}" for name in ENTRIES]
    assert set(run.stderr.split()) & HEAVY == set()


def test_names_are_read_from_the_store(store: str) -> None:
    """Hosts, pools, VIPs and Services that begin so."""
    assert completed("drain", "--store", store, "") == ["a"]
    assert completed("vips", "--store", store, "--pool", "") == ["p"]
    assert completed("explain", "service", "--store", store, "d/") == ["d/s", "d/t"]
    assert completed("explain", "service", "--store", store, "d/t") == ["d/t"]


async def test_names_are_read_from_an_agent(agent: Agent, tmp_path: Path) -> None:
    """On a host with the store gone."""
    environment = {
        **os.environ,
        "PIERHEAD_SOCKET": str(tmp_path / "agent.sock"),
        VARIABLE: "bash_complete",
        "COMP_WORDS": "pierhead explain vip 192",
        "COMP_CWORD": "3",
    }
    script = "from appliance.cli.main import main; main(prog_name='pierhead')"

    async def offered() -> list[str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        return told.decode().split()

    # On a machine with too much to do an agent's answer may come after the second that is waited for it.
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (names := await offered()):
            pass
    assert names == ["plain,192.168.1.240"]


def test_where_nobody_answers_nothing_is_offered(tmp_path: Path) -> None:
    """Completion never fails and never says anything."""
    assert completed("drain", "--store", f"directory:{tmp_path / 'nowhere'}", "") == []
    assert completed("drain", "--store", "floppy:a", "") == []
