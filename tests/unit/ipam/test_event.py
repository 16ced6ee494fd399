"""The reason strings that tools look for: one row of MetalLB's table each."""

import pytest

from appliance.ipam.event import EventReason, EventType

NORMAL, WARNING = EventType.NORMAL, EventType.WARNING
ROWS = {
    "IPAllocated": NORMAL,
    "AllocationFailed": WARNING,
    "ClearAssignment": NORMAL,
    "LoadBalancerFailed": WARNING,
    "not enough clusterips": WARNING,
    "nolbIPsIPFamily": WARNING,
    "noclusterIPsIPFamily": WARNING,
    "AdditionalAssignFailed": NORMAL,
    "InternalError": WARNING,
    "deprecatedAnnotation": WARNING,
    "nodeAssigned": NORMAL,
    "announceFailed": WARNING,
}


@pytest.mark.parametrize(("text", "event_type"), ROWS.items(), ids=list(ROWS))
def test_reason(text: str, event_type: EventType) -> None:
    """The string and the type are MetalLB's to the letter."""
    assert [reason.event_type for reason in EventReason if reason.text == text] == [event_type]


def test_no_other_reasons() -> None:
    """Nothing is told under a name of our own."""
    assert {reason.text for reason in EventReason} == set(ROWS)
