"""Which hosts could answer for a VIP, and which announce it: from the store's objects and from what agents tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import IPAddress
from appliance.api.label import HOSTNAME_LABEL
from appliance.desired.announcement import Announcer, BGPDecision, announce
from appliance.desired.decide import owner_order
from appliance.l2.event import Role, RoleReason
from appliance.overview.row import HostHealth, SessionHealth
from appliance.overview.site import Site


class Inability(Enum):
    """Why a host cannot be given a VIP now."""

    UNKNOWN_HOST = "there is no such host"
    NOT_ADMITTED = "it is neither a candidate nor admitted by the advertisement's node selectors"
    DRAINED = "it is drained"
    UNREACHABLE = "it is not reachable"
    SAYS_NO = "its agent says that it cannot answer for the VIP"


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of the hosts: who is able to take something, their labels, and their BGP sessions that are up.

    `is_partial`: of some neither the store nor their own agent tells what they announce.
    """

    site: Site
    able: frozenset[str]
    labels: Mapping[str, Mapping[str, str]]
    sessions: Mapping[str, frozenset[str]]
    is_partial: bool

    def order(self, address: IPAddress) -> tuple[str, ...]:
        """Who may answer for a VIP, in order; without its object the candidates that agents tell of."""
        vip = self.site.vips.get(address)
        if vip is not None:
            return owner_order(vip, self.labels)
        told = (verdict.layer2.candidates for verdict in self.site.verdicts(address).values() if verdict.layer2)
        return next((candidates for candidates in told if candidates), ())

    def successor(self, address: IPAddress) -> str:
        """The first able host of a VIP's order; "" for none."""
        return next((host for host in self.order(address) if self._inability(address, host) is None), "")

    def inability(self, address: IPAddress, host: str) -> Inability | None:
        """Why a host cannot be given a VIP."""
        row = self.site.host(host)
        if row is None:
            return Inability.UNKNOWN_HOST
        if host not in self.order(address):
            return Inability.NOT_ADMITTED
        return Inability.DRAINED if row.drained else self._inability(address, host)

    def _inability(self, address: IPAddress, host: str) -> Inability | None:
        if host not in self.able:
            return Inability.UNREACHABLE
        verdict = self.site.verdicts(address).get(host)
        layer2 = verdict.layer2 if verdict else None
        if layer2 is not None and (layer2.role is Role.NONE or layer2.reason == RoleReason.LINK_DOWN.value):
            return Inability.SAYS_NO
        return None

    def announced(self, address: IPAddress, host: str) -> frozenset[str]:
        """The prefixes of a VIP that routers hear from a host: as its agent says, else as they are planned."""
        verdict = self.site.verdicts(address).get(host)
        if verdict is None:
            return self.planned(address, host)
        bgp, up = verdict.bgp, self.sessions[host]
        if bgp is None or not bgp.announced or not (up & frozenset(bgp.peers) if bgp.peers else up):
            return frozenset()
        return frozenset(bgp.prefixes)

    def planned(self, address: IPAddress, host: str) -> frozenset[str]:
        """The prefixes of a VIP that a host announces while it is not drained, by its labels and sessions."""
        decision = self.decision(address, host)
        return frozenset(str(entry.prefix) for entry in decision.announcements) if decision else frozenset()

    def decision(self, address: IPAddress, host: str) -> BGPDecision | None:
        """What a host that is not drained announces of a VIP over its sessions that are up; None where nobody knows."""
        vip = self.site.vips.get(address)
        if vip is None or not vip.spec.bgp or host not in self.labels:
            return None
        return announce(vip, Announcer(host, self.labels[host], self.sessions[host]))

    def announcers(self, address: IPAddress, prefix: str) -> tuple[str, ...]:
        """The able hosts that announce a prefix of a VIP."""
        return tuple(host for host in sorted(self.able) if prefix in self.announced(address, host))


def reach_of(site: Site, *, but: str = "") -> Reach:
    """What is known of a site, `but` one host that is not to be given anything."""
    names = site.host_names()
    rows = [row for name in names if name != but and (row := site.host(name))]
    return Reach(
        site=site,
        able=frozenset(row.name for row in rows if not row.drained and row.health not in _NOT_ABLE),
        labels={name: {HOSTNAME_LABEL: name, **host.metadata.labels} for name, host in site.hosts.items()},
        sessions={
            name: frozenset(row.name for row in site.sessions(name) if row.health is not SessionHealth.DOWN)
            for name in names
        },
        is_partial=any(name not in site.hosts and not site.is_heard(name) for name in names),
    )


_NOT_ABLE = frozenset({HostHealth.FAILED, HostHealth.ISOLATED, HostHealth.AGENT_DOWN})
