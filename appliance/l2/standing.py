"""Whether hosts can be given VIPs, by the plan and by what is known of their lives."""

from appliance.l2.link import Links
from appliance.l2.liveness import Liveness
from appliance.l2.plan import Plan, VipPlan
from appliance.l2.verdict import Standing


class Standings:
    """What is held of hosts for VIPs of some links; worked out once for each host."""

    def __init__(self, plan: Plan, liveness: Liveness, interfaces: tuple[str, ...]) -> None:
        self._plan, self._liveness, self._interfaces = plan, liveness, interfaces
        self._known: dict[str, Standing] = {}

    def __call__(self, host: str) -> Standing:
        """The standing of a host."""
        if host not in self._known:
            self._known[host] = self._judge(host)
        return self._known[host]

    def _judge(self, host: str) -> Standing:
        if host == self._plan.me:
            return Standing.DRAINING if self._plan.draining else Standing.ABLE
        fellow = self._plan.fellows.get(host)
        if fellow is None or self._liveness.is_gone(host, self._interfaces):
            return Standing.GONE
        return Standing.DRAINING if fellow.draining else Standing.ABLE


class StandingBook:
    """The standings for the links of each VIP, kept until a conviction, a plan or the links change."""

    def __init__(self, links: Links, liveness: Liveness) -> None:
        self._links, self._liveness = links, liveness
        self._plan = Plan("")
        self._version = -1
        self._standings: dict[tuple[str, ...], Standings] = {}

    def replan(self, plan: Plan) -> None:
        """Judge by another plan."""
        self._plan, self._standings = plan, {}

    def of(self, vip: VipPlan) -> Standings:
        """The standings of all hosts for a VIP."""
        if self._version != self._liveness.convicted_version:
            self._standings, self._version = {}, self._liveness.convicted_version
        interfaces = self._links.usable(vip)
        if interfaces not in self._standings:
            self._standings[interfaces] = Standings(self._plan, self._liveness, interfaces)
        return self._standings[interfaces]
