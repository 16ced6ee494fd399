"""Random histories of cuts, deaths, freezes, drains and plans: in the end one host answers for each VIP."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from appliance.api.address import IPAddress
from appliance.l2.plan import VipPlan
from appliance.l2.verdict import Role
from tests.sim.lan import HostStation, Lan

HOSTS = ("a", "b", "c", "d")
VIPS: tuple[IPAddress, ...] = (
    IPv4Address("192.168.1.240"),
    IPv6Address("2001:db8:1::f0"),
    IPv4Address("192.168.1.241"),
)
QUIET_SECONDS = 25.0
hosts = st.sampled_from(HOSTS)


class Histories(RuleBasedStateMachine):
    """Four hosts, three VIPs, and anything that can happen to them."""

    @initialize(seed=st.integers(0, 1000), bfd=st.booleans(), router=st.booleans(), loss=st.sampled_from([0.0, 0.05]))
    def begin(self, seed: int, bfd: bool, router: bool, loss: float) -> None:
        """All hosts run."""
        orders = [HOSTS, HOSTS[1:], (HOSTS[2], HOSTS[0])]
        self.lan = Lan(HOSTS, [VipPlan(*pair) for pair in zip(VIPS, orders, strict=True)], seed=seed, router=router)
        self.lan.bfd, self.lan.loss = bfd, loss
        self.lan.start()
        self.lan.poll(0.25)
        self.lan.run(1.0)

    @rule(host=hosts)
    def pull_or_plug(self, host: str) -> None:
        """The cable goes out or in."""
        if self.lan.hosts[host].carrier:
            self.lan.pull(host)
        else:
            self.lan.plug(host)

    @rule(host=st.sampled_from([*HOSTS, "client", "router"]), segment=st.integers(0, 1))
    def part(self, host: str, segment: int) -> None:
        """A switch port moves to another side of a partition."""
        self.lan.part(segment, host)

    @rule(host=hosts)
    def power_off_or_on(self, host: str) -> None:
        """A host loses power, or boots."""
        on = not self.lan.hosts[host].powered
        self.lan.power(host, on=on)
        if on:
            self.lan.start(host)

    @rule(host=hosts)
    def kill_or_start(self, host: str) -> None:
        """An agent dies or is started."""
        if self.lan.hosts[host].core:
            self.lan.kill(host)
        else:
            self.lan.start(host)

    @rule(host=hosts)
    def freeze_or_thaw(self, host: str) -> None:
        """An agent stops or goes on."""
        if self.lan.hosts[host].frozen:
            self.lan.thaw(host)
        else:
            self.lan.freeze(host)

    @rule(host=hosts, draining=st.booleans())
    def drain(self, host: str, draining: bool) -> None:
        """A drain begins or ends."""
        self.lan.drain(host, draining=draining)

    @rule(vip=st.sampled_from(VIPS), order=st.permutations(HOSTS), length=st.integers(1, 4))
    def replan(self, vip: IPAddress, order: list[str], length: int) -> None:
        """The plan of a VIP changes."""
        self.lan.vips[vip] = VipPlan(vip, tuple(order[:length]))
        self.lan.replan()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.lan.run(seconds)

    @rule()
    def rest(self) -> None:
        """Nothing happens for long: then each VIP has its owner on each side of a cut, and one only."""
        loss, self.lan.loss = self.lan.loss, 0.0
        self.lan.run(QUIET_SECONDS)
        for segment in (0, 1):
            for vip in self.lan.vips.values():
                self._judge(vip, [host for host in self.lan.hosts.values() if host.segment == segment])
        self.lan.loss = loss

    def _judge(self, vip: VipPlan, side: list[HostStation]) -> None:
        ready = [each.name for each in side if each.carrier and each.powered and each.core and not each.frozen]
        owners = [name for name in ready if self.lan.role(name, vip.address) is Role.OWNER]
        listed = [name for name in ready if name in vip.hosts]
        assert len(owners) <= 1
        assert bool(owners) >= bool(listed)
        able = [name for name in listed if not self.lan.hosts[name].draining]
        assert not able or set(owners) <= set(able)

    def teardown(self) -> None:
        """Every history ends with rest."""
        if hasattr(self, "lan"):
            self.rest()


Histories.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
