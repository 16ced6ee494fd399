"""Announcing VIPs: at once, once more, then now and then; paced in bursts; brought forward to defend an address."""

from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.l2 import port
from appliance.l2.agenda import Agenda, Pacer
from appliance.l2.journal import Journal
from appliance.l2.link import Links
from appliance.l2.plan import VipPlan
from appliance.l2.timing import Timing
from appliance.l2.verdict import Count


@dataclass(slots=True)
class _Round:
    vip: VipPlan
    said: int = 0
    said_at: float = float("-inf")
    defended_at: float = float("-inf")


class Announcer:
    """Says who answers, for every VIP that was started and not stopped."""

    def __init__(self, timing: Timing, links: Links, journal: Journal) -> None:
        self._timing, self._links, self._journal = timing, links, journal
        self._pacer = Pacer(timing)
        self._rounds: dict[IPAddress, _Round] = {}
        self.agenda: Agenda[IPAddress] = Agenda()

    def start(self, vip: VipPlan, now: float) -> None:
        """Announce a VIP as new, also when it was announced before."""
        self._rounds[vip.address] = _Round(vip)
        self.agenda.put(vip.address, self._pacer.slot(now))

    def stop(self, address: IPAddress) -> None:
        """Say no more about a VIP."""
        self._rounds.pop(address, None)
        self.agenda.drop(address)

    def defend_against_fellow(self, address: IPAddress, now: float) -> None:
        """Announce again soon, so that of two owners the one that is to yield hears it."""
        said = self._rounds[address]
        moment = max(now, said.said_at + self._timing.defend_fellow_seconds)
        due = self.agenda.when(address)
        self.agenda.put(address, moment if due is None else min(due, moment))

    def defend_against_stranger(self, address: IPAddress, now: float) -> bool:
        """Announce once, and not again for a while, lest two defenders shout at each other."""
        said = self._rounds[address]
        if now < said.defended_at + self._timing.defend_foreign_seconds:
            return False
        said.defended_at = now
        self.agenda.put(address, now)
        return True

    def run(self, address: IPAddress, now: float) -> None:
        """Announce a VIP that is due, and set when it is due again."""
        said = self._rounds[address]
        for name in self._links.usable(said.vip):
            self._announce(name, said)
        said.said, said.said_at = said.said + 1, now
        wait = self._timing.announce_again_seconds if said.said == 1 else self._timing.refresh_seconds
        self.agenda.put(address, now + wait)

    def _announce(self, name: str, said: _Round) -> None:
        link = self._links.get(name)
        if link is None or (said.said and link.isolated_since is not None):
            return  # whoever took over while the link led nowhere is not to be talked over when it heals
        for frame in port.announcements(link.interface, said.vip.address):
            self._journal.send(name, frame, Count.ANNOUNCEMENTS)
