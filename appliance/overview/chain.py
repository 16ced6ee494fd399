"""The way from a Service to an application that answers, in the order in which people look for the break.

What is planned comes from `advertise.explain`; whether it is so comes from the hosts: who answers ARP/NDP, which routes
are announced over which sessions, and whether those hosts can pass the packets on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from appliance.advertise.explain import BreakReason, Finding, LinkVerdict, Medium
from appliance.advertise.reason import HostReason
from appliance.api.address import IPAddress
from appliance.desired.announcement import BGPReason
from appliance.ipam.reason import Refusal
from appliance.l2.event import Role
from appliance.overview.probe import Answer, Answering
from appliance.overview.reach import Reach, reach_of
from appliance.overview.row import HostHealth, Mode, SessionHealth, SessionRow, VipRow
from appliance.overview.site import Site


class ChainLink(Enum):
    """One link of the chain."""

    IMPLEMENTATION = "implementation"
    POOL = "pool"
    ADDRESS = "address"
    ADVERTISEMENT = "advertisement"
    HOST = "host"
    ANNOUNCEMENT = "announcement"
    DELIVERY = "delivery"
    ENDPOINTS = "endpoints"
    ANSWER = "answer"


class Announcing(Enum):
    """Why an address is not announced as it is to be."""

    NOT_TOLD = "hosts are not told yet how to announce it"
    FOREIGN_ANSWER = "a machine that is no host of Pierhead answers for it too"
    SEVERAL_ANSWER = "more than one host answers for it"
    NOBODY_ANSWERS = "no host answers ARP/NDP for it"
    SESSIONS_DOWN = "no BGP session that would carry it is up"
    NO_ROUTE = "no host announces it to a router"
    NOT_SERVED = "it is announced once an endpoint can serve"


class Delivering(Enum):
    """Why a host that packets come to does not pass them on."""

    FAILED = "is not reached by the other hosts"
    ISOLATED = "is cut off: nobody on its link answers it"
    AGENT_DOWN = "has an agent that does not run"
    NO_RULES = "has a forwarder without rules"


class HostState(Enum):
    """What a host does for an address."""

    ANSWERS = "answers ARP/NDP"
    PROBES = "asks whether the address is free, then answers"
    STANDS_BY = "stands by"
    TAKES_NO_PART = "takes no part"
    ANNOUNCES = "announces it"
    HAS_NO_SESSION = "would announce it, and no session is up"
    DOES_NOT_ANNOUNCE = "does not announce it"
    PASSES_ON = "can receive it"


Reason = BreakReason | Announcing | Delivering | Answering


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """What is known of one host for one link; `detail` is a sentence of the host's own, or names and states."""

    host: str
    state: HostReason | HostState | Delivering
    medium: Medium | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One link: how it is, what it is about, why it is broken, and on what that rests."""

    link: ChainLink
    verdict: LinkVerdict
    subject: str = ""
    reason: Reason | None = None
    refusal: Refusal | None = None
    address: IPAddress | None = None
    hosts: tuple[HostEvidence, ...] = ()
    answers: tuple[Answer, ...] = ()


_ORDER = {link: place for place, link in enumerate(ChainLink)}
_HEALTH_FAULTS = {
    HostHealth.FAILED: Delivering.FAILED,
    HostHealth.ISOLATED: Delivering.ISOLATED,
    HostHealth.AGENT_DOWN: Delivering.AGENT_DOWN,
}
_STATES = {
    Role.OWNER: HostState.ANSWERS,
    Role.PROBING: HostState.PROBES,
    Role.CANDIDATE: HostState.STANDS_BY,
    Role.NONE: HostState.TAKES_NO_PART,
}


def chain(
    planned: Sequence[Finding], site: Site, addresses: Sequence[IPAddress], answers: Sequence[Answer] = ()
) -> tuple[Step, ...]:
    """Every link in order, from the advertisement on once for each address; `answers` are those of a probe."""
    steps = [_step_of(finding) for finding in planned]
    broken = {step.address for step in steps if step.verdict is LinkVerdict.BROKEN and step.link in _PLANNED}
    unserved = {step.address for step in steps if step.verdict is LinkVerdict.BROKEN and step.link not in _PLANNED}
    for address in addresses:
        if broken.isdisjoint((None, address)):
            steps += announcement(site, address, is_served=address not in unserved)
    steps += _answered(answers)
    reached = {step.link for step in steps}
    steps += [Step(link, LinkVerdict.UNKNOWN) for link in ChainLink if link not in reached]
    return tuple(sorted(steps, key=lambda step: _ORDER[step.link]))


def first_broken(steps: Sequence[Step]) -> Step | None:
    """The link to mend first; None where the chain is whole."""
    return next((step for step in steps if step.verdict is LinkVerdict.BROKEN), None)


def announcement(site: Site, address: IPAddress, *, is_served: bool = True) -> tuple[Step, ...]:
    """Whether an address is announced and by which hosts, and whether those can receive what comes for it."""
    link, row = ChainLink.ANNOUNCEMENT, site.vip(address)
    if row is None or row.mode is Mode.NONE:
        hosts: tuple[HostEvidence, ...] = ()
        reason, subject = Announcing.NOT_TOLD, ""
    else:
        reach = reach_of(site)
        hosts = (*_layer2_evidence(site, reach, row), *_bgp_evidence(site, reach, row))
        broken = _break(row, hosts)
        if broken is None:
            held = Step(link, LinkVerdict.HELD, _announcers(hosts), address=address, hosts=hosts)
            return held, _delivery(site, address, hosts)
        reason, subject = broken
    if not is_served:
        return (Step(link, LinkVerdict.UNKNOWN, reason=Announcing.NOT_SERVED, address=address),)
    return (Step(link, LinkVerdict.BROKEN, subject, reason, address=address, hosts=hosts),)


def _break(row: VipRow, hosts: Sequence[HostEvidence]) -> tuple[Announcing, str] | None:
    """Why an address is not announced as it is to be, and who is meant; every way it is to be announced has to hold."""
    if row.conflicts:
        return Announcing.FOREIGN_ANSWER, ", ".join(row.conflicts)
    states = {entry.state for entry in hosts}
    answering = [entry.host for entry in hosts if entry.state is HostState.ANSWERS]
    if len(answering) > 1:
        return Announcing.SEVERAL_ANSWER, ", ".join(answering)
    if row.mode is not Mode.BGP and not answering:
        return Announcing.NOBODY_ANSWERS, ""
    if row.mode is Mode.LAYER2 or HostState.ANNOUNCES in states:
        return None
    return (Announcing.SESSIONS_DOWN if HostState.HAS_NO_SESSION in states else Announcing.NO_ROUTE), ""


def _layer2_evidence(site: Site, reach: Reach, row: VipRow) -> Iterator[HostEvidence]:
    """Every host that may answer, in the order in which they would, and the one that does."""
    if row.mode is Mode.BGP:
        return
    order = reach.order(row.address)
    verdicts = site.verdicts(row.address)
    others = sorted({row.owner, *verdicts} - {"", *order})
    for host in (*order, *others):
        told = verdicts[host].layer2 if host in verdicts else None
        inability = reach.inability(row.address, host)
        if told is not None:
            interfaces = f"on {', '.join(told.interfaces)}: " if told.interfaces and told.role is Role.OWNER else ""
            yield HostEvidence(host, _STATES[told.role], Medium.LAYER2, f"{interfaces}{told.reason}")
        elif host == row.owner:
            since = f"since {row.since}, " if row.since else ""
            yield HostEvidence(host, HostState.ANSWERS, Medium.LAYER2, f"{since}as it told the store")
        elif inability is not None:
            yield HostEvidence(host, HostState.TAKES_NO_PART, Medium.LAYER2, inability.value)
        else:
            yield HostEvidence(host, HostState.STANDS_BY, Medium.LAYER2)


def _bgp_evidence(site: Site, reach: Reach, row: VipRow) -> Iterator[HostEvidence]:
    """Every host that announces an address over BGP, or why it does not."""
    if row.mode is Mode.LAYER2:
        return
    for host in site.host_names():
        verdict, decision = site.verdicts(row.address).get(host), reach.decision(row.address, host)
        known, told = site.host(host), verdict.bgp if verdict else None
        sessions = ", ".join(map(_session_state, site.sessions(host))) or "it has none"
        prefixes = ", ".join(sorted(reach.announced(row.address, host)))
        if told is not None and not told.announced:
            yield HostEvidence(host, HostState.DOES_NOT_ANNOUNCE, Medium.BGP, told.reason)
        elif told is None and decision is None:
            continue
        elif told is None and known is not None and known.drained:
            yield HostEvidence(host, HostState.DOES_NOT_ANNOUNCE, Medium.BGP, BGPReason.WITHDRAWN.value)
        elif prefixes:
            how = f"; {told.reason}" if told is not None and told.reason != BGPReason.ANNOUNCED else ""
            yield HostEvidence(host, HostState.ANNOUNCES, Medium.BGP, f"{prefixes}; {sessions}{how}")
        elif told is not None or (decision is not None and decision.reason is BGPReason.NO_SESSION):
            yield HostEvidence(host, HostState.HAS_NO_SESSION, Medium.BGP, sessions)
        elif decision is not None:
            yield HostEvidence(host, HostState.DOES_NOT_ANNOUNCE, Medium.BGP, decision.reason.value)


def _session_state(session: SessionRow) -> str:
    why = f" ({session.message})" if session.message and session.health is SessionHealth.DOWN else ""
    return f"{session.name} {session.state}{why}"


def _announcers(hosts: Sequence[HostEvidence]) -> str:
    """Who answers, and how many hosts announce."""
    answering = [f"{entry.host} answers ARP/NDP" for entry in hosts if entry.state is HostState.ANSWERS]
    announcing = sum(entry.state is HostState.ANNOUNCES for entry in hosts)
    told = (
        [f"{announcing} {'host announces' if announcing == 1 else 'hosts announce'} it over BGP"] if announcing else []
    )
    return ", ".join((*answering, *told))


def _delivery(site: Site, address: IPAddress, announcing: Sequence[HostEvidence]) -> Step:
    """Whether the hosts that packets come to can pass them on: the owner, and at least one that announces."""
    owners = {entry.host for entry in announcing if entry.state is HostState.ANSWERS}
    routed = {entry.host for entry in announcing if entry.state is HostState.ANNOUNCES}
    faults = {host: fault for host in sorted(owners | routed) if (fault := _fault(site, host))}
    hosts = tuple(HostEvidence(host, faults.get(host, HostState.PASSES_ON)) for host in sorted(owners | routed))
    broken = sorted(faults.keys() & owners) or (sorted(routed) if routed and routed <= faults.keys() else [])
    if broken:
        subject = ", ".join(broken)
        return Step(ChainLink.DELIVERY, LinkVerdict.BROKEN, subject, faults[broken[0]], address=address, hosts=hosts)
    return Step(ChainLink.DELIVERY, LinkVerdict.HELD, address=address, hosts=hosts)


def _fault(site: Site, host: str) -> Delivering | None:
    row, manifest = site.host(host), site.hosts.get(host)
    if row is not None and row.health in _HEALTH_FAULTS:
        return _HEALTH_FAULTS[row.health]
    conditions = manifest.status.conditions if manifest and not site.is_heard(host) else ()
    has_no_rules = any(entry.type == "Delivering" and entry.status == "False" for entry in conditions)
    return Delivering.NO_RULES if has_no_rules else None


def _answered(answers: Sequence[Answer]) -> Iterator[Step]:
    for address in dict.fromkeys(answer.address for answer in answers):
        own = tuple(answer for answer in answers if answer.address == address)
        failed = next((answer for answer in own if not answer.outcome.is_good), None)
        verdict = LinkVerdict.BROKEN if failed else LinkVerdict.HELD
        subject = f"port {failed.port}" if failed else ""
        yield Step(ChainLink.ANSWER, verdict, subject, failed.outcome if failed else None, address=address, answers=own)


def _step_of(finding: Finding) -> Step:
    return Step(
        link=ChainLink[finding.link.name],
        verdict=finding.state,
        subject=finding.subject,
        reason=finding.reason,
        refusal=finding.refusal,
        address=finding.address,
        hosts=tuple(HostEvidence(found.host, found.reason, found.medium) for found in finding.hosts),
    )


_PLANNED = frozenset(
    {ChainLink.IMPLEMENTATION, ChainLink.POOL, ChainLink.ADDRESS, ChainLink.ADVERTISEMENT, ChainLink.HOST}
)
