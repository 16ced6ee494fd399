"""Links: quiet, connected, isolated, made anew."""

from dataclasses import replace
from ipaddress import ip_interface

from appliance.l2 import frame
from appliance.l2.event import (
    GroupsChanged,
    Interface,
    IsolationChanged,
    LinksChanged,
    Plan,
    PlanChanged,
    Reachability,
    Role,
    RoleReason,
    RouteLost,
    VipChanged,
    VipPlan,
    VipStatus,
)
from appliance.l2.frame import Ignored
from tests.unit.l2.bench import (
    A1,
    B1,
    CLIENT,
    ETH0,
    ETH1,
    INSIDE,
    MINE,
    MINE6,
    VIP,
    VIP6,
    A,
    B,
    Bench,
    answers,
    claims,
    interface,
    owner,
    plan,
)


def test_it_waits_while_the_link_is_quiet() -> None:
    """Where nothing was heard silence proves nothing: the claim waits three seconds."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.run(2.9)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.LINK_QUIET)
    bench.run(0.5)
    assert bench.role() is Role.OWNER


def test_it_claims_nothing_where_others_speak_and_none_answers() -> None:
    """Heard but not answered it may be mute, or the gateway is behind a cut: the link is isolated."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.hear(frame.question(CLIENT, VIP + 9))
    said = bench.run(10.0)
    assert IsolationChanged(ETH0, isolated=True) in said
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.LINK_ISOLATED)
    assert IsolationChanged(ETH0, isolated=False) in bench.hear(*answers(CLIENT))
    assert bench.role() is Role.PROBING


def test_a_stranger_that_probes_says_nothing_of_the_link() -> None:
    """A machine that comes up has no address to answer for yet: its silence is no isolation, and the VIP is claimed."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.hear(frame.probe(CLIENT, VIP + 9), frame.probe(CLIENT, VIP6 + 9))
    said = bench.run(3.4)
    assert IsolationChanged(ETH0, isolated=True) not in said
    assert bench.role() is Role.OWNER


def test_who_speaks_after_the_quiet_is_asked_until_it_answers() -> None:
    """The first question may be lost: a link that was heard too late to be isolated does not wait for a frame."""
    bench = Bench(LinksChanged((A,)), PlanChanged(Plan("a", {VIP: MINE})))
    bench.run(3.05)
    assert bench.role() is Role.PROBING
    asked = frame.Question(VIP + 9, A.addresses[0].ip, A.hardware_address, by_agent=True)
    said = bench.hear(frame.question(replace(CLIENT, addresses=(ip_interface("192.168.1.249/24"),)), VIP + 8))
    assert asked in said
    said = bench.run(2.0)
    assert said.count(asked) >= 3
    bench.hear(*answers(CLIENT))
    bench.run(0.5)
    assert bench.role() is Role.OWNER


def test_silence_of_all_is_isolation() -> None:
    """Where somebody else answered before and is silent too the link is to blame, and nobody has failed, ever."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteLost("b"))
    said = bench.run(60.0)
    assert said.count(IsolationChanged(ETH0, isolated=True)) == 1
    assert VipChanged(VIP, VipStatus(Role.OWNER, RoleReason.LINK_ISOLATED, "a")) in said
    assert bench.core.neighbors() == {"b": Reachability.PROBE}
    assert bench.role(VIP + 1) is Role.CANDIDATE
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []
    said = bench.hear(*answers(CLIENT))
    assert IsolationChanged(ETH0, isolated=False) in said
    assert bench.role() is Role.PROBING


def test_groups_follow_ownership() -> None:
    """The solicited-node group is listened to while probing and owning, on the VIP's interfaces only."""
    group = bytes.fromhex("3333ff0000f0")
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE, MINE6)))
    assert GroupsChanged(ETH0, frozenset({group}), frozenset()) in bench.hear(*answers(B))
    assert bench.core.groups(ETH0) == {group}
    said = bench.hear(frame.announcements(B, VIP6)[0])
    assert GroupsChanged(ETH0, frozenset(), frozenset({group})) in said
    assert bench.core.groups(ETH0) == frozenset()
    assert bench.core.groups(99) == frozenset()


def test_an_interface_made_anew_is_another_link() -> None:
    """Frames of the old index are passed over, the VIP is answered on the new one."""
    bench = owner(MINE)
    anew = Interface(7, A.name, A.hardware_address, True, A.addresses)
    bench.give(LinksChanged((anew,)))
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []
    assert bench.core.drops()[Ignored.INTERFACE] >= 1
    assert claims(bench.hear(frame.question(CLIENT, VIP), on=7)) == [(VIP, A.hardware_address)]


def test_interfaces_of_a_vip() -> None:
    """A VIP is answered on its own interfaces only, and let go of when none of them is up."""
    inside = VipPlan(INSIDE, ("a", "b"), interfaces=("eth1",))
    bench = Bench(LinksChanged((A, A1)), PlanChanged(plan(MINE, inside)))
    bench.hear(*answers(B))
    bench.hear(*answers(B1, to=A1), on=ETH1)
    bench.run(1.0)
    assert claims(bench.hear(frame.question(CLIENT, INSIDE))) == []
    assert claims(bench.hear(frame.question(B1, INSIDE), on=ETH1)) == [(INSIDE, A1.hardware_address)]
    bench.give(LinksChanged((A, interface(ETH1, 11, up=False))))
    assert bench.status(INSIDE) == VipStatus(Role.CANDIDATE, RoleReason.LINK_DOWN)
    assert bench.role() is Role.OWNER
