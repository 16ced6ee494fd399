"""Everything that is known of one VIP, host, session, pool or Service, as lines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.advertise.explain import LinkVerdict
from appliance.api.address import AddressRange, IPAddress
from appliance.api.meta import Ref
from appliance.api.pierhead import AddressConflict
from appliance.overview import sentence
from appliance.overview.action import HandOver, Preview
from appliance.overview.chain import Step, announcement, first_broken
from appliance.overview.explanation import advice, host_sentence
from appliance.overview.explanation import sentence as step_sentence
from appliance.overview.pool import AddressRun, AddressState, runs
from appliance.overview.reach import reach_of
from appliance.overview.row import Mode, ServiceRow, SessionHealth, SessionRow, Severity, VipRow
from appliance.overview.site import Site
from appliance.overview.timeline import EventRow
from tui.moment import age

MAP_CELLS = 64
_MAP_LINES = 4
_RUNS_MAX = 12
_HELD_MAX = 200
_MARKS = {
    LinkVerdict.HELD: ("ok", Severity.GOOD),
    LinkVerdict.BROKEN: ("BROKEN", Severity.BAD),
    LinkVerdict.UNKNOWN: ("-", Severity.QUIET),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: how much it matters, or whether it is the title of what follows."""

    text: str
    severity: Severity | None = None
    is_title: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What hosts keep of a subject on their disks, the latest last, and why some could not be asked."""

    rows: tuple[EventRow, ...] = ()
    problems: tuple[str, ...] = ()
    is_reading: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What details are made of: the site, the rows of its VIPs, and what happened, the latest last.

    `kept` is what was read of hosts' histories, by subject.
    """

    site: Site
    vips: Mapping[str, VipRow]
    events: Mapping[str, EventRow]
    now: datetime
    kept: Mapping[str, Kept] = field(default_factory=dict)

    def events_of(self, subjects: Iterable[str]) -> Iterator[Line]:
        """What happened to some of the subjects, the latest first."""
        wanted = frozenset(subjects)
        found = sorted(
            (row for row in self.events.values() if wanted & {row.subject, *row.subject.split()}),
            key=lambda row: row.moment,
            reverse=True,
        )
        yield from map(_event, found[:20])
        if not found:
            yield Line("nothing that an agent that is asked remembers", Severity.QUIET)


def _announcers(row: VipRow) -> str:
    """How many hosts announce it, of how many that were asked."""
    if row.announcers is None:
        return "nobody asked the hosts"
    hosts = f"{row.announcers or 'no'} host{'' if row.announcers in (0, 1) else 's'}"
    unasked = f", and {row.unasked} more were not asked" if row.unasked else ""
    return f"announced by {hosts}{unasked}"


def of_vip(known: Known, address: IPAddress) -> Iterator[Line]:
    """A VIP: whether it can be reached and why not, who may answer for it, what happened to it."""
    site = known.site
    row = site.vip(address)
    if row is None:
        yield Line(f"{address} is gone", Severity.BAD)
        return
    since = f", for {age(row.since, known.now)} (since {row.since[:19].replace('T', ' ')})" if row.since else ""
    yield Line(f"State      {row.health.text}", row.health.severity)
    if row.mode is Mode.BGP:
        yield Line(f"Owner      none, routes only: {_announcers(row)}")
    else:
        yield Line(f"Owner      {row.owner or 'nobody'}{since}")
    yield Line(f"Service    {', '.join(row.services) or 'none'}")
    yield Line(f"Pool       {row.pool or 'none'}, {row.mode.value}")
    yield from _last_move(row)
    yield from _traffic(site, row)
    yield Line("")
    yield Line("Can it be reached?", is_title=True)
    yield from of_steps(announcement(site, address))
    if row.mode is not Mode.BGP:
        yield Line("")
        yield Line("Who may answer, in order", is_title=True)
        yield from _candidates(site, row)
    conflicts = list(_conflicts(site, row, known.now))
    if conflicts:
        yield Line("")
        yield Line("Who else claims it", is_title=True)
        yield from conflicts
    yield Line("")
    yield from _happened(known, str(address))


