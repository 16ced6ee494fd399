"""Who answers for each VIP: one record and one table of transitions, which `appliance/l2/__init__.py` explains."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.election import Eligibility, has_successor, place
from appliance.l2.event import (
    ConflictCleared,
    ConflictSeen,
    CounterName,
    HandOverEnded,
    MoveRefusal,
    Plan,
    Reachability,
    Role,
    RoleReason,
    Sign,
    TakeoverEnded,
    VipChanged,
    VipEvidence,
    VipPlan,
    VipStatus,
)
from appliance.l2.link import NEVER, Contact, LinkRecord, Links
from appliance.l2.neighbor import Neighbors, Owners
from appliance.l2.output import Output
from appliance.l2.settings import Layer2Settings
from appliance.l2.timer import Pacer, Timers
from appliance.wire.ndp import multicast_hardware_address, solicited_node


class VipState(Enum):
    """What this host does about a VIP."""

    DOWN = auto()
    FREE = auto()
    PROBING = auto()
    OWNED = auto()
    CONTESTED = auto()
    OFFERED = auto()
    BACKUP = auto()
    RELEASED = auto()


class Trigger(Enum):
    """What moves a VIP from one state to another."""

    LINKS_LOST = auto()
    LINKS_FOUND = auto()
    CLAIM_HEARD = auto()
    RELEASE_HEARD = auto()
    RELEASE_EXPIRED = auto()
    OWNER_LOST = auto()
    OWNER_DENIED = auto()
    TURN_TO_PROBE = auto()
    TURN_TO_CLAIM = auto()
    NOBODY_ANSWERED = auto()
    OTHER_PROBES = auto()
    FOREIGN_ANSWERED = auto()
    SUCCESSOR_FOUND = auto()
    SUCCESSOR_LOST = auto()
    RIVAL_STAYED = auto()
    RIVAL_LEFT = auto()
    CONTACT_LOST = auto()
    NOT_MINE = auto()


TRANSITIONS: Mapping[VipState, Mapping[Trigger, VipState]] = {
    VipState.DOWN: {Trigger.LINKS_FOUND: VipState.FREE},
    VipState.FREE: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.BACKUP,
        Trigger.RELEASE_HEARD: VipState.RELEASED,
        Trigger.TURN_TO_PROBE: VipState.PROBING,
        Trigger.TURN_TO_CLAIM: VipState.OWNED,
    },
    VipState.PROBING: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.BACKUP,
        Trigger.RELEASE_HEARD: VipState.RELEASED,
        Trigger.OTHER_PROBES: VipState.FREE,
        Trigger.FOREIGN_ANSWERED: VipState.FREE,
        Trigger.NOT_MINE: VipState.FREE,
        Trigger.NOBODY_ANSWERED: VipState.OWNED,
    },
    VipState.OWNED: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.CONTESTED,
        Trigger.SUCCESSOR_FOUND: VipState.OFFERED,
        Trigger.CONTACT_LOST: VipState.PROBING,
        Trigger.NOT_MINE: VipState.FREE,
    },
    VipState.CONTESTED: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.RIVAL_STAYED: VipState.BACKUP,
        Trigger.RIVAL_LEFT: VipState.OWNED,
        Trigger.CONTACT_LOST: VipState.PROBING,
        Trigger.NOT_MINE: VipState.FREE,
    },
    VipState.OFFERED: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.BACKUP,
        Trigger.SUCCESSOR_LOST: VipState.OWNED,
        Trigger.CONTACT_LOST: VipState.PROBING,
        Trigger.NOT_MINE: VipState.FREE,
    },
    VipState.BACKUP: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.BACKUP,
        Trigger.RELEASE_HEARD: VipState.RELEASED,
        Trigger.OWNER_LOST: VipState.FREE,
        Trigger.OWNER_DENIED: VipState.FREE,
    },
    VipState.RELEASED: {
        Trigger.LINKS_LOST: VipState.DOWN,
        Trigger.CLAIM_HEARD: VipState.BACKUP,
        Trigger.RELEASE_EXPIRED: VipState.BACKUP,
        Trigger.OWNER_LOST: VipState.FREE,
        Trigger.OWNER_DENIED: VipState.FREE,
        Trigger.TURN_TO_CLAIM: VipState.OWNED,
    },
}

ANSWERING = (VipState.OWNED, VipState.CONTESTED, VipState.OFFERED)
_LISTENING = (*ANSWERING, VipState.PROBING)
_WAITING_FOR_TURN = (VipState.FREE, VipState.RELEASED)
_UNSETTLED = (*_WAITING_FOR_TURN, VipState.PROBING, VipState.OFFERED)
_GOING = (VipState.CONTESTED, VipState.OFFERED)
_SIGNS: Mapping[Trigger, Sign] = {
    Trigger.CLAIM_HEARD: Sign.CLAIM,
    Trigger.RIVAL_STAYED: Sign.CONTEST,
    Trigger.RELEASE_HEARD: Sign.RELEASE,
    Trigger.OWNER_LOST: Sign.OWNER_SILENT,
    Trigger.OWNER_DENIED: Sign.OWNER_DENIED,
    Trigger.NOBODY_ANSWERED: Sign.NO_ANSWER,
    Trigger.FOREIGN_ANSWERED: Sign.FOREIGN,
    Trigger.LINKS_LOST: Sign.LINKS_LOST,
    Trigger.LINKS_FOUND: Sign.LINKS_FOUND,
    Trigger.CONTACT_LOST: Sign.CONTACT_LOST,
    Trigger.NOT_MINE: Sign.NOT_PLANNED,
}
_CLAIM_COUNTS = {
    RoleReason.TOOK_OVER: CounterName.TAKEOVERS,
    RoleReason.HANDED_OVER: CounterName.HAND_OVERS,
    RoleReason.CLAIMED: CounterName.CLAIMS,
}


@dataclass(slots=True)
class Contest:
    """Another host answers too: how often it told this one so since, and after how many times this one yields."""

    rival: str
    hardware_address: bytes
    link: int
    limit: int
    answers: int = 0
    has_answered: bool = False
    silent_rounds: int = 0


@dataclass(frozen=True, slots=True)
class ConflictKey:
    """The key of the timer that forgets a conflict."""

    address: IPAddress


@dataclass(slots=True, eq=False)
class VipRecord:
    """All that this host holds of one VIP; it is the key of its one timer, which is for what the state asks for."""

    address: IPAddress
    plan: VipPlan
    links: tuple[int, ...]
    state: VipState = VipState.DOWN
    owner: str | None = None
    status: VipStatus | None = None
    listening_on: tuple[int, ...] = ()
    # FREE, RELEASED
    turn_since: float | None = None
    retry_at: float = NEVER
    lost_owner: str | None = None
    released_at: float = NEVER
    is_named: bool = False
    # PROBING
    probes: int = 0
    # OWNED, CONTESTED, OFFERED
    claim: RoleReason = RoleReason.CLAIMED
    claimed_at: float = NEVER
    claimed_from: str | None = None
    given_by: str | None = None
    given_until: float = NEVER
    given: int = 0
    announcements: int = 0
    announced_at: float = NEVER
    defended_at: float = NEVER
    releases: int = 0
    offered_to: str | None = None
    offered_until: float = NEVER
    contest: Contest | None = None
    lost_at: float | None = None
    # what moved it last
    evidence: VipEvidence | None = None
    # since it is planned
    requests_heard: int = 0
    replies_sent: int = 0
    announcements_sent: int = 0
    # foreign hardware addresses
    conflict: ConflictSeen | None = None
    conflicts: int = 0
    foreign_since: float = NEVER
    foreign_at: float = NEVER
    foreign_heard: int = 0


class Vips:
    """The records of all planned VIPs; a record is the key of its timer."""

    def __init__(
        self,
        settings: Layer2Settings,
        *,
        links: Links,
        timers: Timers,
        output: Output,
        owners: Owners,
        neighbors: Neighbors,
    ) -> None:
        self._settings, self._links, self._timers, self._output = settings, links, timers, output
        self._owners, self._neighbors = owners, neighbors
        self._plan = Plan("")
        self._is_leaving = False
        self._records: dict[IPAddress, VipRecord] = {}
        self._unsettled: dict[VipRecord, None] = {}
        self._going = 0
        self._has_moved = True
        self._kept: frozenset[IPAddress] | None = None
        self._eligibility: dict[tuple[int, ...], dict[str, Eligibility]] = {}
        self._claim_pacer, self._wait_pacer, self._announce_pacer = (Pacer(settings) for _ in range(3))

    def get(self, address: IPAddress) -> VipRecord | None:
        """The record of a planned VIP."""
        return self._records.get(address)

    def records(self) -> Iterable[VipRecord]:
        """All of them."""
        return self._records.values()

    # what changed

    def update(self, plan: Plan, changed_vips: frozenset[IPAddress] | None, now: float) -> None:
        """Take over a plan and look again at what it changes; only `changed_vips` may differ, None = any."""
        before, self._plan = self._plan, plan
        touched: dict[VipRecord, None] = {}
        names = () if plan.hosts is before.hosts else before.hosts.keys() | plan.hosts.keys()
        changed = {name for name in names if before.hosts.get(name) != plan.hosts.get(name)}
        if changed or before.draining != plan.draining:
            self._eligibility.clear()
            touched.update(self._unsettled)
            for name in (*sorted(changed), plan.me):
                touched.update(dict.fromkeys(self._owned_by(name)))
            for record in self._owned_by(plan.me):
                record.given_by, record.given = None, 0
        if plan.vips is not before.vips:
            looked_at = (*self._records, *plan.vips) if changed_vips is None else sorted(changed_vips, key=_in_order)
            self._take_plans(plan.vips, looked_at, touched, now)
        self.review(touched, now)

    def _take_plans(
        self,
        plans: Mapping[IPAddress, VipPlan],
        looked_at: Iterable[IPAddress],
        touched: dict[VipRecord, None],
        now: float,
    ) -> None:
        for address in looked_at:
            plan, record = plans.get(address), self._records.get(address)
            if plan is None:
                if record is not None:
                    touched.pop(record, None)
                    self._remove(record)
            elif record is None:
                record = self._records[address] = VipRecord(address, plan, self._links.usable(plan))
                touched[record] = None
            elif record.plan is not plan and record.plan != plan:
                record.plan = plan
                self._relink(record, now)
                touched[record] = None

    def update_links(self, now: float) -> None:
        """Look again at the VIPs whose links changed."""
        self._eligibility.clear()
        self.review([record for record in self._records.values() if self._relink(record, now)], now)

    def _relink(self, record: VipRecord, now: float) -> bool:
        """Take over the links of a VIP; return whether they changed. What is owned is announced on the new ones."""
        links = self._links.usable(record.plan)
        if links == record.links:
            return False
        if record.owner is not None:
            self._owners.drop(record.owner, record.links, record.address)
            self._owners.add(record.owner, links, record.address)
        record.links = links
        self._listen(record)
        if record.state is VipState.OWNED:
            record.announcements = 0
            self._timers.put(record, self._announce_pacer.slot(now))
        return True

    def _remove(self, record: VipRecord) -> None:
        self._enter(record, VipState.DOWN, None)
        self._forget_conflict(record)
        self._unsettled.pop(record, None)
        del self._records[record.address]
        self._output.tell(VipChanged(record.address, None))

    def review(self, records: Iterable[VipRecord], now: float) -> None:
        """Look again at some VIPs."""
        for record in sorted(records, key=lambda each: _in_order(each.address)):
            self._advance(record, now)

    def _owned_by(self, host: str) -> list[VipRecord]:
        return [self._records[address] for address in self._owners.of(host)]

    def review_unsettled(self, now: float) -> None:
        """Look again at the VIPs that wait for somebody to claim."""
        self.review(tuple(self._unsettled), now)

    def review_hosts(self, hosts: Iterable[str], now: float) -> None:
        """Look again at what some hosts own, and at what waits for somebody to claim: they failed or returned."""
        self._eligibility.clear()
        touched = dict.fromkeys(self._unsettled)
        for host in hosts:
            touched.update(dict.fromkeys(self._owned_by(host)))
        self.review(touched, now)

    def announce_all(self, now: float) -> None:
        """Announce again all that is owned, for those who could not hear before."""
        for record in self._owned_by(self._plan.me):
            if record.state is VipState.OWNED:
                record.announcements = 0
                self._timers.put(record, self._announce_pacer.slot(now))

    def deny(self, host: str, addresses: Iterable[IPAddress], now: float) -> None:
        """A living agent did not answer for some VIPs."""
        for address in addresses:
            record = self._records.get(address)
            if record is not None and record.owner == host:
                self._go(record, Trigger.OWNER_DENIED, now)

    def make_contact(self, link: int, now: float) -> None:
        """Somebody answers on a link on which nobody did: ask before answering again, unless another link was sound."""
        for record in self._owned_by(self._plan.me):
            others = tuple(each for each in record.links if each != link)
            if link in record.links and not self._links.is_connected(others):
                self._go(record, Trigger.CONTACT_LOST, now)
        self.review_unsettled(now)

    def lose_contact(self, link: int, now: float) -> None:
        """Nobody on a link answers any more: what is owned there may be somebody else's by now."""
        for record in self._owned_by(self._plan.me):
            if link in record.links:
                self._advance(record, now)
        self.review_unsettled(now)

    def pause(self, now: float) -> None:
        """This host slept, and somebody may have taken over: ask before answering again."""
        for record in tuple(self._records.values()):
            if record.state in ANSWERING:
                self._go(record, Trigger.CONTACT_LOST, now)
            elif record.state is VipState.PROBING:
                record.probes = 0

    def leave(self, now: float) -> None:
        """This host's agent is about to end."""
        self._is_leaving = True
        self._eligibility.clear()
        self.review(dict.fromkeys((*self._unsettled, *self._owned_by(self._plan.me))), now)

    def successor(self, address: IPAddress, wanted: str) -> str | MoveRefusal:
        """The host a VIP can be handed over to, the one `wanted` or the first that is able; or why there is none."""
        record, me = self._records.get(address), self._plan.me
        if record is None or record.state not in ANSWERING:
            return MoveRefusal.NOT_OWNER
        if record.state is not VipState.OWNED:
            return MoveRefusal.UNSETTLED
        if self._links.is_isolated(record.links):
            return MoveRefusal.LINK_ISOLATED
        if wanted == me:
            return MoveRefusal.IS_OWNER
        able = [host for host in record.plan.hosts if host != me and self._why_not_to(record, host) is None]
        if wanted:
            return self._why_not_to(record, wanted) or wanted
        return able[0] if able else MoveRefusal.NO_SUCCESSOR

    def _why_not_to(self, record: VipRecord, host: str) -> MoveRefusal | None:
        if host not in record.plan.hosts:
            return MoveRefusal.NOT_LISTED
        eligibility = self._eligibility_of(record.links, host)
        if eligibility is Eligibility.DRAINING:
            return MoveRefusal.DRAINING
        is_known = any(self._neighbors.hardware_address(host, link) for link in record.links)
        return None if eligibility is Eligibility.ABLE and is_known else MoveRefusal.GONE

    def hand_over(self, address: IPAddress, to: str, now: float) -> None:
        """Offer a VIP to one host, for as long as it may take to hear of it; where it cannot be, nothing happens."""
        record = self._records.get(address)
        if record is not None and self.successor(address, to) == to:
            record.offered_to, record.offered_until = to, now + self._settings.offer_seconds
            self._advance(record, now)

    def tell_hand_over(self) -> None:
        """Tell the shell when nothing is left that another host will take."""
        if not self._is_leaving or self._going or not self._has_moved:
            return
        self._has_moved = False
        kept = frozenset(self._owners.of(self._plan.me))
        if kept != self._kept:
            self._kept = kept
            self._output.tell(HandOverEnded(kept))

    # what was heard

    def hear_claim(
        self, record: VipRecord, host: str, link: LinkRecord, hardware_address: bytes, now: float, *, is_reply: bool
    ) -> None:
        """A host has a VIP, as it says; `is_reply` where it said so to this host alone, when asked."""
        heard = VipEvidence(Sign.CLAIM, record.owner, host, hardware_address, link.interface.name)
        match record.state:
            case VipState.DOWN:
                return
            case VipState.BACKUP | VipState.RELEASED if record.owner == host:
                if record.state is VipState.RELEASED and not is_reply:
                    self._go(record, Trigger.CLAIM_HEARD, now, owner=host, heard=heard)
            case VipState.OWNED:
                limit = self._yields_after(record, host, now)
                record.contest = Contest(host, hardware_address, link.index, limit, silent_rounds=-1)
                self._output.counts[CounterName.CONTESTS] += 1
                self._go(record, Trigger.CLAIM_HEARD, now, heard=heard)
                self._contend(record, now)
            case VipState.CONTESTED:
                self._count_answer(record, host, link, hardware_address, now, is_reply=is_reply)
            case VipState.OFFERED if self._neighbors.is_gone_on(host, link.index):
                if now >= record.announced_at + self._settings.contest_interval_seconds:
                    self._announce(record, now)
                    self._neighbors.ask_for(record.address, hardware_address, link)
            case _:
                if is_reply or not self._neighbors.is_gone_on(host, link.index):
                    self._go(record, Trigger.CLAIM_HEARD, now, owner=host, heard=heard)

    def _yields_after(self, record: VipRecord, rival: str, now: float) -> int:
        """After how many of a rival's answers this host yields: at once where it wants to, soon where it came later.

        Neither can see the other's age. Who claimed a moment ago, or took over from the very host that is back, came
        later; where both may say so, or neither, their names decide: no two numbers of both columns are the same.
        """
        comes_first = self._plan.me < rival
        young = now - self._settings.contest_young_seconds
        is_later = record.claimed_at > young or (
            record.claimed_from == rival and self._neighbors.reachable_since(rival) > young
        )
        if self._wants_to_go(record):
            return 3 if comes_first else 1
        if is_later:
            return 4 if comes_first else 2
        return 11 if comes_first else 7

    def _count_answer(
        self, record: VipRecord, host: str, link: LinkRecord, hardware_address: bytes, now: float, *, is_reply: bool
    ) -> None:
        contest = record.contest
        if contest is None:
            return
        if host != contest.rival and is_reply:
            contest.limit = min(contest.limit, self._yields_after(record, host, now))
        if host == contest.rival or is_reply:
            contest.rival, contest.hardware_address, contest.link = host, hardware_address, link.index
        if not is_reply or contest.has_answered:
            return
        contest.has_answered = True
        contest.answers += 1
        if contest.answers >= contest.limit:
            self._output.counts[CounterName.YIELDS] += 1
            heard = VipEvidence(
                Sign.CONTEST, record.owner, host, hardware_address, link.interface.name, count=contest.answers
            )
            self._go(record, Trigger.RIVAL_STAYED, now, owner=host, heard=heard)

    def hear_release(self, record: VipRecord, host: str, link: int, now: float, *, is_directed: bool = False) -> None:
        """An owner wants to be rid of a VIP, and names this host where `is_directed`; it may have missed its claim."""
        if record.state in ANSWERING:
            if now >= record.announced_at + self._settings.contest_interval_seconds:
                self._announce(record, now)
            return
        if record.state is VipState.DOWN or self._neighbors.is_gone_on(host, link):
            return
        record.released_at = now
        record.is_named = is_directed or (record.is_named and record.state is VipState.RELEASED)
        if record.state is VipState.RELEASED and record.owner == host:
            self._advance(record, now)
        elif record.state is VipState.RELEASED:
            self._believe(record, host)
            self._advance(record, now)
        else:
            self._go(record, Trigger.RELEASE_HEARD, now, owner=host)

    def hear_probe(self, record: VipRecord, host: str, link: int, now: float) -> None:
        """A host is about to claim a VIP; of two that are, the one whose name comes first goes on."""
        if record.state is VipState.PROBING and host < self._plan.me and not self._neighbors.is_gone_on(host, link):
            record.retry_at = now + self._settings.succession_seconds
            self._go(record, Trigger.OTHER_PROBES, now)

    def hear_foreign(self, record: VipRecord, hardware_address: bytes, interface: str, now: float) -> None:
        """A hardware address of no host in the plan has a VIP, or is about to claim it (RFC 5227 section 2.4)."""
        settings = self._settings
        if record.state not in _LISTENING:
            return
        self._timers.put(ConflictKey(record.address), now + settings.conflict_forget_seconds)
        known = record.conflict
        if known is None or (known.hardware_address, known.interface) != (hardware_address, interface):
            since = known.since if known else now
            record.conflict = ConflictSeen(record.address, hardware_address, interface, since)
            self._output.counts[CounterName.CONFLICTS] += 1
            self._output.tell(record.conflict)
        if known is None or known.hardware_address != hardware_address:
            record.foreign_since, record.foreign_heard = now, 0
        record.foreign_at, record.foreign_heard = now, record.foreign_heard + 1
        if record.state is VipState.PROBING:
            wait = settings.conflict_retry_seconds * (1 << min(record.conflicts, 8))
            record.conflicts += 1
            record.lost_owner = None
            record.retry_at = now + min(wait, settings.conflict_retry_max_seconds)
            heard = VipEvidence(Sign.FOREIGN, record.owner, None, hardware_address, interface)
            self._go(record, Trigger.FOREIGN_ANSWERED, now, heard=heard)
        elif now >= record.defended_at + settings.defend_foreign_seconds:
            record.defended_at = now
            self._announce(record, now)

    def forget_conflict(self, address: IPAddress) -> None:
        """No foreign hardware address was heard for long."""
        record = self._records.get(address)
        if record is not None:
            self._forget_conflict(record)

    def forget_conflicts_with(self, hardware_addresses: Mapping[bytes, str]) -> None:
        """Forget conflicts with those who turned out to be hosts of the plan."""
        for record in self._records.values():
            if record.conflict is not None and record.conflict.hardware_address in hardware_addresses:
                self._forget_conflict(record)

    def _forget_conflict(self, record: VipRecord) -> None:
        self._timers.drop(ConflictKey(record.address))
        record.conflicts = 0
        if record.conflict is not None:
            record.conflict = None
            self._output.tell(ConflictCleared(record.address))

    # what is done when a VIP is due

    def run(self, record: VipRecord, due: float, now: float) -> None:
        """Probe on, claim, announce, contend, release, or see whose turn it is."""
        match record.state:
            case VipState.PROBING:
                self._probe(record, due, now)
            case VipState.OWNED:
                self._announce(record, now)
                is_first = record.announcements == 1
                wait = self._settings.announce_again_seconds if is_first else self._settings.refresh_seconds
                self._timers.put(record, now + wait)
                if self._wants_to_go(record):
                    self._advance(record, now)
            case VipState.CONTESTED:
                self._contend(record, now)
            case VipState.OFFERED:
                self._release(record, now)
            case VipState.FREE | VipState.RELEASED | VipState.BACKUP | VipState.DOWN:
                self._advance(record, now)

    def _release(self, record: VipRecord, now: float) -> None:
        """Tell the hosts that the next one may claim a VIP, or the one that it is offered to; an offer has its end."""
        if record.offered_to is not None and now >= record.offered_until:
            record.offered_to = None
            if not self._is_to_go(record, now):
                self._go(record, Trigger.SUCCESSOR_LOST, now)
                return
        for link in self._speakable(record):
            to = None
            if record.offered_to is not None:
                to = self._neighbors.hardware_address(record.offered_to, link.index)
                if to is None:
                    continue
            self._output.send(link.index, frame.release(link.interface, record.address, to), CounterName.RELEASES)
        record.releases += 1
        self._timers.put(record, self._announce_pacer.slot(now + self._until_next_release(record)))

    def _until_next_release(self, record: VipRecord) -> float:
        """Seldom where nobody took it when it was said often."""
        settings = self._settings
        often = record.releases < settings.release_often
        return settings.release_interval_seconds if often else settings.release_seldom_seconds

    def _probe(self, record: VipRecord, due: float, now: float) -> None:
        settings = self._settings
        came_late = now - due > settings.claim_probe_interval_seconds  # answers may wait unread behind us
        if record.probes >= (2 * settings.claim_probes if came_late else settings.claim_probes):
            if self._may_claim(record, now):
                self._claim(record, Trigger.NOBODY_ANSWERED, RoleReason.CLAIMED, now)
            else:
                self._go(record, Trigger.NOT_MINE, now)
            return
        record.probes += 1
        for link in self._links_of(record):
            self._output.send(link.index, frame.probe(link.interface, record.address), CounterName.PROBES)
        self._timers.put(record, now + settings.claim_probe_interval_seconds)

    def _contend(self, record: VipRecord, now: float) -> None:
        """A round of a contest: announce, so that others hear who answers, and ask the rival whether it stays."""
        contest = record.contest
        if contest is None:
            return
        contest.silent_rounds = 0 if contest.has_answered else contest.silent_rounds + 1
        if contest.silent_rounds >= self._settings.contest_silent_rounds:
            self._go(record, Trigger.RIVAL_LEFT, now)
            return
        contest.has_answered = False
        self._announce(record, now)
        link = self._links.get(contest.link)
        if link is not None:
            self._neighbors.ask_for(record.address, contest.hardware_address, link)
        wait = self._settings.contest_interval_seconds
        self._timers.put(record, self._announce_pacer.slot(now + wait))

    def _announce(self, record: VipRecord, now: float) -> None:
        record.announcements, record.announced_at = record.announcements + 1, now
        sent = record.announcements_sent
        for link in self._speakable(record):
            for content in frame.announcements(link.interface, record.address):
                self._output.send(link.index, content, CounterName.ANNOUNCEMENTS)
                record.announcements_sent += 1
        if record.lost_at is not None and record.announcements_sent > sent:
            self._output.tell(TakeoverEnded(record.address, now - record.lost_at))
            record.lost_at = None

    # what follows

    def _advance(self, record: VipRecord, now: float) -> None:  # noqa: C901 - one case a state reads best as one
        """Take the steps that the record's state asks for as things are."""
        if not record.links and record.state is not VipState.DOWN:
            return self._go(record, Trigger.LINKS_LOST, now)
        match record.state:
            case VipState.DOWN:
                if record.links:
                    return self._go(record, Trigger.LINKS_FOUND, now)
            case VipState.FREE | VipState.RELEASED:
                return self._take_turn(record, now)
            case VipState.PROBING:
                if self._place(record) is None:
                    return self._go(record, Trigger.NOT_MINE, now)
            case VipState.OWNED | VipState.CONTESTED | VipState.OFFERED:
                is_offered, is_to_go = record.state is VipState.OFFERED, self._is_to_go(record, now)
                if not record.plan.hosts:
                    return self._go(record, Trigger.NOT_MINE, now)
                if record.state is VipState.OWNED and is_to_go:
                    return self._go(record, Trigger.SUCCESSOR_FOUND, now)
                if is_offered and not is_to_go:
                    return self._go(record, Trigger.SUCCESSOR_LOST, now)
            case VipState.BACKUP:
                if self._has_lost_owner(record):
                    return self._go(record, Trigger.OWNER_LOST, now)
        return self._settle(record, now)

    def _take_turn(self, record: VipRecord, now: float) -> None:
        """Nobody answers, or the owner wants to be rid of it: claim, probe, or wait for a turn."""
        is_released = record.state is VipState.RELEASED
        expires = record.released_at + self._settings.release_valid_seconds
        if is_released and self._has_lost_owner(record):
            return self._go(record, Trigger.OWNER_LOST, now)
        if is_released and now >= expires:
            return self._go(record, Trigger.RELEASE_EXPIRED, now, owner=record.owner)
        before = self._place(record)
        if is_released:
            self._timers.put(record, expires)
        else:
            self._timers.drop(record)
        if before is None:
            return self._settle(record, now)
        if record.turn_since is None:
            record.turn_since = self._wait_pacer.slot(now) if before else now
        turn = max(record.turn_since + before * self._settings.succession_seconds, record.retry_at)
        if now < turn:
            self._timers.put(record, min(turn, expires) if is_released else turn)
            return self._settle(record, now)
        if not self._may_claim(record, now):
            return self._settle(record, now)
        if is_released:
            return self._claim(record, Trigger.TURN_TO_CLAIM, RoleReason.HANDED_OVER, now)
        if record.lost_owner is not None and not before:
            return self._claim(record, Trigger.TURN_TO_CLAIM, RoleReason.TOOK_OVER, now)
        return self._go(record, Trigger.TURN_TO_PROBE, now)

    def _claim(self, record: VipRecord, trigger: Trigger, reason: RoleReason, now: float) -> None:
        self._output.counts[_CLAIM_COUNTS[reason]] += 1
        record.claim, record.claimed_at, record.lost_at = reason, now, None
        if reason is RoleReason.TOOK_OVER and record.lost_owner is not None:
            record.lost_at = self._neighbors.suspected_at(record.lost_owner, record.links)
        record.claimed_from = record.owner or record.lost_owner
        record.given_by = record.owner
        if record.owner is not None:
            record.given_until = now + self._settings.give_back_seconds * (1 << min(record.given, 6))
            record.given += 1
        record.announcements = 0
        if reason is RoleReason.CLAIMED:
            self._forget_conflict(record)
        self._go(record, trigger, now)

    def _go(
        self,
        record: VipRecord,
        trigger: Trigger,
        now: float,
        *,
        owner: str | None = None,
        heard: VipEvidence | None = None,
    ) -> None:
        """Move to the state the table names, and take the steps it asks for; `owner` is the other host that answers."""
        before, lost = record.state, record.owner
        if trigger in _SIGNS:
            record.evidence = heard or self._evidence(record, trigger, owner, now)
        state = TRANSITIONS[before][trigger]
        self._enter(record, state, self._plan.me if state in ANSWERING else owner)
        match state:
            case VipState.FREE:
                record.lost_owner = lost if trigger is Trigger.OWNER_LOST else None
            case VipState.PROBING:
                record.probes, record.lost_owner = 0, None
                self._timers.put(record, self._claim_pacer.slot(now))
            case VipState.OWNED:
                self._timers.put(record, self._announce_pacer.slot(now))
                if before is VipState.CONTESTED:
                    self._timers.put(record, now + self._settings.announce_again_seconds)
            case VipState.OFFERED:
                record.releases = 0
                is_known = self._is_leaving or record.offered_to is not None
                delay = 0.0 if is_known else self._settings.release_delay_seconds
                self._timers.put(record, self._announce_pacer.slot(now + delay))
            case VipState.BACKUP:
                record.retry_at, record.lost_owner = NEVER, None
            case VipState.DOWN | VipState.CONTESTED | VipState.RELEASED:
                record.lost_owner = None
        self._advance(record, now)

    def _evidence(self, record: VipRecord, trigger: Trigger, host: str | None, now: float) -> VipEvidence:
        """What is known of what moves a VIP now, where no frame did."""
        sign, count, seconds = _SIGNS[trigger], 0, None
        lost = record.owner or record.lost_owner or (record.evidence.previous if record.evidence else None)
        match trigger:
            case Trigger.OWNER_LOST if lost is not None:
                since = self._neighbors.suspected_at(lost, record.links)
                host, seconds = lost, None if since is None else now - since
                if self._neighbors.reachability().get(lost) is Reachability.AGENT_DOWN:
                    sign = Sign.OWNER_AGENT_DOWN
            case Trigger.OWNER_DENIED:
                host = lost
            case Trigger.NOBODY_ANSWERED:
                count = record.probes
            case _:
                pass
        return VipEvidence(sign, lost, host, count=count, seconds=seconds)

    def _enter(self, record: VipRecord, state: VipState, owner: str | None) -> None:
        """Set a state and all that hangs on it alone."""
        self._has_moved = True
        self._going += (state in _GOING) - (record.state in _GOING)
        record.state = state
        self._believe(record, owner)
        self._timers.drop(record)
        if state not in _WAITING_FOR_TURN:
            record.turn_since = None
        if state is not VipState.CONTESTED:
            record.contest = None
        if state is not VipState.OFFERED:
            record.offered_to = None
        if state is not VipState.RELEASED:
            record.is_named = False
        self._listen(record)

    def _believe(self, record: VipRecord, owner: str | None) -> None:
        if record.owner == owner:
            return
        if record.owner is not None:
            self._owners.drop(record.owner, record.links, record.address)
        if owner is not None:
            self._owners.add(owner, record.links, record.address)
        record.owner = owner

    def _listen(self, record: VipRecord) -> None:
        """Listen to questions for an IPv6 VIP where it is answered or probed (RFC 4291 section 2.7.1)."""
        if not isinstance(record.address, IPv6Address):
            return
        links = record.links if record.state in _LISTENING else ()
        if links == record.listening_on:
            return
        group = multicast_hardware_address(solicited_node(record.address))
        for index in record.listening_on:
            self._links.leave(index, group)
        for index in links:
            self._links.join(index, group)
        record.listening_on = links

    def _settle(self, record: VipRecord, now: float) -> None:
        """There is nothing more to do: tell what is held, and note whether it hangs on what others do."""
        if record.state in _UNSETTLED or (record.state is VipState.OWNED and self._wants_to_go(record)):
            self._unsettled[record] = None
        else:
            self._unsettled.pop(record, None)
        status = self._status(record, now)
        if record.status != status:
            record.status = status
            self._output.tell(VipChanged(record.address, status))

    def _status(self, record: VipRecord, now: float) -> VipStatus:
        is_listed = self._plan.me in record.plan.hosts
        role = Role.CANDIDATE if is_listed else Role.NONE
        match record.state:
            case VipState.OWNED:
                role, reason = Role.OWNER, RoleReason.LAST if self._wants_to_go(record) else record.claim
                if self._links.is_isolated(record.links):
                    reason = RoleReason.LINK_ISOLATED
            case VipState.CONTESTED:
                role, reason = Role.OWNER, RoleReason.CONTESTED
            case VipState.OFFERED:
                role, reason = Role.OWNER, RoleReason.HANDING_OVER if record.offered_to else RoleReason.RELEASING
            case VipState.PROBING:
                role, reason = Role.PROBING, RoleReason.PROBING
            case VipState.DOWN:
                reason = RoleReason.LINK_DOWN if is_listed else RoleReason.NOT_LISTED
            case VipState.BACKUP:
                reason = RoleReason.OWNER_ANSWERS if is_listed else RoleReason.NOT_LISTED
            case VipState.RELEASED:
                reason = RoleReason.OWNER_RELEASES if is_listed else RoleReason.NOT_LISTED
            case VipState.FREE:
                reason = self._why_free(record, now) if is_listed else RoleReason.NOT_LISTED
        return VipStatus(role, reason, record.owner)

    def _why_free(self, record: VipRecord, now: float) -> RoleReason:
        if record.conflict is not None:
            return RoleReason.CONFLICT
        if self._may_claim(record, now):
            return RoleReason.AWAITING_OWNER
        is_isolated = any(link.contact is Contact.ISOLATED for link in self._links_of(record))
        return RoleReason.LINK_ISOLATED if is_isolated else RoleReason.LINK_QUIET

    # questions

    def _links_of(self, record: VipRecord) -> list[LinkRecord]:
        return [link for index in record.links if (link := self._links.get(index))]

    def _speakable(self, record: VipRecord) -> list[LinkRecord]:
        """The links of a VIP that are not isolated: where nobody answers, others may have taken over."""
        return [link for link in self._links_of(record) if link.contact is not Contact.ISOLATED]

    def _may_claim(self, record: VipRecord, now: float) -> bool:
        is_recorded_elsewhere = record.plan.recorded_owner not in (None, self._plan.me)
        return self._links.may_claim(record.links, is_recorded_elsewhere, now)

    def _wants_to_go(self, record: VipRecord) -> bool:
        return self._is_leaving or self._plan.draining or self._plan.me not in record.plan.hosts

    def _is_to_go(self, record: VipRecord, now: float) -> bool:
        """Whether a VIP is to be released; a draining host does not soon give it back to the one that gave it.

        That one may drain as well, and neither know of the other.
        """
        if self._links.is_isolated(record.links):
            return False
        if record.offered_to is not None and now < record.offered_until:
            return self._eligibility_of(record.links, record.offered_to) is Eligibility.ABLE
        if not self._wants_to_go(record):
            return False
        is_listed = self._plan.me in record.plan.hosts
        is_given_lately = is_listed and not self._is_leaving and now < record.given_until
        excluded = (self._plan.me, record.given_by if is_given_lately else None)
        is_last_resort = not is_listed or (self._is_leaving and not self._plan.draining)
        eligibility = partial(self._eligibility_of, record.links)
        return has_successor(record.plan, excluded, eligibility, is_last_resort=is_last_resort)

    def _place(self, record: VipRecord) -> int | None:
        me = self._plan.me
        if record.is_named and me in record.plan.hosts and self._eligibility_of(record.links, me) is Eligibility.ABLE:
            return 0
        owner = record.owner if record.state is VipState.RELEASED else None
        return place(record.plan, me, owner, partial(self._eligibility_of, record.links))

    def _has_lost_owner(self, record: VipRecord) -> bool:
        return record.owner is not None and self._eligibility_of(record.links, record.owner) is Eligibility.GONE

    def _eligibility_of(self, links: tuple[int, ...], host: str) -> Eligibility:
        known = self._eligibility.setdefault(links, {})
        found = known.get(host)
        if found is None:
            found = known[host] = self._judge(host, links)
        return found

    def _judge(self, host: str, links: tuple[int, ...]) -> Eligibility:
        if host == self._plan.me:
            if self._is_leaving:
                return Eligibility.GONE
            return Eligibility.DRAINING if self._plan.draining else Eligibility.ABLE
        known = self._plan.hosts.get(host)
        if known is None or self._neighbors.is_gone(host, links):
            return Eligibility.GONE
        return Eligibility.DRAINING if known.draining else Eligibility.ABLE


def _in_order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)
