"""What of a site needs somebody's attention now, worst first."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping

from appliance.api.address import IPAddress
from appliance.api.meta import Ref
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentProgram, ForwarderStatus
from appliance.overview.row import Attention, HostHealth, ServiceHealth, SessionHealth, Severity, VipHealth
from appliance.overview.site import Site, Touched

_VIP_SENTENCES = {
    VipHealth.NO_OWNER: "nobody answers for it",
    VipHealth.NO_ROUTE: "no host announces it",
    VipHealth.UNANNOUNCED: "no advertisement announces it",
}


class AttentionList:
    """What needs attention, kept by the row it is about: a change costs the rows it touches, not the site.

    Services of another `load_balancer_class` are somebody else's.
    """

    def __init__(self, *, load_balancer_class: str | None = None) -> None:
        self._class = load_balancer_class
        self._by_row: dict[Hashable, tuple[Attention, ...]] = {}
        self._ordered: list[Attention] = []
        self._counts: Counter[tuple[Severity, str]] = Counter()

    def update(self, site: Site, touched: Touched) -> Mapping[Attention, bool]:
        """Look at the touched rows anew; what came, and as False what went."""
        news: dict[Attention, bool] = {}
        for address in touched.vips:
            self._put(address, _vip(site, address), news)
        for name in touched.hosts:
            self._put(name, (*_host(site, name), *_within(site, name), *_sessions(site, name)), news)
        for ref in touched.pools:
            self._put(ref, _pool(site, ref), news)
        for ref in touched.services:
            self._put(ref, _service(site, ref, self._class), news)
        return news

    def __len__(self) -> int:
        return len(self._ordered)

    def worst_first(self, at_most: int | None = None) -> tuple[Attention, ...]:
        """What there is to look at."""
        return tuple(self._ordered[:at_most])

    def count(self, severity: Severity, kind: str | None = None) -> int:
        """How much there is of a severity, or of that of one kind."""
        return sum(count for (s, k), count in self._counts.items() if s is severity and kind in (None, k))

    def worst_of(self, kind: str) -> Severity:
        """The worst there is of a kind; QUIET where there is nothing."""
        return max((s for (s, k), count in self._counts.items() if k == kind and count), default=Severity.QUIET)

    def _put(self, row: Hashable, found: Iterable[Attention], news: dict[Attention, bool]) -> None:
        now, before = tuple(dict.fromkeys(found)), self._by_row.get(row, ())
        if now == before:
            return
        for each in before:
            del self._ordered[bisect_left(self._ordered, _order(each), key=_order)]
            self._counts[each.severity, each.kind] -= 1
            news[each] = False
        for each in now:
            insort(self._ordered, each, key=_order)
            self._counts[each.severity, each.kind] += 1
            news[each] = True
        if now:
            self._by_row[row] = now
        else:
            del self._by_row[row]


def attention(site: Site, *, load_balancer_class: str | None = None) -> tuple[Attention, ...]:
    """Everything to look at; Services of another `load_balancer_class` are somebody else's."""
    found = AttentionList(load_balancer_class=load_balancer_class)
    found.update(site, site.everything())
    return found.worst_first()


def host_attention(site: Site, host: str) -> tuple[Attention, ...]:
    """What to look at on one host, and the conflicts that it sees; what others say of it is left out."""
    conflicts = (
        _conflict(address, (seen.conflict,))
        for address in site.addresses()
        if (seen := site.verdicts(address).get(host)) and seen.conflict
    )
    return tuple(sorted((*_within(site, host), *_sessions(site, host), *conflicts), key=_order))


def forwarder_attention(host: str, heard: ForwarderStatus | ControlError) -> tuple[Attention, ...]:
    """What to look at in a host's forwarder that is to run: what it says, or why it says nothing."""
    match heard:
        case ControlError():
            # Of a socket that is not there ssh only says that the connection ended.
            why = (
                ControlFault.NOT_RUNNING.value
                if heard.fault is ControlFault.LOST
                else heard.detail or heard.fault.value
            )
            found = [(Severity.BAD, f"its forwarder does not answer: {why}")]
        case ForwarderStatus(program=program, feed=feed):
            found = [(Severity.WAITING, f"its forwarder is not ready: {each}") for each in program.waits_for]
            if program.refused:
                found.append((Severity.BAD, f"its kernel does not have its forwarder's rules: {program.refused}"))
            if feed.source != "live":
                found.append((Severity.WAITING, f"its forwarder's feed is not live (it is from: {feed.source})"))
            found += [(Severity.WAITING, f"its forwarder's feed: {problem}") for problem in feed.problems]
            for problem in program.settings_problems:
                found.append((Severity.BAD, f"its forwarder's settings are not in force: {problem}"))
            if program.awaiting_restart:
                waits = ", ".join(program.awaiting_restart)
                found.append((Severity.WAITING, f"a restart of its forwarder will change {waits}"))
    return tuple(sorted((Attention(severity, "host", host, sentence) for severity, sentence in found), key=_order))


