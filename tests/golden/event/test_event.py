"""What the owners of Services are told, word for word, in each situation of the tables of keeping and giving."""

from pathlib import Path

from appliance.ipam.ledger import Ledger
from tests.unit.ipam.sample import serve
from tests.unit.ipam.test_reconcile import FAMILIES, IMPOSSIBLE, KEPT_CHANGED_RELEASED, Row

EXPECTED = Path(__file__).parent / "events.txt"


def lines(row: Row) -> list[str]:
    """A situation and its events."""
    ledger = Ledger(row.pools)
    for other, held in row.others:
        serve(ledger, other, held)
    decision = serve(ledger, row.service, None if row.held == "unreadable" else row.held)
    events = (*decision.happened, *filter(None, [decision.complaint]))
    return [row.title, *(f"  {event.reason.event_type} {event.reason.text}: {event.message}" for event in events)]


def test_messages() -> None:
    """Every message is as reviewed; situations without an event stand alone."""
    written = [line for row in (*KEPT_CHANGED_RELEASED, *FAMILIES, *IMPOSSIBLE) for line in lines(row)]
    assert EXPECTED.read_text().splitlines() == written
