"""What this host holds of one VIP: its own part, the host believed to answer, and whose turn it is since when."""

from dataclasses import dataclass

from appliance.l2.plan import VipPlan
from appliance.l2.verdict import Reason, Role

NEVER = float("-inf")


@dataclass(slots=True)
class Tenure:
    """One VIP; `open_since` is when somebody's turn to claim began, `bereft` that its owner was convicted."""

    vip: VipPlan
    role: Role = Role.NONE
    reason: Reason = Reason.AWAITING_OWNER
    owner: str | None = None
    open_since: float | None = None
    retry_at: float = NEVER
    bereft: bool = False
    probes: int = 0

    def vacate(self) -> None:
        """Nobody is known to answer any more."""
        self.owner, self.open_since, self.bereft = None, None, False
