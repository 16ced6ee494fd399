"""`pierhead top`: who owns what, which sessions are up, how full the pools are, and what needs attention now."""

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, ClassVar, TypeVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import Hit, Hits, Provider
from textual.content import Content
from textual.events import Event, InputEvent
from textual.filter import LineFilter
from textual.screen import Screen
from textual.widgets import Input, Static

from appliance.api.meta import Ref
from appliance.control.client import HostHistory, read_history
from appliance.control.error import ControlError
from appliance.control.event import EventKind
from appliance.control.served import HistoryQuery
from appliance.overview import sentence
from appliance.overview.action import (
    AcknowledgeConflict,
    Action,
    DrainHost,
    MoveVip,
    Preview,
    Replan,
    UndrainHost,
    destinations,
    preview_in_steps,
)
from appliance.overview.attention import AttentionList
from appliance.overview.execution import ActionError, carry_out
from appliance.overview.row import Attention, HostRow, Mode, PoolRow, ServiceRow, SessionRow, Severity, VipRow
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, ask_each, follow_site
from appliance.overview.timeline import EventRow, clock_warnings, merge, row_of
from tui import column, detail
from tui.bar import Trend, sparkline
from tui.column import MARKS, HostSessions, PoolFill
from tui.message import ActionEnded, HistoryRead, ReplanMade, ServiceExplained, SiteChanged, SourceTold
from tui.moment import span
from tui.panel import ALL, WIDE_CELLS, WIDE_LINES, KeyLine, Panels, Tabs
from tui.plain import PlainText
from tui.preference import Preferences
from tui.screen import Choose, Columns, Confirm, Detail, key_lines
from tui.table import RowTable
from tui.theme import THEMES

T = TypeVar("T")

# Rows drawn between two looks at the keyboard.
SLICE = 400
# VIPs looked at between two looks at the keyboard, where it is found out what an action would change.
STEPS = 50
# Events that are read of hosts' histories for one VIP.
KEPT_MAX = 200
_FILTER_HINT = "filter: words that stand in a row; Enter keeps it, Escape clears it"
PALETTE_ROWS = 8
TABS = {
    ALL: "Overview",
    "vips": "VIPs",
    "hosts": "Hosts",
    "peers": "Peers",
    "pools": "Pools",
    "services": "Services",
    "events": "Events",
}
_STYLES = {Severity.BAD: "bold $error", Severity.WAITING: "$warning"}


class RowProvider(Provider):
    """What the palette finds by name: VIPs, hosts, Services, pools."""

    async def search(self, query: str) -> Hits:
        """Rows with the words of the query; each opens its details."""
        app = self.app
        if isinstance(app, PierheadTop):
            for title, table, key in app.found(query, PALETTE_ROWS):
                yield Hit(1.0, title, partial(app.choose, table, key), text=title)


