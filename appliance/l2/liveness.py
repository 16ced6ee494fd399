"""Which fellow hosts live: suspicion, conviction, and watching those BFD does not watch."""

from collections.abc import Mapping

from appliance.api.address import IPAddress
from appliance.l2 import port
from appliance.l2.agenda import Agenda
from appliance.l2.charge import Charges
from appliance.l2.journal import Journal
from appliance.l2.link import Link, Links
from appliance.l2.plan import Fellow
from appliance.l2.timing import Timing
from appliance.l2.verdict import Count, HostState
from appliance.l2.watch import NEVER, Finding, Phase, Watch

Key = tuple[str, str]
_SAMPLE = 2
_WITNESSES = 2
_SEEN_MOST = (HostState.ALIVE, HostState.SUSPECT, HostState.AGENT_DOWN, HostState.UNKNOWN, HostState.DEAD)


class Liveness:
    """The watches of all fellows on all links, and the VIPs each fellow is believed to answer for."""

    def __init__(self, timing: Timing, links: Links, journal: Journal) -> None:
        self._timing, self._links, self._journal = timing, links, journal
        self._watches: dict[Key, Watch] = {}
        self._routes: dict[str, bool] = {}
        self.charges = Charges()
        self.agenda: Agenda[Key] = Agenda()
        self.changed: set[str] = set()
        self.convicted_version = 0
        self.revived: set[str] = set()
        self.vacated: set[IPAddress] = set()

    # what is watched

    def rebuild(self, fellows: Mapping[str, Fellow], now: float) -> None:
        """Watch each fellow on each link; what is known of those that stay is kept."""
        wanted = {(name, link.interface.name): link for name in sorted(fellows) for link in self._links}
        for key in self._watches.keys() - wanted.keys():
            del self._watches[key]
            self.agenda.drop(key)
            self._note_standing(key[0])
        for key, link in wanted.items():
            addresses = tuple(a for a in fellows[key[0]].addresses if port.shares_subnet(link.interface, a))
            if key in self._watches:
                self._watches[key].addresses = addresses
                continue
            self._watches[key] = Watch(*key, addresses)
            self.agenda.put(key, now)
            self._note_standing(key[0])

    # what was heard

    def lose_route(self, fellow: str, now: float) -> None:
        """BFD lost the fellow: suspect it on every link."""
        self._routes[fellow] = False
        for watch in self._of(fellow):
            is_watched = watch.phase is Phase.WATCHING and not watch.is_convicted
            if is_watched or watch.phase is Phase.AWAITING_AGENT:
                self._suspect(watch, now)

    def find_route(self, fellow: str, now: float) -> None:
        """BFD found the fellow: its kernel lives; what its agent does is seen later."""
        self._routes[fellow] = True
        for watch in self._of(fellow):
            self._hear_life(watch)
            if watch.phase is Phase.WATCHING:
                self.agenda.put((fellow, watch.interface), now)

    def hear_kernel(self, fellow: str, interface: str, now: float) -> None:
        """The fellow's own address was answered for."""
        watch = self._watches.get((fellow, interface))
        if watch is None:
            return
        watch.kernel_heard_at, watch.unanswered = now, 0
        self._hear_life(watch)
        self._clear_early(watch, now)

    def hear_agent(self, fellow: str, interface: str, now: float, address: IPAddress | None = None) -> None:
        """The fellow's agent spoke, perhaps for one of the VIPs."""
        watch = self._watches.get((fellow, interface))
        if watch is None:
            return
        watch.agent_heard_at = now
        if address is not None:
            watch.pending.pop(address, None)
        self._hear_life(watch)
        if watch.phase is Phase.AWAITING_AGENT or watch.state is HostState.AGENT_DOWN:
            self._settle(watch, HostState.ALIVE, now)
        self._clear_early(watch, now)

    def hear_link(self, link: Link, now: float) -> None:
        """A link that led nowhere leads somewhere: convict again those who were silent with it."""
        for watch in self._watches.values():
            if watch.interface != link.interface.name:
                continue
            if watch.phase is Phase.HELD:
                self._suspect(watch, now)
            elif watch.state is HostState.DEAD:
                self.agenda.put((watch.fellow, watch.interface), now)

    def _hear_life(self, watch: Watch) -> None:
        if watch.state is HostState.DEAD:
            self.revived.add(watch.fellow)
        if watch.state in (HostState.DEAD, HostState.UNKNOWN):
            self._hold_state(watch, HostState.ALIVE)

    def _clear_early(self, watch: Watch, now: float) -> None:
        if watch.phase is Phase.CONVICTING and watch.is_cleared:
            self._acquit(watch, now)

    def pause(self, now: float) -> None:
        """This host slept: silence while it did means nothing."""
        for key, watch in self._watches.items():
            watch.pending, watch.unanswered, watch.grace_ends = {}, 0, None
            if watch.phase is Phase.WATCHING:
                self.agenda.put(key, now)
            else:
                self._suspect(watch, now)

    # what is done when a watch is due

    def run(self, key: Key, due: float, now: float) -> None:
        """Ask what is to be asked next, or conclude."""
        watch, link = self._watches[key], self._links.get(key[1])
        if link is None:
            return
        match watch.phase:
            case Phase.WATCHING:
                self._look(watch, link, now)
            case Phase.CONVICTING:
                self._convict(watch, link, due, now)
            case Phase.AWAITING_AGENT:
                self._await_agent(watch, link, now)
            case Phase.HELD:
                self._hold(watch, link, now)

    def _look(self, watch: Watch, link: Link, now: float) -> None:
        timing = self._timing
        is_silent = watch.unanswered >= timing.slow_probe_rounds
        if is_silent and watch.state is HostState.AGENT_DOWN and link.isolated_since is None:
            self._settle(watch, HostState.DEAD, now)
        elif not watch.is_convicted and (is_silent or self.charges.still(watch.fellow, watch.pending)):
            return self._suspect(watch, now)
        if watch.state is not HostState.ALIVE or not self._routes.get(watch.fellow):
            self._ask_kernel(watch, link)
        if watch.rounds % 2 and not watch.is_convicted:
            watch.pending = dict.fromkeys(self.charges.sample(watch.fellow, watch.interface, 1))
            self._ask_agent(watch, link)
        watch.rounds += 1
        is_dead = watch.state is HostState.DEAD
        wait = timing.dead_probe_interval_seconds if is_dead else timing.slow_probe_interval_seconds
        return self.agenda.put((watch.fellow, watch.interface), now + wait)

    def _convict(self, watch: Watch, link: Link, due: float, now: float) -> None:
        probes, interval = self._timing.convict_probes, self._timing.convict_probe_interval_seconds
        came_late = now - due > interval  # answers may wait unread behind us
        if watch.rounds < (2 * probes if came_late else probes):
            self._ask_kernel(watch, link)
            self._ask_agent(watch, link)
            self._ask_witnesses(watch, link, now)
            watch.rounds += 1
            return self.agenda.put((watch.fellow, watch.interface), now + interval)
        return self._conclude(watch, link, now)

    def _conclude(self, watch: Watch, link: Link, now: float) -> None:
        finding = watch.find()
        watch.pending = dict.fromkeys(self.charges.still(watch.fellow, watch.pending))
        if not watch.addresses and not watch.pending:
            self._settle(watch, HostState.UNKNOWN, now)  # there was nothing to ask for on this link
        elif finding is Finding.INNOCENT or (finding is Finding.AGENT_SILENT and not watch.pending):
            self._acquit(watch, now)
        elif finding is Finding.AGENT_SILENT or (not watch.addresses and self._lives_elsewhere(watch)):
            watch.unanswered = 0
            self._await_agent(watch, link, now)
        elif link.heard_at >= watch.suspected_at:
            self._settle(watch, HostState.DEAD, now)
        else:
            self._isolate(watch, link, now)

    def _await_agent(self, watch: Watch, link: Link, now: float) -> None:
        timing = self._timing
        watch.phase = Phase.AWAITING_AGENT
        if watch.grace_ends is None:
            watch.grace_ends = watch.suspected_at + timing.agent_grace_seconds
        watch.pending = dict.fromkeys(self.charges.still(watch.fellow, watch.pending))
        if not watch.pending:
            return self._acquit(watch, now)
        if watch.unanswered >= timing.slow_probe_rounds:
            return self._suspect(watch, now)
        if now >= watch.grace_ends:
            return self._settle(watch, HostState.AGENT_DOWN, now)
        self._ask_kernel(watch, link)
        self._ask_agent(watch, link)
        watch.rounds += 1
        wait = min(now + timing.grace_probe_interval_seconds, watch.grace_ends)
        return self.agenda.put((watch.fellow, watch.interface), wait)

    def _isolate(self, watch: Watch, link: Link, now: float) -> None:
        if link.isolated_since is None:
            link.isolated_since = now
            self._journal.counts[Count.ISOLATIONS] += 1
            self._journal.touch()
        watch.phase = Phase.HELD
        self._hold(watch, link, now)

    def _hold(self, watch: Watch, link: Link, now: float) -> None:
        since = now if link.isolated_since is None else link.isolated_since
        is_patient = now < since + self._timing.isolation_patience_seconds
        if not is_patient or not (link.witnesses(now) or self._peers(watch)):
            return self._settle(watch, HostState.DEAD, now)  # nobody hears us, or nobody is left who could
        self._ask_kernel(watch, link)
        self._ask_witnesses(watch, link, now)
        watch.rounds += 1
        return self.agenda.put((watch.fellow, watch.interface), now + self._timing.slow_probe_interval_seconds)

    # changes of state

    def _suspect(self, watch: Watch, now: float) -> None:
        watch.suspect(self.charges.sample(watch.fellow, watch.interface, _SAMPLE), now)
        self._journal.counts[Count.SUSPICIONS] += 1
        self._journal.touch()
        self.agenda.put((watch.fellow, watch.interface), now)

    def _acquit(self, watch: Watch, now: float) -> None:
        self._journal.counts[Count.FALSE_ALARMS] += 1
        self.vacated.update(self.charges.still(watch.fellow, watch.pending))
        self._settle(watch, HostState.ALIVE, now)

    def _settle(self, watch: Watch, state: HostState, now: float) -> None:
        self._hold_state(watch, state)
        if watch.is_convicted:
            self._journal.counts[Count.CONVICTIONS] += 1
        self.agenda.put((watch.fellow, watch.interface), now + self._timing.slow_probe_interval_seconds)

    def _hold_state(self, watch: Watch, state: HostState) -> None:
        was_convicted = watch.is_convicted
        watch.settle(state)
        self._journal.touch()
        if watch.is_convicted != was_convicted:
            self._note_standing(watch.fellow)

    def _note_standing(self, fellow: str) -> None:
        self.changed.add(fellow)
        self.convicted_version += 1

    # questions

    def _ask_kernel(self, watch: Watch, link: Link) -> None:
        address = watch.own_address()
        if address is not None:
            watch.unanswered += 1
            self._ask(link, address)

    def _ask_agent(self, watch: Watch, link: Link) -> None:
        for address in watch.pending:
            self._ask(link, address)

    def _ask_witnesses(self, watch: Watch, link: Link, now: float) -> None:
        peers = [address for peer in self._peers(watch) if (address := peer.own_address())]
        for address in [*link.witnesses(now)[:_WITNESSES], *peers[:_WITNESSES]]:
            self._ask(link, address)

    def _ask(self, link: Link, address: IPAddress) -> None:
        self._journal.send(link.interface.name, port.question(link.interface, address), Count.PROBES)

    def _peers(self, watch: Watch) -> list[Watch]:
        on_link = (each for each in self._watches.values() if each.interface == watch.interface)
        return [each for each in on_link if each is not watch and each.counts_as_up]

    # what is held

    def _of(self, fellow: str) -> list[Watch]:
        return [watch for (name, _), watch in self._watches.items() if name == fellow]

    def _lives_elsewhere(self, watch: Watch) -> bool:
        others = (each for each in self._of(watch.fellow) if each is not watch)
        return bool(self._routes.get(watch.fellow)) or any(each.state is HostState.ALIVE for each in others)

    def is_gone(self, fellow: str, interfaces: tuple[str, ...]) -> bool:
        """Whether a fellow was convicted on every one of some links."""
        watches = [self._watches.get((fellow, name)) for name in interfaces]
        return bool(watches) and all(watch is not None and watch.is_convicted for watch in watches)

    def states(self) -> Mapping[str, HostState]:
        """What is held of each fellow: the most that any link shows of it."""
        seen: dict[str, set[HostState]] = {}
        for watch in self._watches.values():
            tells = watch.addresses or watch.kernel_heard_at > NEVER or watch.agent_heard_at > NEVER
            seen.setdefault(watch.fellow, set()).update({watch.state} if tells else ())
        return {name: _most(states) for name, states in sorted(seen.items())}


def _most(states: set[HostState]) -> HostState:
    return next((state for state in _SEEN_MOST if state in states), HostState.UNKNOWN)
