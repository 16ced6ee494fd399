"""Who answers for each VIP: claim when it is our turn, learn from claims, yield to the better of two.

The rules, for each VIP:
- An owner keeps it while it lives, is listed and does not drain.
- An owner that drains or is not listed answers until its successor claims; the successor claims at once.
- When an owner is convicted the next host claims at once; when no owner is known the next host probes first.
- The host in place n of the succession waits n times `succession_seconds`, then deals with it in the same way.
- Of two owners that hear each other the better one announces again and the other yields.
"""

from collections.abc import Mapping

from appliance.api.address import IPAddress
from appliance.l2 import port
from appliance.l2.agenda import Agenda, Pacer
from appliance.l2.announcer import Announcer
from appliance.l2.conflict import Conflicts
from appliance.l2.election import outranks, succession
from appliance.l2.holding import Holdings
from appliance.l2.journal import Journal
from appliance.l2.link import Link, Links
from appliance.l2.liveness import Liveness
from appliance.l2.plan import Plan, VipPlan
from appliance.l2.standing import StandingBook
from appliance.l2.tenure import NEVER, Tenure
from appliance.l2.timing import Timing
from appliance.l2.verdict import Count, Holding, Reason, Role, Standing


class Ownership:
    """Every VIP's tenure as seen by this host."""

    def __init__(self, timing: Timing, links: Links, liveness: Liveness, journal: Journal) -> None:
        self._timing, self._links, self._liveness, self._journal = timing, links, liveness, journal
        self._plan = Plan("")
        self._tenures: dict[IPAddress, Tenure] = {}
        self.holdings = Holdings(journal)
        self._open: dict[IPAddress, None] = {}
        self._owned: dict[IPAddress, None] = {}
        self._standings = StandingBook(links, liveness)
        self._claim_pacer, self._wait_pacer = Pacer(timing), Pacer(timing)
        self.announcer = Announcer(timing, links, journal)
        self.conflicts = Conflicts(timing, journal)
        self.agenda: Agenda[IPAddress] = Agenda()

    def vip(self, address: IPAddress) -> VipPlan | None:
        """The plan of a VIP."""
        tenure = self._tenures.get(address)
        return tenure.vip if tenure else None

    # what changed

    def replan(self, plan: Plan, now: float) -> None:
        """Take over a plan and look again at what it changes."""
        before, self._plan = self._plan, plan
        self._standings.replan(plan)
        for address in self._tenures.keys() - plan.vips.keys():
            self._remove(address)
        touched: dict[IPAddress, None] = dict.fromkeys(self._open)
        touched.update(self._owned if before.draining != plan.draining else {})
        for name in before.fellows.keys() | plan.fellows.keys():
            if before.fellows.get(name) != plan.fellows.get(name):
                touched.update(dict.fromkeys(self._liveness.charges.of(name)))
        for address, vip in plan.vips.items():
            if self._adopt(address, vip, now):
                touched[address] = None
        self.review(touched, now)

    def _adopt(self, address: IPAddress, vip: VipPlan, now: float) -> bool:
        tenure = self._tenures.get(address)
        if tenure is None:
            self._tenures[address] = Tenure(vip)
            return True
        if tenure.vip == vip:
            return False
        is_moved, tenure.vip = tenure.vip.interfaces != vip.interfaces, vip
        if tenure.owner != self._plan.me:
            self._liveness.charges.move(address, vip.interfaces, tenure.owner, tenure.owner)
        elif is_moved:
            self.announcer.start(vip, now)
        return True

    def _remove(self, address: IPAddress) -> None:
        tenure = self._tenures.pop(address)
        self._liveness.charges.move(address, (), tenure.owner, None)
        self._silence(address)
        self.agenda.drop(address)
        self.conflicts.forget(address)
        self._open.pop(address, None)
        self.holdings.drop(address)

    def review(self, addresses: Mapping[IPAddress, None], now: float) -> None:
        """Look again at some VIPs."""
        for address in sorted(addresses, key=lambda each: (each.version, int(each))):
            if address in self._tenures:
                self._reconcile(self._tenures[address], now)

    def review_open(self, now: float) -> None:
        """Look again at the VIPs whose succession is open."""
        self.review(dict(self._open), now)

    def review_all(self, now: float) -> None:
        """Look again at every VIP, and announce those that are owned: the links changed."""
        self.review(dict.fromkeys(self._tenures), now)
        self.announce_owned(now)

    def review_fellow(self, fellow: str, now: float) -> None:
        """Look again at what a fellow owns."""
        self.review(dict.fromkeys(self._liveness.charges.of(fellow)), now)

    def announce_owned(self, now: float) -> None:
        """Announce again all that is owned, for those who could not hear before."""
        for address in tuple(self._owned):
            self.announcer.start(self._tenures[address].vip, now)

    def vacate(self, addresses: set[IPAddress], now: float) -> None:
        """A living agent did not answer for some VIPs."""
        for address in addresses:
            tenure = self._tenures.get(address)
            if tenure and tenure.owner != self._plan.me:
                self._believe(tenure, None)
        self.review(dict.fromkeys(addresses), now)

    def doubt(self, link: Link, now: float) -> None:
        """After time without contact on a link: ask before answering again, and forget who answers."""
        on_link = [t for t in self._tenures.values() if link.interface.name in self._links.usable(t.vip)]
        for tenure in on_link:
            was_owner = tenure.role is Role.OWNER
            self._believe(tenure, None)
            if was_owner:
                self._probe(tenure, now)
        self.review(dict.fromkeys(tenure.vip.address for tenure in on_link), now)

    # what was heard

    def hear_claim(self, address: IPAddress, fellow: str, now: float) -> None:
        """A fellow answers for an address."""
        tenure = self._tenures.get(address)
        if tenure is None:
            return
        if tenure.role is Role.OWNER:
            self._contend(tenure, fellow, now)
        elif tenure.owner != fellow or tenure.role is Role.PROBING or tenure.bereft:
            self._believe(tenure, fellow)
            tenure.role, tenure.retry_at = Role.NONE, NEVER
            self._reconcile(tenure, now)

    def _contend(self, tenure: Tenure, fellow: str, now: float) -> None:
        if outranks(tenure.vip, self._plan.me, fellow, self._standings.of(tenure.vip)):
            self._journal.counts[Count.DEFENCES] += 1
            return self.announcer.defend_against_fellow(tenure.vip.address, now)
        self._journal.counts[Count.YIELDS] += 1
        self._silence(tenure.vip.address)
        self._believe(tenure, fellow)
        tenure.role = Role.NONE
        return self._reconcile(tenure, now)

    def hear_probe(self, address: IPAddress, fellow: str, now: float) -> None:
        """A fellow is about to claim an address; of two that are, the better one goes on."""
        tenure = self._tenures.get(address)
        if tenure is None or tenure.role is not Role.PROBING:
            return
        if not outranks(tenure.vip, self._plan.me, fellow, self._standings.of(tenure.vip)):
            tenure.role = Role.NONE
            tenure.retry_at = now + self._timing.succession_seconds
            self._reconcile(tenure, now)

    def hear_stranger(self, address: IPAddress, hardware_address: bytes, interface: str, now: float) -> None:
        """A hardware address of no fellow has an address, or is about to claim it."""
        tenure = self._tenures.get(address)
        if tenure is None or tenure.role not in (Role.OWNER, Role.PROBING):
            return
        self.conflicts.record(address, hardware_address, interface, now)
        if tenure.role is Role.PROBING:
            tenure.role, tenure.bereft = Role.NONE, False
            tenure.retry_at = now + self.conflicts.back_off(address)
            self._reconcile(tenure, now)
        elif self.announcer.defend_against_stranger(address, now):
            self._journal.counts[Count.DEFENCES] += 1

    # what follows

    def run(self, address: IPAddress, due: float, now: float) -> None:
        """A VIP's time has come: probe on, claim, or see whose turn it is."""
        tenure = self._tenures[address]
        if tenure.role is not Role.PROBING:
            return self._reconcile(tenure, now)
        timing = self._timing
        came_late = now - due > timing.claim_probe_interval_seconds  # answers may wait unread behind us
        if tenure.probes >= (2 * timing.claim_probes if came_late else timing.claim_probes):
            return self._claim(tenure, Reason.CLAIMED, now)
        tenure.probes += 1
        for name in self._links.usable(tenure.vip):
            link = self._links.get(name)
            if link is not None:
                self._journal.send(name, port.probe(link.interface, address), Count.PROBES)
        return self.agenda.put(address, now + timing.claim_probe_interval_seconds)

    def _reconcile(self, tenure: Tenure, now: float) -> None:
        address, me = tenure.vip.address, self._plan.me
        if not self._links.usable(tenure.vip):
            self._believe(tenure, None)
            return self._stand_by(tenure, Reason.LINK_DOWN)
        if tenure.role is Role.OWNER and tenure.vip.hosts:
            return self._keep(tenure)
        if tenure.owner == me:
            self._believe(tenure, None)
        self._lose_the_dead(tenure)
        line = succession(tenure.vip, tenure.owner, self._standings.of(tenure.vip))
        if line:
            self._open[address] = None
        else:
            self._open.pop(address, None)
            tenure.open_since = None
        if me in line:
            return self._take_turn(tenure, line.index(me), now)
        self.agenda.drop(address)
        return self._stand_by(tenure, _reason(tenure, bool(line)))

    def _keep(self, tenure: Tenure) -> None:
        self._open.pop(tenure.vip.address, None)
        is_leaving = self._plan.draining or self._plan.me not in tenure.vip.hosts
        stays = Reason.CLAIMED if tenure.reason is Reason.LEAVING else tenure.reason
        self._hold(tenure, Role.OWNER, Reason.LEAVING if is_leaving else stays)

    def _lose_the_dead(self, tenure: Tenure) -> None:
        owner = tenure.owner
        if owner is not None and self._standings.of(tenure.vip)(owner) is Standing.GONE:
            self._believe(tenure, None)
            tenure.bereft = True

    def _take_turn(self, tenure: Tenure, place: int, now: float) -> None:
        address = tenure.vip.address
        if tenure.role is Role.PROBING:
            return
        if tenure.open_since is None:
            tenure.open_since = self._wait_pacer.slot(now) if place else now
        turn = max(tenure.open_since + place * self._timing.succession_seconds, tenure.retry_at)
        if now < turn:
            self.agenda.put(address, turn)
            self._stand_by(tenure, _reason(tenure, True))
        elif tenure.owner is not None:
            self._claim(tenure, Reason.HANDED_OVER, now)
        elif tenure.bereft and not place:
            self._claim(tenure, Reason.TOOK_OVER, now)
        elif self._links.is_quiet(tenure.vip, now):
            self._stand_by(tenure, Reason.LINK_QUIET)
        else:
            self._probe(tenure, now)

    def _probe(self, tenure: Tenure, now: float) -> None:
        self._silence(tenure.vip.address)
        tenure.probes = 0
        self._open[tenure.vip.address] = None
        self._hold(tenure, Role.PROBING, Reason.PROBING)
        self.agenda.put(tenure.vip.address, self._claim_pacer.slot(now))

    def _claim(self, tenure: Tenure, reason: Reason, now: float) -> None:
        address = tenure.vip.address
        counts = {Reason.TOOK_OVER: Count.TAKEOVERS, Reason.HANDED_OVER: Count.HAND_OVERS}
        self._journal.counts[counts.get(reason, Count.CLAIMS)] += 1
        self._believe(tenure, self._plan.me)
        self._owned[address] = None
        self._open.pop(address, None)
        self.agenda.drop(address)
        self._hold(tenure, Role.OWNER, reason)
        self.announcer.start(tenure.vip, now)
        if reason is Reason.CLAIMED:
            self.conflicts.forget(address)
        self._keep(tenure)

    def _stand_by(self, tenure: Tenure, reason: Reason) -> None:
        is_listed = self._plan.me in tenure.vip.hosts
        self._silence(tenure.vip.address)
        if reason is Reason.AWAITING_OWNER and tenure.vip.address in self.conflicts.all():
            reason = Reason.CONFLICT
        role = Role.CANDIDATE if is_listed else Role.NONE
        self._hold(tenure, role, reason if is_listed else Reason.NOT_LISTED)

    def _silence(self, address: IPAddress) -> None:
        if address in self._owned:
            del self._owned[address]
            self.announcer.stop(address)

    def _believe(self, tenure: Tenure, owner: str | None) -> None:
        address, me = tenure.vip.address, self._plan.me
        before = None if tenure.owner == me else tenure.owner
        self._liveness.charges.move(address, tenure.vip.interfaces, before, None if owner == me else owner)
        tenure.vacate()
        tenure.owner = owner

    def _hold(self, tenure: Tenure, role: Role, reason: Reason) -> None:
        tenure.role, tenure.reason = role, reason
        self.holdings.put(tenure.vip.address, Holding(role, reason, tenure.owner))


def _reason(tenure: Tenure, is_open: bool) -> Reason:
    if tenure.owner is None:
        return Reason.AWAITING_OWNER
    return Reason.OWNER_LEAVING if is_open else Reason.OWNER_ANSWERS