class PierheadTop(App[None]):
    """The dashboard: a worker follows the site and posts what changed; everything else only draws."""

    TITLE = "Pierhead"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS = App.COMMANDS | {RowProvider}
    CSS = """
    #source { height: 1; padding: 0 1; background: $panel; color: $foreground; text-wrap: nowrap; }
    #health { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Screen { layers: base above; }
    #filter { layer: above; dock: bottom; height: 1; border: none; padding: 0 1; background: $surface; }
    #filter { visibility: hidden; }
    #filter > .input--placeholder { color: $secondary; }
    #filter.shown { visibility: visible; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("0", "show('overview')", "Overview", show=False, id="show.overview", tooltip="Everything at once."),
        Binding("1", "show('vips')", "VIPs", show=False, id="show.vips", tooltip="Who owns or announces each VIP."),
        Binding("2", "show('hosts')", "Hosts", show=False, id="show.hosts", tooltip="How each host is."),
        Binding("3", "show('peers')", "Peers", show=False, id="show.peers", tooltip="BGP sessions, host by peer."),
        Binding("4", "show('pools')", "Pools", show=False, id="show.pools", tooltip="How full each pool is."),
        Binding("5", "show('services')", "Services", show=False, id="show.services", tooltip="Who asks for addresses."),
        Binding("6", "show('events')", "Events", show=False, id="show.events", tooltip="What happened, newest first."),
        Binding("a", "show('attention')", "Attention", id="show.attention", tooltip="What needs it, worst first."),
        Binding("z", "zoom", "Zoom", show=False, id="zoom", tooltip="The panel that has the keys alone, or all again."),
        Binding("slash", "filter", "Filter", key_display="/", id="filter", tooltip="Show rows with the words typed."),
        Binding("escape", "step_back", "Back", show=False, id="back", tooltip="No filter; then all panels."),
        Binding("d", "drain", "Drain", id="drain", tooltip="Drain the chosen host, or undrain it; shown first."),
        Binding("m", "move", "Move", id="move", tooltip="Hand the chosen VIP to a host of your choice; shown first."),
        Binding("p", "replan", "Re-plan", id="replan", tooltip="Hand VIPs over as a new plan has them; shown first."),
        Binding("n", "note", "Note", show=False, id="note", tooltip="Take note of a VIP's conflict; shown first."),
        Binding("x", "seen", "Seen", show=False, id="seen", tooltip="No line on top for what is chosen, or again."),
        Binding("c", "columns", "Columns", show=False, id="columns", tooltip="Which of them are shown."),
        Binding("t", "next_theme", "Theme", show=False, id="theme", tooltip="The next theme."),
        Binding("question_mark", "keys", "Keys", key_display="?", id="keys", tooltip="What each key does."),
        Binding("q", "quit", "Quit", id="quit", tooltip="End."),
    ]

    def __init__(
        self,
        source: Source,
        clock: Callable[[], datetime],
        preferences: Preferences | None = None,
        *,
        explain: Callable[[str], Awaitable[tuple[str, ...]]] | None = None,
        plan: Callable[[], Awaitable[Replan | str]] | None = None,
        may_write: bool = False,
        user: str = "",
        on_many_rows: Callable[[], None] = lambda: None,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        """`explain` finds out about the way to a Service, `namespace/name`, `plan` what would be handed over, or why
        that cannot be known; both are called in a worker.

        `on_many_rows` is called each time so many rows were taken over that the keyboard was looked at in between,
        `at_rest` every second while no key is pressed.
        """
        super().__init__()
        self._on_many_rows = on_many_rows
        self._at_rest = at_rest
        self._is_at_rest = True
        self._explain = explain
        self._plan = plan
        self._judging: Generator[None, None, Preview] | None = None
        self._explained: dict[str, tuple[str, ...]] = {}
        self._kept: dict[str, detail.Kept] = {}
        self._may_write = may_write
        self._user = user
        self._source = source
        self._clock = clock
        self._preferences = preferences or Preferences()
        self.site = Site()
        """What is known so far."""
        self._found = AttentionList()
        self._seen: set[Attention] = set()
        self._faults: dict[str, tuple[str, datetime]] = {}
        self._changed_at: datetime | None = None
        self._due: dict[str, dict[Any, None]] = {name: {} for name in ("vips", "hosts", "pools", "services", "events")}
        self.is_drawing = False
        """Whether rows are still to be drawn."""
        self._known_sessions: dict[str, frozenset[str]] = {}
        self._plain = PlainText(enabled=bool(self._preferences.ascii))
        self._moves, self._frames = Trend(is_kept=False), Trend(is_kept=False)
        self._heard: dict[str, int] = {}
        self._fills: dict[str, Trend] = {}
        # Held, not looked for: a tick or a change may come before they are on the screen, and after they have left it.
        self._head, self._health, self._tabs = Static(id="source"), Static(id="health"), Tabs(TABS)
        tables = (*self._left(), *self._right())
        self._tables = {table.id: table for table in tables}
        self._panels = Panels(tables[:3], tables[3:], alone=("attention", "sessions"))
        self._field = Input(id="filter", placeholder=_FILTER_HINT)
        self._field.cursor_blink = False
        for name in list(self.available_themes):
            self.unregister_theme(name)
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._preferences.theme
        self.set_keymap(dict(self._preferences.keys))

    def get_line_filters(self) -> tuple[LineFilter, ...]:
        """Textual's, and ours for terminals that show ASCII alone."""
        own = (self._plain,) if self._plain.enabled else ()
        return (*super().get_line_filters(), *own)

    def get_key_display(self, binding: Binding) -> str:
        """A key by the word that stands on it."""
        return "Enter" if binding.key == "enter" else super().get_key_display(binding)

    def compose(self) -> ComposeResult:
        """The source, what needs attention, tabs, panels, and the keys."""
        yield self._head
        yield self._health
        yield self._tabs
        yield self._panels
        yield self._field
        yield KeyLine()

    def _left(self) -> Iterator[RowTable[Any]]:
        clock = self._clock
        yield RowTable(column.VIPS, clock, id="vips", title="VIPs", empty="There is no VIP.")
        nothing = "Nothing has happened since, or no agent is asked."
        yield RowTable(column.EVENTS, clock, id="events", title="Events", empty=nothing, is_reversed=True)
        yield RowTable(column.ATTENTION, clock, id="attention", title="Attention", empty="Nothing needs attention.")

    def _right(self) -> Iterator[RowTable[Any]]:
        clock, none = self._clock, "There is no BGP session."
        yield RowTable(column.HOSTS, clock, id="hosts", title="Hosts", empty="No host has registered.")
        yield RowTable(column.matrix(()), clock, id="matrix", title="BGP peers by host", empty=none, panel="peers")
        yield RowTable(column.SESSIONS, clock, id="sessions", title="Sessions", empty=none, panel="peers", sort_by=2)
        yield RowTable(column.POOLS, clock, id="pools", title="Pools", empty="There is no pool.")
        none = "No Service asks for an address."
        yield RowTable(column.SERVICES, clock, id="services", title="Services", empty=none, sort_by=1)

    def on_mount(self) -> None:
        """Begin to follow the site."""
        self._fit()
        for name, titles in self._preferences.columns.items():
            table = self._table(name)
            for title, _ in table.titles:
                table.want(title, is_wanted=title in titles)
        self._draw_head()
        self.run_worker(self._follow(), name="site", exclusive=True)
        self.action_show("vips" if self._panels.is_narrow else ALL)
        self.set_interval(1.0, self._tick, name="ages")

    def on_resize(self) -> None:
        """Two columns of panels, or one."""
        self._fit()

    def _fit(self) -> None:
        self._panels.fit(is_narrow=self.size.width < WIDE_CELLS or self.size.height < WIDE_LINES)
        self._draw_head()

    async def _follow(self) -> None:
        def hear(site: Site, touched: Touched) -> None:
            self.post_message(SiteChanged(site, touched))

        def say(part: str, why: str) -> None:
            self.post_message(SourceTold(part, why))

        await follow_site(self._source, hear, say)

    async def on_event(self, event: Event) -> None:
        """Every event of the terminal; of interest is that there was one."""
        if isinstance(event, InputEvent):
            self._is_at_rest = False
        await super().on_event(event)

    # What the worker tells

    def on_site_changed(self, message: SiteChanged) -> None:
        """Draw the rows that may be other than before."""
        self.site = message.site
        self._changed_at = self._clock()
        touched = message.touched
        # In the order of the table, so that a long listing fills the screen from the top.
        self._due["vips"] |= dict.fromkeys(sorted(touched.vips, key=lambda each: (each.version, int(each))))
        self._due["hosts"] |= dict.fromkeys(sorted(touched.hosts))
        self._due["pools"] |= dict.fromkeys(touched.pools)
        self._due["services"] |= dict.fromkeys(sorted(touched.services))
        self._due["events"] |= dict.fromkeys(touched.events)
        if not self.is_drawing:
            self.is_drawing = True
            self._draw_slice()

    def on_source_told(self, message: SourceTold) -> None:
        """Say whether what is shown is fresh."""
        if not message.why:
            self._faults.pop(message.part, None)
        else:
            _, since = self._faults.get(message.part, ("", self._clock()))
            self._faults[message.part] = (message.why, since)
        self._panels.set_class(bool(self._faults), "stale")
        self._draw_head()

    def _draw_slice(self) -> None:
        """Some of the rows that are due, then the keyboard, then more."""
        site = self.site
        touched = Touched(**{name: _taken(keys, SLICE) for name, keys in self._due.items()})
        self._table("vips").put({str(address): site.vip(address) for address in touched.vips})
        self._table("hosts").put({name: site.host(name) for name in touched.hosts})
        self._count_frames(touched.hosts)
        self._put_pools(touched.pools)
        self._table("services").put({ref.path: site.service(ref) for ref in touched.services})
        self._table("events").put(dict(self._events(touched.events)))
        self._put_sessions(touched.hosts)
        news = self._found.update(site, touched)
        self._seen.difference_update(each for each, is_there in news.items() if not is_there)
        self._table("attention").put({_key(each): each if is_there else None for each, is_there in news.items()})
        if len(touched.vips) == SLICE:
            self._on_many_rows()
        self.is_drawing = any(self._due.values())
        if self.is_drawing:
            self.call_later(self._draw_slice)
            return
        self._draw_head()
        self._redraw_details()

    def frames_a_minute(self) -> tuple[float, ...]:
        """How many frames of ARP and NDP came in on all hosts in each of the last minutes, the present one last."""
        return self._frames.values(self._clock())

    def _count_frames(self, hosts: Iterable[str]) -> None:
        """What came in since a host told its count before; the first count tells nothing of when."""
        now = self._clock()
        for name in hosts:
            told = self.site.agents.get(name)
            if told is not None and told.program is not None:
                count = told.program.frames
                more = count - self._heard.get(name, count)
                self._heard[name] = count
                if more > 0:
                    self._frames.add_at(now, now, more)

    def _put_pools(self, refs: Iterable[Ref]) -> None:
        now, rows = self._clock(), dict[str, PoolFill | None]()
        for ref in refs:
            pool = self.site.pool(ref)
            if pool is None:
                self._fills.pop(ref.path, None)
                rows[ref.path] = None
                continue
            trend = self._fills.setdefault(ref.path, Trend(is_kept=True))
            trend.put(max((usage.percent for usage in pool.usage.values()), default=0.0), now)
            rows[ref.path] = PoolFill(pool, trend.values(now))
        self._table("pools").put(rows)

    def _events(self, keys: Iterable[tuple[str, str]]) -> Iterator[tuple[str, EventRow]]:
        for host, number in keys:
            event = self.site.agents[host].events.get(number)
            if event is None:
                continue
            row = row_of(host, event)
            if row.kind == EventKind.VIP_MOVED:
                self._moves.add_at(row.moment, self._clock())
            yield f"{host} {event.run} {number}", row

    def _put_sessions(self, hosts: Iterable[str]) -> None:
        matrix: RowTable[HostSessions] = self._tables["matrix"]
        peers = self._table("sessions")
        names = dict.fromkeys(title for title, _ in matrix.titles[1:])
        rows: dict[str, HostSessions | None] = {}
        for host in hosts:
            sessions = self.site.sessions(host)
            rows[host] = HostSessions(host, sessions) if sessions else None
            now = {f"{host} {row.name} {row.peer}": row for row in sessions}
            gone = self._known_sessions.get(host, frozenset()) - now.keys()
            self._known_sessions[host] = frozenset(now)
            peers.put({**dict.fromkeys(gone), **now})
            names.update(dict.fromkeys(row.name for row in sessions))
        matrix.set_columns(column.matrix(sorted(names)))
        matrix.put(rows)

    def _tick(self) -> None:
        """What grows old says so."""
        self._draw_head()
        now = self._clock()
        if now.second == 0:
            self._put_pools(self.site.pools)
        self._table("events").note(f"moves a minute {sparkline(self._moves.values(now))}")
        heard = self.frames_a_minute()
        if heard:
            self._table("hosts").note(f"ARP/NDP a minute {sparkline(heard)}")
        for table in self._tables.values():
            if table.is_on_screen:
                table.tick()
        if self._is_at_rest:
            self._at_rest()
        self._is_at_rest = True

    def _draw_head(self) -> None:
        self._head.update(self._source_line(), layout=False)
        health, lines = self._health, self._health_lines()
        is_as_high = len(lines.plain.splitlines()) == health.size.height
        health.update(lines, layout=not is_as_high)
        worst = {
            "vips": self._found.worst_of("VIP"),
            "hosts": self._found.worst_of("host"),
            "peers": self._found.worst_of("session"),
            "pools": self._found.worst_of("pool"),
            "services": self._found.worst_of("Service"),
        }
        self._tabs.draw(self._panels.shown, worst)

    def _source_line(self) -> Content:
        now = self._clock()
        if self._faults:
            since = min(moment for _, moment in self._faults.values())
            why = "; ".join(text for text, _ in self._faults.values())
            state = Content.styled(f"STALE for {span((now - since).total_seconds())}: {why}", "bold $error")
        elif self._changed_at is None:
            state = Content.styled("connecting", "$warning")
        else:
            state = (
                Content.styled("live", "$success") + f", changed {span((now - self._changed_at).total_seconds())} ago"
            )
        agents = self._source.agents
        told = f"{len(agents)} agents" if len(agents) > 1 else "".join(map(str, agents))
        parts = " + ".join(part for part in (self._source.store, told) if part)
        return Content(f"Pierhead {now:%H:%M:%S}Z  ") + state + f"  {parts}"

    def _health_lines(self) -> Content:
        if self._changed_at is None:
            return Content.styled("Nothing was read yet.", "$secondary")
        lines = 3 if self.size.height < WIDE_LINES else 5
        wanted = [each for each in self._found.worst_first(lines + len(self._seen)) if each not in self._seen]
        found = wanted[:lines]
        if not found and not self._seen:
            return Content.styled("OK  Nothing needs attention.", "$success")
        shown = [
            Content.styled(f"{MARKS[each.severity]} {each.kind} {each.name}: {each.sentence}", _STYLES[each.severity])
            for each in found
        ]
        more = len(self._found) - len(found)
        if more > 0:
            shown.append(Content.styled(f"   and {more:,} more: press a", "$secondary"))
        return Content("\n").join(shown)

    # What the user does

    def action_show(self, name: str) -> None:
        """A panel, ready for the keys of its table, or all of them."""
        self._panels.show(name)
        self._draw_head()

    def action_zoom(self) -> None:
        """The panel that has the keys alone, or all of them."""
        panels = self._panels
        self.action_show(panels.focused_panel if panels.shown == ALL and panels.focused_panel else ALL)

    def action_filter(self) -> None:
        """Type what the rows are to have."""
        field = self._field
        field.add_class("shown")
        field.focus()

    def action_step_back(self) -> None:
        """Show all rows again; then all panels."""
        field = self._field
        if field.has_class("shown"):
            field.value = ""
            field.remove_class("shown")
            self._panels.focus_rows()
        elif self._panels.shown != ALL:
            self.action_show(ALL)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow every table while the text is typed."""
        for table in self._tables.values():
            table.narrow(event.value)

    def on_input_submitted(self) -> None:
        """Back to the rows, with the filter as it is."""
        self._panels.focus_rows()

    def action_next_theme(self) -> None:
        """The next of ours."""
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's form
        """Keys are there where they can do something: those that change the site only for who may."""
        panel = self.focused.panel if isinstance(self.focused, RowTable) else ""
        match action:
            case "drain":
                return self._may_write and panel in ("hosts", "peers")
            case "move" | "note":
                return self._may_write and panel == "vips"
            case "replan":
                return self._may_write and self._plan is not None
            case "seen":
                return panel == "attention"
            case _:
                return True

    def action_drain(self) -> None:
        """Drain the chosen host, or undrain it, once it was shown what that changes."""
        match self.focused:
            case RowTable(chosen_row=HostRow(name=host) | HostSessions(host=host) | SessionRow(host=host)):
                row = self.site.host(host)
                self._ask(UndrainHost(host) if row is not None and row.drained else DrainHost(host))

    def action_move(self) -> None:
        """Hand the chosen VIP to one of the hosts that are able to take it, once it was shown what that changes."""
        match self.focused:
            case RowTable(chosen_row=VipRow(address=address, owner=owner, mode=mode)):
                if not owner or mode not in (Mode.LAYER2, Mode.BOTH):
                    self._ask(MoveVip(address))
                    return
                self.push_screen(
                    Choose(f"Move {address} from {owner} to", destinations(self.site, address)),
                    lambda host: self._ask(MoveVip(address, host)) if host else None,
                )

    def action_replan(self) -> None:
        """Plan anew, and hand over what is elsewhere, once it was shown."""
        if self._plan is not None:
            self._open_confirm(Replan(()), "reading the whole site and planning it anew ...")
            self.run_worker(self._find_plan(self._plan), name="plan", group="plan", exclusive=True)

    async def _find_plan(self, plan: Callable[[], Awaitable[Replan | str]]) -> None:
        match await plan():
            case str() as why:
                self.post_message(ReplanMade(Replan(()), why))
            case action:
                self.post_message(ReplanMade(action, ""))

    def on_replan_made(self, message: ReplanMade) -> None:
        """Show what a new plan would change, where that is still asked."""
        screen = self.screen
        if isinstance(screen, Confirm) and isinstance(screen.action, Replan):
            if message.why:
                screen.say(message.why)
            else:
                self._judge(message.action, screen.show, screen.say)

    def action_note(self) -> None:
        """Take note of a conflict of the chosen VIP, so that it is no alarm any more, once it was shown."""
        match self.focused:
            case RowTable(chosen_row=VipRow(address=address)):
                self._ask(AcknowledgeConflict(address, self._user))

    def _ask(self, action: Action) -> None:
        screen = self._open_confirm(action, "")
        self._judge(action, screen.show, screen.say)

    def _open_confirm(self, action: Action, progress: str) -> Confirm:
        def answered(wanted: Action | None) -> None:
            self._judging = None
            if wanted is not None:
                self.run_worker(self._carry_out(wanted), name="action", group="action")

        screen = Confirm(action)
        screen.say(progress)
        self.push_screen(screen, answered)
        return screen

    def _judge(self, action: Action, show: Callable[[Preview], object], say: Callable[[str], object]) -> None:
        """Find out what an action would change, some VIPs at a time: of ten thousand it takes most of a second."""
        judging = preview_in_steps(self.site, action)
        self._judging = judging

        def some(done: int) -> None:
            if self._judging is not judging:
                return
            try:
                for _ in range(STEPS):
                    next(judging)
            except StopIteration as end:
                show(end.value)
            else:
                if done % (10 * STEPS) == 0:
                    say(f"finding out what would change: {done:,} VIPs looked at ...")
                self.call_later(some, done + STEPS)

        some(0)

    async def _carry_out(self, action: Action) -> None:
        try:
            await carry_out(self._source, action)
        except ActionError as error:
            self.post_message(ActionEnded(action, str(error)))
        else:
            self.post_message(ActionEnded(action, ""))

    def on_action_ended(self, message: ActionEnded) -> None:
        """Say how it went; what follows is seen on the site."""
        what = sentence.title(message.action)
        if message.why:
            self.notify(f"{what}: {message.why}", severity="error", timeout=15, markup=False)
        else:
            self.notify(f"{what}: asked for", markup=False)

    def action_seen(self) -> None:
        """What is chosen needs no line on top any more until it changes; or does again."""
        match self.focused:
            case RowTable(chosen_row=Attention() as found):
                self._seen ^= {found}
                self._draw_head()

    def action_columns(self) -> None:
        """Choose the columns of the table that has the keys."""
        if isinstance(self.focused, RowTable):
            self.push_screen(Columns(self.focused))

    def action_keys(self) -> None:
        """What each key does here."""
        bindings = list(self.screen.active_bindings.values())
        self.push_screen(Detail("Keys", lambda: key_lines(bindings, self.get_key_display)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette offers: everything a key does, and the themes."""
        for _node, binding, is_enabled, tooltip in screen.active_bindings.values():
            if is_enabled and binding.id and not binding.id.startswith("table."):
                run = partial(self.run_action, binding.action)
                yield SystemCommand(binding.description, tooltip or binding.tooltip, run)
        for theme in THEMES:
            yield SystemCommand(
                f"Theme {theme.name}", "Change the colours", partial(setattr, self, "theme", theme.name)
            )

    def on_tabs_picked(self, event: Tabs.Picked) -> None:
        """Show what was clicked."""
        self.action_show(event.name)

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Open what is known of a row."""
        match event.row:
            case VipRow(address=address):
                self._open(
                    f"VIP {address}",
                    lambda: detail.of_vip(self._known(), address),
                    recall=partial(self._recall, str(address)),
                )
            case HostRow(name=host) | HostSessions(host=host):
                self._open_host(host)
            case SessionRow() as row:
                self._open(f"Session {row.name} of {row.host}", lambda: detail.of_session(self._known(), row))
            case PoolFill(pool=pool):
                ref = _ref(self.site.pools, pool)
                self._open(f"Pool {pool.name}", lambda: detail.of_pool(self._known(), ref))
            case ServiceRow(name=name):
                self._open_service(name)
            case Attention() as found:
                self._open_attention(found)
            case _:
                return

    def found(self, text: str, at_most: int) -> Iterator[tuple[str, RowTable[object], str]]:
        """Rows in which every word of a text stands, as their table and key, each with what it is called."""
        words = text.casefold().split()
        for name in ("vips", "hosts", "services", "pools"):
            table = self._table(name)
            for key in islice(table.keys_with(words), at_most):
                yield f"{TABS[name].removesuffix('s')} {key}", table, key

    def choose(self, table: RowTable[object], key: str) -> None:
        """Open what is known of a row."""
        if key in table.rows:
            self.on_row_table_chosen(RowTable.Chosen(table.id or "", table.rows[key]))

    def _recall(self, subject: str) -> None:
        """Read what hosts keep of a VIP."""
        self._kept[subject] = detail.Kept(is_reading=True)
        self._redraw_details()
        self.run_worker(self._read_kept(subject), name=f"history {subject}", group="history", exclusive=True)

    async def _read_kept(self, subject: str) -> None:
        read = partial(read_history, query=HistoryQuery(about=subject), at_most=KEPT_MAX)
        answers = await ask_each(self._source.agents, read)
        histories = [answer for _, answer in answers if isinstance(answer, HostHistory)]
        problems = [str(answer) for _, answer in answers if isinstance(answer, ControlError)]
        problems += clock_warnings(histories)
        problems += [f"{history.host}: not on disk: {history.problem}" for history in histories if history.problem]
        self.post_message(HistoryRead(subject, tuple(merge(histories)[-KEPT_MAX:]), tuple(problems)))

    def on_history_read(self, message: HistoryRead) -> None:
        """Show what hosts keep of a VIP, where it is still looked at."""
        self._kept[message.subject] = detail.Kept(message.rows, message.problems)
        self._redraw_details()

    def _open_host(self, host: str) -> None:
        """What is known of a host; what a drain would move is found out once, not at each change."""
        drained: Preview | str = ""

        def take(found: Preview | str) -> None:
            nonlocal drained
            drained = found
            self._redraw_details()

        self._judge(DrainHost(host), take, take)
        self._open(f"Host {host}", lambda: detail.of_host(self._known(), host, drained))

    def _open_service(self, name: str) -> None:
        """What the store says of a Service, and as soon as it is found out, why."""
        self._explained[name] = ("asking the store ...",)
        if self._explain is not None:
            self.run_worker(
                self._find_out(name, self._explain), name=f"explain {name}", group="explain", exclusive=True
            )

        def lines() -> Iterator[detail.Line]:
            row = self._table("services").rows.get(name)
            if isinstance(row, ServiceRow):
                yield from detail.of_service(row, self._explained[name])

        self._open(f"Service {name}", lines)

    async def _find_out(self, name: str, explain: Callable[[str], Awaitable[tuple[str, ...]]]) -> None:
        self.post_message(ServiceExplained(name, await explain(name)))

    def on_service_explained(self, message: ServiceExplained) -> None:
        """Show why a Service is as it is, where it is still looked at."""
        self._explained[message.service] = message.lines
        self._redraw_details()

    def _open_attention(self, found: Attention) -> None:
        """What needs attention, in full: the thing that it is about."""
        rows: Mapping[str, object] = {}
        match found.kind:
            case "VIP":
                rows = self._table("vips").rows
            case "host":
                rows = self._table("hosts").rows
            case "session":
                host, _, name = found.name.partition(" ")
                session = next((row for row in self.site.sessions(host) if row.name == name), None)
                rows = {found.name: session} if session else {}
            case "pool":
                rows = {row.pool.name: row for row in self._table("pools").rows.values() if isinstance(row, PoolFill)}
            case "Service":
                rows = self._table("services").rows
        if found.name in rows:
            self.on_row_table_chosen(RowTable.Chosen("attention", rows[found.name]))

    def _known(self) -> detail.Known:
        vips: Mapping[str, Any] = self._table("vips").rows
        events: Mapping[str, Any] = self._table("events").rows
        return detail.Known(self.site, vips, events, self._clock(), self._kept)

    def _redraw_details(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Detail):
                screen.redraw()

    @classmethod
    def binding_ids(cls) -> Iterator[str]:
        """The names under which keys can be given others."""
        for owner in (cls, RowTable, Detail, Confirm, Choose, Columns):
            yield from (binding.id for binding in owner.BINDINGS if isinstance(binding, Binding) and binding.id)

    def _open(
        self, title: str, lines: Callable[[], Iterable[detail.Line]], recall: Callable[[], object] | None = None
    ) -> None:
        self.push_screen(Detail(title, lines, recall))

    def _table(self, name: str) -> RowTable[object]:
        return self._tables[name]


def _taken(due: dict[T, None], at_most: int) -> set[T]:
    """The first of what is due, which is due no longer."""
    taken = set(islice(due, at_most))
    for each in taken:
        del due[each]
    return taken


def _key(found: Attention) -> str:
    return f"{found.kind} {found.name} {found.sentence}"


def _ref(pools: Mapping[Ref, object], row: PoolRow) -> Ref:
    return next(ref for ref in pools if (ref.namespace, ref.name) == (row.namespace, row.name))
