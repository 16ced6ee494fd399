"""`pierhead lab` as its users type it: every command tells its outcome as JSON."""

import json
import subprocess
import sys
from pathlib import Path

from appliance.lab import site
from tests.lab.conftest import MakePlace

PIERHEAD = Path(sys.executable).with_name("pierhead")


def pierhead(*words: str) -> tuple[int, dict[str, object]]:
    """The exit status of a command and the JSON it prints."""
    done = subprocess.run([str(PIERHEAD), "lab", *words], capture_output=True, text=True, check=False, timeout=180)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_command_tells_its_outcome_as_json(make_place: MakePlace) -> None:
    """From up to down, without a word of prose on standard output."""
    name = make_place("j").name
    pool, service = str(site.example("lab-l2.yaml")), str(site.example("echo-service.yaml"))
    told = [
        pierhead(*words)
        for words in (
            ("up", "--name", name, "--hosts", "2", "--json"),
            ("apply", "--name", name, "-f", pool, "-f", service, "--json"),
            ("cut", "--name", name, "node-b", "--json"),
            ("heal", "--name", name, "node-b", "--json"),
            ("kill", "--name", name, "node-b", "agent", "--json"),
            ("backend", "--name", name, "node-a-1", "--not-ready", "--json"),
            ("stop", "--name", name, "node-b", "forwarder", "--json"),
            ("start", "--name", name, "node-b", "forwarder", "--json"),
            ("restart", "--name", name, "node-a", "forwarder", "--json"),
            ("delete", "--name", name, "-f", service, "--json"),
            ("exec", "--name", name, "--json", "client", "--", "sh", "-c", "echo out; exit 3"),
            ("status", "--name", name, "--json"),
            ("down", "--name", name, "--json"),
        )
    ]
    outcome = told[10][1]
    assert [status for status, _ in told] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]
    assert (outcome["status"], outcome["stdout"]) == (3, "out\n")
