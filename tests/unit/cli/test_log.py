"""What a program's log looks like."""

import json
import subprocess
import sys

SCRIPT = """
from appliance.cli.log import LogFormat, configure_logging
configure_logging({level!r}, LogFormat({form!r}), "agent")
import logging, structlog
log = structlog.get_logger()
log.debug("vip_seen")
log.info("vip_moved", address="192.0.2.1", to="node b")
logging.getLogger("aiohttp.server").error("boom")
"""


def lines(level: str, form: str, **environment: str) -> list[str]:
    """What a program of this level and form writes to stderr."""
    script = SCRIPT.format(level=level, form=form)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout == ""
    return run.stderr.splitlines()


def test_an_event_is_one_line_of_fields() -> None:
    """Logfmt with the event after time and level; a library's message has the same form."""
    event, library = lines("info", "logfmt")
    assert event.startswith("timestamp=")
    assert event.endswith('level=info event=vip_moved address=192.0.2.1 to="node b"')
    assert library == 'level=ERROR event=library_message logger=aiohttp.server text="boom"'


def test_the_level_holds() -> None:
    """Less serious events are left out, more serious ones are not."""
    assert len(lines("debug", "logfmt")) == 3
    assert len(lines("error", "logfmt")) == 1


def test_json_lines() -> None:
    """One JSON object an event."""
    event = json.loads(lines("info", "json")[0])
    assert (event["event"], event["address"]) == ("vip_moved", "192.0.2.1")


def test_the_journal_stamps_itself() -> None:
    """Under systemd a line has no time of its own."""
    assert lines("info", "logfmt", JOURNAL_STREAM="8:1")[0].startswith("level=info event=vip_moved")