def _happened(known: Known, subject: str) -> Iterator[Line]:
    """What agents tell since they began, or once it was asked for, what hosts keep over restarts."""
    kept = known.kept.get(subject)
    if kept is None or kept.is_reading:
        hint = "reading what hosts keep ..." if kept else "since the agents began; h reads what hosts keep"
        yield Line(f"What happened ({hint})", is_title=True)
        yield from known.events_of((subject,))
        return
    count = len(kept.rows)
    yield Line(f"What happened, as hosts keep it: {count} event{'' if count == 1 else 's'}", is_title=True)
    yield from map(_event, reversed(kept.rows))
    if not kept.rows:
        yield Line("nothing", Severity.QUIET)
    yield from (Line(problem, Severity.WAITING) for problem in kept.problems)


def _event(row: EventRow) -> Line:
    return Line(f"{row.time[:19].replace('T', ' ')}  {row.host}: {row.text}", row.severity)


def _last_move(row: VipRow) -> Iterator[Line]:
    """Who had it before, why it moved, and what was heard that made it so."""
    move = row.last_move
    if move is not None:
        when, heard = move.time[:19].replace("T", " "), f"; heard: {move.heard}" if move.heard else ""
        yield Line(f"Last move  {move.origin or 'nobody'} → {move.target or 'nobody'}, {when}: {move.reason}{heard}")


def _traffic(site: Site, row: VipRow) -> Iterator[Line]:
    """Frames of the VIP since each agent began, as they were when they were told."""
    for host, verdict in sorted(site.verdicts(row.address).items()):
        if traffic := verdict.traffic:
            counts = f"{traffic.requests} questions heard, {traffic.replies} answered"
            yield Line(f"Frames     {host}: {counts}, {traffic.announcements} announcements sent")


def of_steps(steps: tuple[Step, ...]) -> Iterator[Line]:
    """The links of a chain, each with its verdict and what it rests on, and what to do at the first broken one."""
    for step in steps:
        mark, severity = _MARKS[step.verdict]
        yield Line(f"{mark:<7}{step.link.value:<15}{step_sentence(step)}".rstrip(), severity)
        yield from (Line(f"{'':22}{host_sentence(host)}") for host in step.hosts)
    if first_broken(steps):
        yield Line(f"What to do: {advice(steps)}", Severity.WAITING)


def _candidates(site: Site, row: VipRow) -> Iterator[Line]:
    """The hosts in the order in which they would take over, and why some cannot."""
    reach = reach_of(site)
    order = reach.order(row.address)
    for place, host in enumerate(order, start=1):
        inability = reach.inability(row.address, host)
        verdict = site.verdicts(row.address).get(host)
        said = f": {verdict.layer2.reason}" if verdict and verdict.layer2 else ""
        if host == row.owner:
            yield Line(f"{place}. {host} answers now{said}", Severity.GOOD)
        elif inability is not None:
            yield Line(f"{place}. {host} cannot: {inability.value}", Severity.WAITING)
        else:
            yield Line(f"{place}. {host} stands by{said}")
    if not order:
        yield Line("any host that its advertisements admit; nobody is planned by name", Severity.QUIET)


def _conflicts(site: Site, row: VipRow, now: datetime) -> Iterator[Line]:
    """Who else answers for a VIP: the hardware address, who saw it, on which link, since when."""
    seen: list[tuple[str, AddressConflict]] = [
        (name, conflict)
        for name, host in sorted(site.hosts.items())
        for conflict in host.status.conflicts
        if conflict.address == row.address
    ]
    for host, conflict in seen:
        since = f", for {age(conflict.since, now)} (since {conflict.since})" if conflict.since else ""
        mac = conflict.hardware_address.hex(":")
        yield Line(f"{mac} answers for it on {conflict.interface}, says {host}{since}", Severity.BAD)
    stored = {conflict.hardware_address.hex(":") for _, conflict in seen}
    for host, verdict in sorted(site.verdicts(row.address).items()):
        if evidence := verdict.evidence:
            heard = f"heard {evidence.count} times, first {evidence.first[:19]}, last {evidence.last[:19]}"
            where = f"{evidence.hardware_address} on {evidence.interface}"
            yield Line(f"{where}, says {host}: {heard.replace('T', ' ')}", Severity.BAD if verdict.conflict else None)
        elif verdict.conflict and verdict.conflict not in stored:
            yield Line(f"{verdict.conflict} answers for it, says {host}", Severity.BAD)


