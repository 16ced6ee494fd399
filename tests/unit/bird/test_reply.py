"""What BIRD's control socket answers."""

import pytest

from appliance.bird.reply import Configured, ConfigureOutcome, DaemonState, Line, Status, configured, lines, status
from tests.golden.bird.case import reply


@pytest.mark.parametrize(
    ("name", "outcome", "text"),
    [
        ("configure", ConfigureOutcome.CONFIGURED, "Reconfigured"),
        ("configure_timeout", ConfigureOutcome.CONFIGURED, "Reconfigured"),
        ("in_progress", ConfigureOutcome.IN_PROGRESS, "Reconfiguration in progress"),
        ("confirm", ConfigureOutcome.CONFIRMED, "Reconfiguration confirmed"),
        ("confirm_nothing", ConfigureOutcome.NOTHING_TO_DO, "Nothing to do"),
        ("undo", ConfigureOutcome.CONFIGURED, "Reconfigured"),
        ("undo_nothing", ConfigureOutcome.NOTHING_TO_DO, "Nothing to do"),
        ("refused", ConfigureOutcome.REFUSED, "/etc/bird/bird.conf:24:23 syntax error, unexpected CF_SYM_UNDEFINED"),
    ],
)
def test_outcome_is_read_by_code(name: str, outcome: ConfigureOutcome, text: str) -> None:
    """Each reply of a real BIRD has its outcome."""
    assert Configured(outcome, text) == configured(reply(name))


def test_syntax_error_is_not_understood() -> None:
    """A command BIRD cannot read is said so."""
    assert ConfigureOutcome.NOT_UNDERSTOOD is configured(reply("syntax_error")).outcome


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("0005", ConfigureOutcome.QUEUED),
        ("0006", ConfigureOutcome.SHUTTING_DOWN),
        ("0016", ConfigureOutcome.DENIED),
        ("0017", ConfigureOutcome.UNQUEUED),
        ("8007", ConfigureOutcome.DENIED),
    ],
)
def test_rare_outcomes(code: str, outcome: ConfigureOutcome) -> None:
    """Codes from BIRD's list that are hard to provoke are known too."""
    assert outcome is configured(f"0002-Reading configuration\n{code} Words\n").outcome


def test_no_answer_is_its_own_outcome() -> None:
    """What is no reply is not taken for one."""
    assert Configured(ConfigureOutcome.NO_ANSWER, reply("unreachable").strip()) == configured(reply("unreachable"))


def test_continuation_carries_the_code_before() -> None:
    """A line without a code continues the line above; a log echo does not."""
    text = "0001 BIRD 2.0.12 ready.\n1011-Router ID is 1.1.1.1\n     Hostname is a\n+A log echo\n0013 Daemon is up\n"

    expected = [
        Line(1, "BIRD 2.0.12 ready."),
        Line(1011, "Router ID is 1.1.1.1"),
        Line(1011, "    Hostname is a"),
        Line(13, "Daemon is up"),
    ]

    assert expected == list(lines(text))


def test_status_of_a_real_bird() -> None:
    """Every field is found by its label."""
    told = status(reply("status"))

    assert isinstance(told, Status)
    assert (told.version, told.router_id, told.state) == ("2.0.12", "192.168.1.11", DaemonState.RUNNING)
    assert told.booted == "2026-11-21 02:50:37.390"
    assert told.reconfigured > told.booted


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Daemon is up and running", DaemonState.RUNNING),
        ("Daemon is up and running, configuration unconfirmed, undo in 5 s", DaemonState.UNCONFIRMED),
        ("Reconfiguration in progress", DaemonState.RECONFIGURING),
        ("Shutdown in progress", DaemonState.SHUTTING_DOWN),
    ],
)
def test_state_is_read_from_words(text: str, state: DaemonState) -> None:
    """The last line says what BIRD is doing."""
    told = status(f"1000-BIRD 3.1.0\n0013 {text}\n")

    assert told is not None
    assert ("3.1.0", state) == (told.version, told.state)


def test_no_status_is_none() -> None:
    """What is no status is not taken for one."""
    assert None is status(reply("unreachable"))


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\r", "\x1c", "\x85", "\u2028"])
def test_only_a_line_feed_ends_a_line(end: str) -> None:
    """A peer's last words are within a line, whatever they hold."""
    assert list(lines(f"1006-  Message: bye{end}1002-evil\n0000 \n")) == [
        Line(1006, f"  Message: bye{end}1002-evil"),
        Line(0, ""),
    ]
