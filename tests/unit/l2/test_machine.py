"""One host's layer 2 as a whole: events in, commands out."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.l2 import frame
from appliance.l2.event import (
    PlanChanged,
    Role,
    TimePassed,
    VipChanged,
)
from appliance.l2.frame import Ignored
from tests.unit.l2.bench import CLIENT, ETH0, MINE, MINE6, VIP, VIP6, A, B, answers, claims, messages, owner, plan


def test_only_the_owner_answers() -> None:
    """Questions and probes for owned VIPs are answered, also those of IPv6; others are not."""
    bench = owner(MINE, MINE6)
    for vip in (VIP, VIP6):
        assert claims(bench.hear(frame.question(CLIENT, vip))) == [(vip, A.hardware_address)]
        assert claims(bench.hear(frame.probe(CLIENT, vip))) == [(vip, A.hardware_address)]
    assert claims(bench.hear(frame.question(CLIENT, VIP + 1))) == []
    assert bench.core.drops()[Ignored.NOT_ANSWERED] >= 1


def test_what_changes_nothing_tells_nothing() -> None:
    """Frames and plans that leave all as it was lead to no notification."""
    bench = owner(MINE)
    said = bench.hear(frame.question(CLIENT, VIP), *answers(B)) + bench.give(PlanChanged(plan(MINE)))
    assert [each for each in said if each not in messages(said)] == []
    assert VipChanged(VIP, None) in bench.give(PlanChanged(plan()))
    assert bench.core.vips() == {}


def test_a_long_pause_is_followed_by_doubt() -> None:
    """A host that slept asks before it answers again: somebody may have taken over."""
    bench = owner(MINE)
    bench.now += 10.0
    bench.give(TimePassed())
    assert bench.role() is Role.PROBING


@given(st.lists(st.tuples(st.sampled_from([ETH0, 99]), st.binary(max_size=90)), max_size=20))
def test_no_bytes_raise(frames: list[tuple[int, bytes]]) -> None:
    """Whatever the network sends is dropped with a reason."""
    bench = owner(MINE, MINE6)
    for link, content in frames:
        bench.hear(content, on=link)
        bench.hear(b"\xff" * 6 + content, on=link)
    assert bench.role() is Role.OWNER
