"""Every duration and rate of layer-2 ownership in one value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds; the defaults give a takeover about 110 ms after a suspicion."""

    convict_probe_interval_seconds: float = 0.037
    convict_probes: int = 3
    agent_grace_seconds: float = 3.0
    grace_probe_interval_seconds: float = 0.25
    slow_probe_interval_seconds: float = 0.5
    slow_probe_rounds: int = 3
    dead_probe_interval_seconds: float = 1.0

    claim_probe_interval_seconds: float = 0.05
    claim_probes: int = 3
    succession_seconds: float = 1.5  # longer than the repeated announcement, so that one lost frame moves nothing

    announce_again_seconds: float = 1.1  # above the lock time of a second in neighbour tables of old stacks
    refresh_seconds: float = 60.0
    defend_fellow_seconds: float = 1.0
    defend_foreign_seconds: float = 10.0  # RFC 5227 section 2.4, DEFEND_INTERVAL

    conflict_retry_seconds: float = 10.0
    conflict_retry_max_seconds: float = 60.0
    conflict_forget_seconds: float = 120.0

    isolation_patience_seconds: float = 10.0
    quiet_link_seconds: float = 3.0
    pause_seconds: float = 2.0

    burst: int = 50  # VIPs, each of one or two frames on every link
    burst_window_seconds: float = 0.01
