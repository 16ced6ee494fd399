"""How a host leaves BGP: first as the routers' last choice (RFC 8326), then not at all."""

from appliance.bird.model import Drain

LAST_CHOICE_SECONDS = 5.0


def drain_stage(draining_since: float | None, now: float) -> Drain:
    """The stage a drain that began at a moment has reached."""
    if draining_since is None:
        return Drain.NONE
    return Drain.LAST_CHOICE if now < draining_since + LAST_CHOICE_SECONDS else Drain.WITHDRAWN


def drain_deadline(draining_since: float | None, now: float) -> float | None:
    """When the stage changes next."""
    if drain_stage(draining_since, now) is not Drain.LAST_CHOICE or draining_since is None:
        return None
    return draining_since + LAST_CHOICE_SECONDS
