"""Random histories of all that can happen to hosts, links, plans and agents: what holds after each, and in the end.

PIERHEAD_HISTORIES sets how many histories are run.
"""

import os
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from appliance.api.address import IPAddress
from appliance.l2.event import Reachability, Role, RoleReason, VipChanged, VipPlan
from tests.sim.lan import Card, HostStation, Lan, Station

HOSTS = ("a", "b", "c", "d")
V4, V6, OTHER = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0"), IPv4Address("192.168.1.241")
INSIDE, BOTH = IPv4Address("10.1.0.240"), IPv4Address("192.168.1.242")
INTERFACES: dict[IPAddress, tuple[str, ...]] = {
    V4: ("eth0",),
    V6: ("eth0",),
    OTHER: ("eth0",),
    INSIDE: ("eth1",),
    BOTH: (),
}
VIPS = tuple(INTERFACES)
QUIET_SECONDS = 20.0
DISTURBED_SECONDS = 8.0
GIVEN_SECONDS = 100.0
hosts = st.sampled_from(HOSTS)
wires = st.sampled_from([0, 0, 1])


class WatchedLan(Lan):
    """A LAN that objects when a host takes a VIP over from one that is well and was so for a while."""

    disturbed: dict[str, float]
    given: dict[IPAddress, float]

    def told(self, host: HostStation, command: VipChanged) -> None:
        """See what a host says of a VIP before and after."""
        super().told(host, command)
        before = host.vips.get(command.address)
        status = command.status
        is_new = status is not None and status.role is Role.OWNER and (before is None or before.role is not Role.OWNER)
        if is_new and host.name in self.drained:
            self.given[command.address] = self.now
        if self.loss or status is None or before is None or status.reason is not RoleReason.TOOK_OVER:
            return
        owner = before.owner
        if owner is None or owner == host.name:
            return
        quiet_since = max(self.disturbed[name] for name in (host.name, owner, "all"))
        is_well = self.role(owner, command.address) is Role.OWNER and self.now > quiet_since + DISTURBED_SECONDS
        wired = any(is_sound(card) for card in self.hosts[owner].cards) and self.hosts[owner].reaches(host)
        assert not (is_well and wired and not self.hosts[owner].frozen), (
            f"{host.name} took {command.address} from {owner}"
        )


def is_sound(card: Card) -> bool:
    """Whether a card sends and receives everything."""
    return card.carrier and card.resolves and not card.deaf and not card.mute


