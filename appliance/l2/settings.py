"""Every duration and rate of layer-2 ownership in one value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer2Settings:
    """Durations in seconds; the defaults give a takeover about 110 ms after a host was lost."""

    probe_interval_seconds: float = 0.037
    probe_rounds: int = 3
    agent_grace_seconds: float = 3.0  # lets systemd restart an agent
    grace_interval_seconds: float = 0.25
    watch_interval_seconds: float = 0.5
    watch_rounds: int = 3
    routed_interval_seconds: float = 1.0  # BFD watches these too
    routed_rounds: int = 2
    questions_per_second: float = 20.0  # to all neighbors that BFD watches and all that failed
    failed_interval_seconds: float = 1.0

    claim_probe_interval_seconds: float = 0.05
    claim_probes: int = 3
    succession_seconds: float = 1.5  # longer than the repeated announcement, so that one lost frame moves nothing
    release_delay_seconds: float = 0.1  # so that the plan that asks for it has reached the other hosts
    release_interval_seconds: float = 0.5
    release_often: int = 20
    release_seldom_seconds: float = 15.0
    release_valid_seconds: float = 1.8

    offer_seconds: float = 5.0  # longer than a host of an older version waits for its turn

    give_back_seconds: float = 30.0

    announce_again_seconds: float = 1.1  # above the lock time of a second in neighbour tables of old stacks
    refresh_seconds: float = 60.0

    contest_interval_seconds: float = 0.25
    contest_silent_rounds: int = 3
    contest_young_seconds: float = 10.0
    defend_foreign_seconds: float = 10.0  # RFC 5227 section 2.4, DEFEND_INTERVAL

    conflict_retry_seconds: float = 10.0
    conflict_retry_max_seconds: float = 60.0
    conflict_forget_seconds: float = 120.0

    quiet_link_seconds: float = 3.0
    isolated_interval_seconds: float = 0.5
    station_interval_seconds: float = 60.0
    pause_seconds: float = 2.0

    burst: int = 50  # VIPs, each of one or two frames on every link
    burst_window_seconds: float = 0.01
