"""What the supervisor is told and what it writes down."""

import os
from pathlib import Path

from appliance.lab.place import Place
from appliance.lab.program import (
    Running,
    is_running,
    programs,
    read_running,
    read_wanted,
    start_time,
    with_wanted,
    write_running,
    write_wanted,
)
from appliance.lab.topology import plan


def test_every_host_runs_its_three_programs_and_the_rest_theirs() -> None:
    """The whole list, in the namespaces of the lab's name."""
    found = {program.key: program.namespace for program in programs(Place("x"), plan(1), "directory:/site")}
    assert found == {
        "router/bird": "x-router",
        "control/allocator": "x-control",
        "node-a-1/echo": "x-node-a-1",
        "node-a-2/echo": "x-node-a-2",
        "node-a/bird": "x-node-a",
        "node-a/agent": "x-node-a",
        "node-a/forwarder": "x-node-a",
    }


def test_what_is_wanted_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Program by program, one of them to stand still."""
    wanted = with_wanted(programs(Place("x"), plan(1), "directory:/site"), "control/allocator", False)
    write_wanted(tmp_path, wanted)
    assert read_wanted(tmp_path) == wanted
    assert [program.key for program in wanted if not program.wanted] == ["control/allocator"]


def test_nothing_written_is_nothing_known(tmp_path: Path) -> None:
    """A supervisor that has not begun is no error."""
    assert read_wanted(tmp_path) == ()
    assert read_running(tmp_path) == {}


def test_a_process_is_told_from_a_later_one_of_the_same_number(tmp_path: Path) -> None:
    """By its start time."""
    own = Running(os.getpid(), start_time(os.getpid()) or 0)
    write_running(tmp_path, {"a/x": own, "a/y": Running(os.getpid(), own.started - 1)})
    assert is_running(tmp_path, "a/x")
    assert not is_running(tmp_path, "a/y")
    assert not is_running(tmp_path, "a/z")