def of_host(known: Known, name: str, drained: Preview | str) -> Iterator[Line]:
    """A host: how it is, its agent, BIRD, interfaces and sessions, and what a drain would move, or how far that is."""
    site = known.site
    row = site.host(name)
    if row is None:
        yield Line(f"host {name} is gone", Severity.BAD)
        return
    yield Line(f"State      {row.health.text}{f', {row.detail}' if row.detail else ''}", row.health.severity)
    owns, announces = ("unknown" if count is None else count for count in (row.owned, row.announced))
    yield Line(f"VIPs       owns {owns}, announces {announces}")
    feed_age = "" if row.feed_age_seconds is None else f", {row.feed_age_seconds:.0f} s old"
    yield Line(f"Agent      {row.version or 'unknown'}{f', feed {row.feed}{feed_age}' if row.feed else ''}")
    yield from _bird(site, name)
    yield Line(f"Drained    {'yes' if row.drained else 'no'}", Severity.WAITING if row.drained else None)
    manifest = site.hosts.get(name)
    for interface in row.interfaces:
        addresses = " ".join(map(str, interface.addresses))
        text = f"Interface  {interface.name} {'up' if interface.up else 'DOWN'} {addresses}"
        yield Line(text, None if interface.up else Severity.BAD)
    for condition in manifest.status.conditions if manifest else ():
        if condition.status == "False" and condition.type != "Drained":
            yield Line(f"Condition  {condition.type} is False: {condition.message}", Severity.WAITING)
    yield Line("")
    yield Line("BGP sessions", is_title=True)
    sessions = site.sessions(name)
    for session in sessions:
        bfd = f", BFD {session.bfd}" if session.bfd else ""
        since = f" for {age(session.since, known.now)}" if session.since else ""
        text = f"{session.name:<16} {session.peer:<16} {session.state}{since}{bfd}  {session.message}".rstrip()
        yield Line(text, Severity.GOOD if session.health is SessionHealth.UP else session.health.severity)
    if not sessions:
        yield Line("none", Severity.QUIET)
    yield Line("")
    yield Line("If it were drained", is_title=True)
    if isinstance(drained, Preview):
        yield from map(Line, sentence.told(drained))
        yield from (Line(hand_over(move)) for move in drained.moves[:20])
    else:
        yield Line(drained, Severity.QUIET)
    yield Line("")
    yield Line("What happened to it", is_title=True)
    yield from known.events_of((name,))


def hand_over(move: HandOver) -> str:
    """A VIP, from whom and to whom it would go."""
    goes = f"{move.owner or 'nobody'} → {move.successor or 'nobody'}"
    return f"{move.address!s:<16} {goes}  {', '.join(move.services)}".rstrip()


def _bird(site: Site, name: str) -> Iterator[Line]:
    view = site.agents.get(name)
    program = view.program if view is not None and view.is_live else None
    if program is None:
        yield Line("BIRD       nobody asked its agent", Severity.QUIET)
    elif not program.bird.reachable:
        yield Line("BIRD       does not answer", Severity.BAD)
    elif program.bird.refused:
        yield Line(f"BIRD       {program.bird.version} refused its configuration: {program.bird.refused}", Severity.BAD)
    else:
        yield Line(f"BIRD       {program.bird.version or 'answers'}, as configured", Severity.GOOD)


def of_session(known: Known, row: SessionRow) -> Iterator[Line]:
    """A BGP session as it is now, what it carries, and how the other hosts fare with the same peer."""
    sessions = known.site.sessions(row.host)
    now = next((each for each in sessions if (each.name, each.peer) == (row.name, row.peer)), None)
    if now is None:
        yield Line(f"{row.host} has no session {row.name} any more", Severity.BAD)
        return
    since = f" for {age(now.since, known.now)} (since {now.since[:19].replace('T', ' ')})" if now.since else ""
    yield Line(f"State      {now.health.text}", now.health.severity)
    yield Line(f"Host       {now.host}")
    yield Line(f"Peer       {now.name}, {now.peer}")
    yield Line(f"BGP        {now.state}{since}")
    yield Line(f"BFD        {now.bfd or 'no BFD session with this peer'}")
    if now.sent is not None:
        yield Line(f"Prefixes   {now.sent} sent, {now.accepted or 0} accepted, {now.received or 0} updates received")
    if now.flaps is not None:
        yield Line(
            f"Flaps      went down {now.flaps} times since the agent began", Severity.WAITING if now.flaps else None
        )
    if now.message:
        yield Line(f"Message    {now.message}", Severity.WAITING)
    yield Line("")
    yield Line("The same peer, seen from other hosts", is_title=True)
    for host in known.site.host_names():
        for other in known.site.sessions(host) if host != row.host else ():
            if other.peer == row.peer:
                yield Line(f"{host:<16} {other.health.text}", other.health.severity)
    yield Line("")
    yield Line("What happened", is_title=True)
    yield from known.events_of((row.peer, row.name))


