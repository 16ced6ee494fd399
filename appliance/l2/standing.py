"""Whether a host can be given a VIP, by the plan and by what is known of its life."""

from appliance.l2.liveness import Liveness
from appliance.l2.plan import Plan
from appliance.l2.verdict import Standing


class Standings:
    """Whether hosts can be given a VIP of some links."""

    def __init__(self, plan: Plan, liveness: Liveness, interfaces: tuple[str, ...]) -> None:
        self._plan, self._liveness, self._interfaces = plan, liveness, interfaces

    def __call__(self, host: str) -> Standing:
        if host == self._plan.me:
            return Standing.DRAINING if self._plan.draining else Standing.ABLE
        fellow = self._plan.fellows.get(host)
        if fellow is None or self._liveness.is_gone(host, self._interfaces):
            return Standing.GONE
        return Standing.DRAINING if fellow.draining else Standing.ABLE
