"""Whatever stands in the objects a host reads, its layer 2 acts on every plan, and on time passing after it."""

import pytest

from appliance.api.kind import Kind
from appliance.desired.decide import decide
from appliance.l2.event import LinksChanged, PlanChanged, SendFrame, TimePassed
from appliance.l2.machine import Layer2Machine
from tests.unit.desired.feed import feed_of
from tests.unit.hostile.bird import HERE, site
from tests.unit.hostile.test_api import accepted

LAYER2_KINDS = (Kind.HOST, Kind.VIRTUAL_IP)


@pytest.mark.parametrize("kind", LAYER2_KINDS)
def test_every_plan_is_acted_upon(kind: Kind) -> None:
    """One core takes all of them, one after the other; every frame it sends has its own address as the source."""
    core, now, sent = Layer2Machine(), 0.0, 0
    core.handle(LinksChanged(HERE.links), now)
    feeds = (feed_of(site(manifest)) for manifest in accepted(kind))
    distinct = {repr([*(host.status.interfaces for host in feed.hosts.values()), feed.vips]): feed for feed in feeds}
    for feed in distinct.values():
        commands = core.handle(PlanChanged(decide(feed, HERE).layer2), now)
        for _ in range(3):
            deadline = core.deadline()
            now = now + 0.1 if deadline is None else max(now, deadline)
            commands += core.handle(TimePassed(), now)
        frames = [command.frame for command in commands if isinstance(command, SendFrame)]
        assert {frame[6:12] for frame in frames} <= {HERE.links[0].hardware_address}
        sent += len(frames)
    assert sent > len(distinct) / 10