def of_pool(known: Known, ref: Ref) -> Iterator[Line]:
    """A pool: how full it is, where its free addresses are, and who holds what."""
    row, manifest = known.site.pool(ref), known.site.pools.get(ref)
    if row is None or manifest is None:
        yield Line(f"pool {ref.path} is gone", Severity.BAD)
        return
    for version, usage in sorted(row.usage.items()):
        text = f"IPv{version}       {usage.assigned} of {usage.total} addresses are given ({usage.percent:.0f} %)"
        yield Line(text, usage.severity)
    yield Line(f"Automatic  {'yes' if row.auto_assign else 'no: only who asks for it gets one of it'}")
    found = runs(manifest, known.site.vips)
    for listed in manifest.spec.addresses:
        yield Line("")
        yield from _map(listed, [run for run in found if run.first in listed])
    yield Line("")
    yield Line("Who holds what", is_title=True)
    held = [run for run in found if run.state in (AddressState.GIVEN, AddressState.RESTING)]
    width = max((len(", ".join(run.services)) for run in held[:_HELD_MAX]), default=0)
    for run in held[:_HELD_MAX]:
        vip = known.vips.get(str(run.first))
        holder = ", ".join(run.services) or "nobody: it is " + run.state.value
        yield Line(f"{run.first!s:<16} {holder:<{width}}  {vip.owner if vip else ''}".rstrip())
    if len(held) > _HELD_MAX:
        yield Line(f"and {len(held) - _HELD_MAX:,} more: filter the VIPs by {row.name}", Severity.QUIET)
    if not held:
        yield Line("nobody holds anything", Severity.QUIET)


def _map(listed: AddressRange, found: list[AddressRun]) -> Iterator[Line]:
    """A range as a picture of what became of its addresses, then the runs that are free."""
    first, count = int(listed.first), int(listed.last) - int(listed.first) + 1
    each = max(1, -(-count // (MAP_CELLS * _MAP_LINES)))
    unit = "an address" if each == 1 else f"{each:,} addresses"
    yield Line(
        f"{listed.text}: a sign is {unit}: █ given, ▒ in part, ~ kept back, - never given, ░ free", is_title=True
    )
    cells = -(-count // each)
    filled: dict[int, Counter[AddressState]] = {}
    for run in found:
        if run.state is AddressState.FREE:
            continue
        cell = (int(run.first) - first) // each
        filled.setdefault(cell, Counter())[run.state] += 1
    signs = "".join(_sign(filled.get(cell), min(each, count - cell * each)) for cell in range(cells))
    kind = type(listed.first)
    for begin in range(0, len(signs), MAP_CELLS):
        yield Line(f"{kind(first + begin * each)!s:<16} {signs[begin : begin + MAP_CELLS]}")
    free = [run for run in found if run.state is AddressState.FREE]
    texts = [str(run.first) if run.size == 1 else f"{run.first}-{run.last}" for run in free[:_RUNS_MAX]]
    more = f" and {len(free) - _RUNS_MAX:,} more runs" if len(free) > _RUNS_MAX else ""
    yield Line(f"free: {', '.join(texts) or 'none'}{more}")


def _sign(states: Counter[AddressState] | None, size: int) -> str:
    """What stands for some addresses: what all of them are, or that they differ."""
    if not states:
        return "░"
    if states.total() < size or len(states) > 1:
        return "▒"
    return {AddressState.GIVEN: "█", AddressState.RESTING: "~", AddressState.AVOIDED: "-"}[next(iter(states))]


def of_service(row: ServiceRow, told: Iterable[str]) -> Iterator[Line]:
    """A Service: what was found out about the way to it."""
    yield Line(f"State      {row.health.text}", row.health.severity)
    yield Line(f"Addresses  {', '.join(row.addresses) or 'none'}")
    yield Line("")
    yield Line("Why", is_title=True)
    for text in told:
        mark = text.split(maxsplit=1)[0] if text.strip() else ""
        severity = next((severity for name, severity in _MARKS.values() if name == mark), None)
        yield Line(text, Severity.WAITING if text.startswith("What to do") else severity)