class Histories(RuleBasedStateMachine):
    """Four hosts on two wires, five VIPs, and anything that can happen to them."""

    @initialize(
        seed=st.integers(0, 1000), bfd=st.booleans(), router=st.booleans(), loss=st.sampled_from([0.0, 0.0, 0.05])
    )
    def begin(self, seed: int, bfd: bool, router: bool, loss: float) -> None:
        """All hosts run."""
        orders = [HOSTS, HOSTS[1:], (HOSTS[2], HOSTS[0]), HOSTS[::-1], HOSTS[2:] + HOSTS[:2]]
        plans = [VipPlan(vip, order, INTERFACES[vip]) for vip, order in zip(VIPS, orders, strict=True)]
        self.lan = WatchedLan(HOSTS, plans, seed=seed, router=router, wires=2)
        self.lan.disturbed = dict.fromkeys((*HOSTS, "all"), 0.0)
        self.lan.given = {}
        self.lan.bfd, self.lan.loss = bfd, loss
        self.lan.start()
        self.lan.poll(0.5)
        self.lan.run(1.0)

    def disturb(self, name: str = "all") -> None:
        """Note that something happened to a host, or to the LAN."""
        self.lan.disturbed[name if name in self.lan.disturbed else "all"] = self.lan.now

    @rule(host=hosts, wire=wires)
    def pull_or_plug(self, host: str, wire: int) -> None:
        """A cable goes out or in."""
        self.disturb(host)
        if self.lan.hosts[host].cards[wire].carrier:
            self.lan.pull(host, wire)
        else:
            self.lan.plug(host, wire)

    @rule(host=st.sampled_from([*HOSTS, "client", "router"]), segment=st.integers(0, 1), wire=wires)
    def part(self, host: str, segment: int, wire: int) -> None:
        """A switch port moves to another side of a partition."""
        self.disturb()
        self.lan.part(segment, host, wire=wire)

    @rule(host=hosts, wire=wires, how=st.sampled_from(["deaf", "mute", "deaf", "mute", "resolves", "well", "well"]))
    def ail(self, host: str, wire: int, how: str) -> None:
        """A card loses what it receives, what it sends, or ARP and NDP alone; or it is well again."""
        self.disturb(host)
        self.lan.ail(host, wire, deaf=how == "deaf", mute=how == "mute", resolves=how != "resolves")

    @rule(host=hosts)
    def power_off_or_on(self, host: str) -> None:
        """A host loses power, or boots."""
        self.disturb(host)
        on = not self.lan.hosts[host].powered
        self.lan.power(host, on=on)
        if on:
            self.lan.start(host)

    @rule(host=hosts)
    def kill_or_start(self, host: str) -> None:
        """An agent dies or is started."""
        self.disturb(host)
        if self.lan.hosts[host].core:
            self.lan.kill(host)
        else:
            self.lan.start(host)

    @rule(host=hosts)
    def stop(self, host: str) -> None:
        """An agent ends on purpose."""
        self.disturb(host)
        if not self.lan.hosts[host].frozen:
            self.lan.stop(host)

    @rule(host=hosts)
    def freeze_or_thaw(self, host: str) -> None:
        """An agent stops or goes on."""
        self.disturb(host)
        if self.lan.hosts[host].frozen:
            self.lan.thaw(host)
        else:
            self.lan.freeze(host)

    @rule(host=hosts, draining=st.booleans())
    def drain(self, host: str, draining: bool) -> None:
        """A drain begins or ends."""
        self.lan.drain(host, draining=draining)

    @rule(vip=st.sampled_from(VIPS), host=hosts, to=st.sampled_from([*HOSTS, ""]))
    def move(self, vip: IPAddress, host: str, to: str) -> None:
        """An operator asks a host to hand a VIP over to another, or to the next."""
        self.lan.move(host, vip, to)

    @rule(vip=st.sampled_from(VIPS), order=st.permutations(HOSTS), length=st.integers(1, 4))
    def replan(self, vip: IPAddress, order: list[str], length: int) -> None:
        """The plan of a VIP changes."""
        self.lan.vips[vip] = VipPlan(vip, tuple(order[:length]), INTERFACES[vip])
        self.lan.replan()

    @rule(host=hosts, cut=st.booleans())
    def cut_store(self, host: str, cut: bool) -> None:
        """A host goes on with the plan it has, or reads the store again."""
        self.lan.cut_store(host, cut=cut)

    @rule(host=hosts)
    def bird_ends_or_starts(self, host: str) -> None:
        """BIRD dies and leaves its routes, or runs again."""
        self.disturb(host)
        if self.lan.hosts[host].bird:
            self.lan.kill_bird(host)
        else:
            self.lan.start_bird(host)

    @rule(host=hosts, lost=st.booleans())
    def lose_bfd(self, host: str, lost: bool) -> None:
        """BFD's packets alone are lost, or are not."""
        self.disturb(host)
        self.lan.lose_bfd(host, lost=lost)

    @rule(host=hosts, wire=wires)
    def remake(self, host: str, wire: int) -> None:
        """An interface is made anew under its name."""
        self.disturb(host)
        self.lan.remake(host, wire)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.lan.run(seconds)

    @rule()
    def rest(self) -> None:
        """Nothing happens for a while: then each VIP has one owner where one can be, and keeps it."""
        self.settle(self.judge_all)

    def settle(self, judge: Callable[[], None]) -> None:
        """Let time pass without loss until a judgement is passed, within a bound, and once more a little later."""
        loss, self.lan.loss = self.lan.loss, 0.0
        begun = self.lan.now
        while True:
            self.lan.run(4.0)
            try:
                judge()
                break
            except AssertionError:
                if self.lan.now > begun + QUIET_SECONDS:
                    raise
        self.lan.run(2.5)
        judge()
        self.lan.loss = loss

    def judge_all(self) -> None:
        """Judge every VIP on every side of a cut, and what every core told."""
        for vip in VIPS:
            for wire in self.lan.wires_of(vip):
                for segment in (0, 1):
                    self.judge(vip, wire, segment)
        for host in self.lan.hosts.values():
            self.judge_told(host)

    def judge(self, vip: IPAddress, wire: int, segment: int) -> None:
        """Of the hosts that hear each other on a wire one at most answers, and one does where one could."""

        def is_here(station: Station) -> bool:
            card = station.cards[wire]
            return station.powered and is_sound(card) and card.segment == segment

        ready = [host for host in self.lan.hosts.values() if is_here(host) and host.core and not host.frozen]
        owners = [host.name for host in ready if self.lan.role(host.name, vip) is Role.OWNER]
        # Of hosts that hear each other on one wire alone, some on this and some on that, each wire may have its owner,
        # and a host on both is between them.
        others = (host for host in self.lan.hosts.values() if host.powered and host.core and not host.frozen)
        is_whole = all(host in ready or not any(map(is_sound, host.cards)) for host in others)
        assert len(owners) <= 1 or (len(self.lan.wires_of(vip)) > 1 and not is_whole), f"{vip} on {wire}: {owners}"
        is_alone = sum(is_here(station) for station in self.lan.stations()) <= 1
        listed = [host.name for host in ready if host.name in host.plan.vips[vip].hosts and not host.leaving]
        if len(self.lan.wires_of(vip)) > 1 or is_alone or not listed:
            return
        assert owners, f"{vip} on wire {wire}: nobody of {listed}"
        is_given_lately = self.lan.now < self.lan.given.get(vip, float("-inf")) + GIVEN_SECONDS
        if is_given_lately or not all(host.store for host in self.lan.hosts.values()):
            return
        able = [name for name in listed if name not in self.lan.drained]
        assert not able or owners[0] in able, f"{vip} on wire {wire}: {owners} and not {able}"

    def judge_told(self, host: HostStation) -> None:
        """What the commands of a core told is what it holds."""
        core = host.core
        if core is None or host.frozen:
            return
        assert host.vips == core.vips()
        assert host.neighbors == core.neighbors()
        assert frozenset(host.isolated) == core.isolated_links()
        for card in host.cards:
            if card.carrier:
                assert host.groups.get(card.index, set()) == core.groups(card.index)

    def heal(self) -> None:
        """Everything is well again, and all agents run."""
        lan = self.lan
        self.disturb()
        for name, host in lan.hosts.items():
            if not host.powered:
                lan.power(name, on=True)
            if host.frozen:
                lan.thaw(name)
            for wire in (0, 1):
                lan.ail(name, wire, deaf=False, mute=False, resolves=True)
                lan.part(0, name, wire=wire)
                if not host.cards[wire].carrier:
                    lan.plug(name, wire)
            lan.lose_bfd(name, lost=False)
            lan.start_bird(name)
            lan.cut_store(name, cut=False)
            if host.core is None or host.kept is not None or host.leaving:
                lan.kill(name)
                lan.start(name)
        lan.part(0, "client", "router")

    def teardown(self) -> None:
        """Every history ends with rest, and once more with rest after all is well: then all hosts agree."""
        if not hasattr(self, "lan"):
            return
        self.rest()
        self.heal()
        self.settle(self.judge_healed)

    def judge_healed(self) -> None:
        """All is well: all hosts agree who answers, and who can be reached."""
        self.judge_all()
        for vip, plan in self.lan.vips.items():
            able = [name for name in plan.hosts if name not in self.lan.drained]
            owners = self.lan.owners(vip)
            assert len(owners) == 1
            if self.lan.now > self.lan.given.get(vip, float("-inf")) + GIVEN_SECONDS:
                assert owners[0] in (able or plan.hosts)
            assert {self.lan.hosts[name].vips[vip].owner for name in plan.hosts} == set(owners)
        for host in self.lan.hosts.values():
            assert set(host.neighbors.values()) == {Reachability.REACHABLE}
            assert not host.isolated


Histories.TestCase.settings = settings(
    max_examples=int(os.environ.get("PIERHEAD_HISTORIES", "20")),
    stateful_step_count=14,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    derandomize="PIERHEAD_HISTORIES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
