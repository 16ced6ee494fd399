"""The output of BIRD's client on a pipe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bird.console import Console, ConsoleError, Logged, Reply

GREETING = b"0001 BIRD 2.0.12 ready.\nbird> "
STATUS_TEXT = "1000-BIRD 2.0.12\n1011-Router ID is 192.168.1.11\n     Hostname is vm\n0013 Daemon is up and running"
STATUS = f"show status\n{STATUS_TEXT}\nbird> ".encode()


def greeted() -> Console:
    """A console whose client is ready."""
    console = Console()
    console.feed(GREETING)
    return console


def test_the_greeting_is_a_reply() -> None:
    """A client that is ready says so before it is asked."""
    assert Console().feed(GREETING) == [Reply("0001 BIRD 2.0.12 ready.")]


def test_a_reply_lies_between_command_and_prompt() -> None:
    """The command itself is no part of it."""
    console = greeted()
    assert console.send("show status") == b"show status\n"
    assert console.feed(STATUS) == [Reply(STATUS_TEXT)]


def test_a_reply_may_be_empty() -> None:
    """The client keeps the code 0000 to itself, so that `echo` has no line at all."""
    console = greeted()
    console.send("echo all")
    assert console.feed(b"echo all\nbird> ") == [Reply("")]


def test_log_lines_are_told_apart() -> None:
    """They come before a reply, within it and after it, each followed by a prompt or not."""
    console = greeted()
    assert console.feed(b">>> a: Starting\nbird> ") == [Logged("a: Starting")]
    console.send("configure")
    printed = b">>> b: Starting\nbird> configure\n0002-Reading\n>>> Reconfiguring\n0003 Reconfigured\n>>> done\nbird> "
    assert console.feed(printed) == [
        Logged("b: Starting"),
        Logged("Reconfiguring"),
        Logged("done"),
        Reply("0002-Reading\n0003 Reconfigured"),
    ]


def test_a_prompt_before_the_command_ends_nothing() -> None:
    """The prompts that follow log lines are not the end of a reply that has not begun."""
    console = greeted()
    console.send("show status")
    assert console.feed(b">>> a\nbird> >>> b\nbird> ") == [Logged("a"), Logged("b")]
    assert console.feed(STATUS) == [Reply(STATUS_TEXT)]


@given(st.lists(st.integers(1, 40)))
def test_pieces_of_any_size(sizes: list[int]) -> None:
    """How the output was cut on its way makes no difference."""
    printed, console = GREETING + b">>> a\nbird> " + STATUS, Console()
    console.send("show status")
    found = []
    for size in [*sizes, len(printed)]:
        piece, printed = printed[:size], printed[size:]
        found += console.feed(piece)
    assert found == [Reply("0001 BIRD 2.0.12 ready."), Logged("a"), Reply(STATUS_TEXT)]


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_are_taken(pieces: list[bytes]) -> None:
    """Whatever is printed, nothing is raised below the bound."""
    console = greeted()
    console.send("show status")
    for piece in pieces:
        console.feed(piece)


@pytest.mark.parametrize("piece", [b"x" * 100, b"1006-x\n" * 100])
def test_a_reply_without_end_is_refused(piece: bytes) -> None:
    """One long line or many short ones: the client is not listened to for ever."""
    console = Console(bytes_max=1000)
    for _ in range(1000 // len(piece)):
        console.feed(piece)
    with pytest.raises(ConsoleError):
        console.feed(piece)


def test_log_lines_have_no_end() -> None:
    """They are passed on and forgotten, so they count for nothing."""
    console = Console(bytes_max=1000)
    assert len(console.feed(b">>> a: line of some length\n" * 1000)) == 1000


@pytest.mark.parametrize("command", ["show\nstatus", "show \x00", "x" * 1001])
def test_a_command_is_one_line(command: str) -> None:
    """What the client would read as two commands, or cut, is not sent."""
    with pytest.raises(ConsoleError):
        greeted().send(command)


def test_the_last_line_tells_why_a_client_ended() -> None:
    """It is no reply: no prompt follows."""
    console = Console()
    console.feed(b"Unable to connect to server control socket (/run/bird/bird.ctl): Connection refused\n")
    assert console.last_line == "Unable to connect to server control socket (/run/bird/bird.ctl): Connection refused"