def _order(each: Attention) -> tuple[int, str, str, str]:
    return -each.severity, each.kind, each.name, each.sentence


def _vip(site: Site, address: IPAddress) -> Iterator[Attention]:
    row = site.vip(address)
    if row is None or row.health.severity < Severity.WAITING:
        return
    match row.health:
        case VipHealth.CONFLICT:
            yield _conflict(address, row.conflicts)
        case VipHealth.ACKNOWLEDGED as health:
            sentence = f"{', '.join(row.conflicts)} answers for it too, noted {row.acknowledged}"
            yield Attention(health.severity, "VIP", str(address), sentence)
        case VipHealth.TWO_OWNERS:
            yield Attention(row.health.severity, "VIP", str(address), "more than one host answers for it")
        case health:
            yield Attention(health.severity, "VIP", str(address), _VIP_SENTENCES[health])


def _conflict(address: IPAddress, others: Iterable[str]) -> Attention:
    sentence = f"{', '.join(others)} answers for it too"
    return Attention(VipHealth.CONFLICT.severity, "VIP", str(address), sentence)


def _host(site: Site, name: str) -> Iterator[Attention]:
    """What others say of a host, and whether it is drained; what it says of itself is said elsewhere."""
    row = site.host(name)
    match row.health if row else None:
        case HostHealth.FAILED | HostHealth.AGENT_DOWN as health if row:
            yield Attention(health.severity, "host", name, row.detail)
        case HostHealth.DRAINED as health:
            yield Attention(health.severity, "host", name, "is drained")


def _within(site: Site, name: str) -> Iterator[Attention]:
    """What a host says is wrong with it: to whoever asks its agent, else in the store."""
    view, manifest = site.agents.get(name), site.hosts.get(name)
    if view is None or not view.is_live:
        for condition in manifest.status.conditions if manifest else ():
            if condition.type in _FALSE_CONDITIONS and condition.status == "False":
                sentence = condition.message or _FALSE_CONDITIONS[condition.type]
                yield Attention(Severity.BAD, "host", name, sentence)
        return
    if (feed := view.feed) is not None:
        if feed.source != "live":
            yield Attention(Severity.WAITING, "host", name, f"its feed is not live (it is from: {feed.source})")
        yield from (Attention(Severity.WAITING, "host", name, f"feed: {problem}") for problem in feed.problems)
    if (program := view.program) is not None:
        yield from _program(name, program)


def _program(name: str, program: AgentProgram) -> Iterator[Attention]:
    yield from (Attention(Severity.WAITING, "host", name, f"not ready: {each}") for each in program.waits_for)
    yield from (Attention(Severity.BAD, "host", name, f"nobody answers on {each}") for each in program.isolated_links)
    for problem in program.settings_problems:
        yield Attention(Severity.BAD, "host", name, f"its settings are not in force: {problem}")
    if program.awaiting_restart:
        waits = ", ".join(program.awaiting_restart)
        yield Attention(Severity.WAITING, "host", name, f"a restart of its agent will change {waits}")
    if not program.bird.reachable:
        yield Attention(Severity.BAD, "host", name, "BIRD does not answer")
    if program.bird.refused:
        yield Attention(Severity.BAD, "host", name, f"BIRD refused its configuration: {program.bird.refused}")
    for fault in program.bird.faults:
        yield Attention(Severity.BAD, "session", f"{name} {fault.session}", fault.reason.replace("-", " "))


_FALSE_CONDITIONS = {
    "BirdReachable": "BIRD does not answer",
    "ConfigurationAccepted": "BIRD refused its configuration",
    "Delivering": "its forwarder has no rules yet",
}


def _sessions(site: Site, host: str) -> Iterator[Attention]:
    for row in site.sessions(host):
        if row.health is SessionHealth.DOWN:
            said = f": {row.message}" if row.message else ""
            yield Attention(Severity.BAD, "session", f"{host} {row.name}", f"{row.peer} is {row.state}{said}")
        elif row.health is SessionHealth.WITHOUT_BFD:
            sentence = f"{row.peer} is {row.state}, and its BFD session is {row.bfd}"
            yield Attention(Severity.WAITING, "session", f"{host} {row.name}", sentence)


def _pool(site: Site, ref: Ref) -> Iterator[Attention]:
    row = site.pool(ref)
    for version, usage in sorted(row.usage.items()) if row else ():
        if usage.severity >= Severity.WAITING:
            sentence = f"{usage.assigned} of {usage.total} IPv{version} addresses are given ({usage.percent:.0f} %)"
            yield Attention(usage.severity, "pool", ref.name, sentence)


def _service(site: Site, ref: Ref, load_balancer_class: str | None) -> Iterator[Attention]:
    row = site.service(ref, load_balancer_class)
    if row is not None and row.health is ServiceHealth.PENDING:
        yield Attention(Severity.WAITING, "Service", ref.path, "has no address")
