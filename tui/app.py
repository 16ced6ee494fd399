"""`pierhead top`: who owns what, which sessions are up, how full the pools are, and what needs attention now."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane

from appliance.control.message import HostEvent
from appliance.overview.attention import attention
from appliance.overview.row import Attention, HostRow, PoolRow, SessionRow, Severity, VipRow
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, follow_site
from tui import column, detail
from tui.message import SiteChanged, SourceTold
from tui.table import RowTable

ATTENTION_LINES = 3
_MARKS = {Severity.BAD: "!!", Severity.WAITING: " !", Severity.GOOD: "  ", Severity.QUIET: "  "}


class Detail(ModalScreen[None]):
    """Lines about one thing, until closed."""

    DEFAULT_CSS = """
    Detail { align: center middle; }
    Detail > VerticalScroll {
        width: 90%; max-width: 120; height: auto; max-height: 80%;
        border: round $primary; padding: 0 1; background: $surface;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close", id="detail.close")]

    def __init__(self, lines: Callable[[], Iterator[str]]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """One block of text that scrolls."""
        with VerticalScroll():
            yield Static(id="detail-text", markup=False)

    def on_mount(self) -> None:
        """Show the lines as they are now."""
        self.redraw()

    def redraw(self) -> None:
        """Show the lines as they are now."""
        self.query_one("#detail-text", Static).update("\n".join(self._lines()))


class PierheadTop(App[None]):
    """The dashboard: a worker follows the site and posts what changed; everything else only draws."""

    TITLE = "Pierhead"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    #source { height: 1; padding: 0 1; background: $primary; color: $text; }
    #attention { height: auto; max-height: 5; padding: 0 1; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    #filter { display: none; height: 1; border: none; padding: 0 1; }
    #filter.shown { display: block; }
    RowTable > .row-table--head { background: $panel; color: $text; text-style: bold; }
    RowTable > .row-table--cursor { background: $primary; color: $text; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "tab('vips')", "VIPs", id="tab.vips"),
        Binding("2", "tab('hosts')", "Hosts", id="tab.hosts"),
        Binding("3", "tab('peers')", "Peers", id="tab.peers"),
        Binding("4", "tab('pools')", "Pools", id="tab.pools"),
        Binding("5", "tab('events')", "Events", id="tab.events"),
        Binding("slash", "filter", "Filter", key_display="/", id="filter"),
        Binding("a", "attention", "Attention", id="attention"),
        Binding("escape", "unfilter", "Clear", show=False, id="unfilter"),
        Binding("question_mark", "show_help_panel", "Keys", key_display="?", id="help"),
        Binding("q", "quit", "Quit", id="quit"),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._site = Site()
        self._faults: dict[str, str] = {}
        self._found: tuple[Attention, ...] = ()
        self._known_sessions: dict[str, tuple[tuple[str, str, str], ...]] = {}

    def compose(self) -> ComposeResult:
        """The source, what needs attention, a tab for each kind of row, and the keys."""
        yield Static(id="source", markup=False)
        yield Static(id="attention", markup=False)
        with TabbedContent(initial="vips"):
            with TabPane("VIPs", id="vips"):
                yield RowTable[VipRow](column.VIPS, id="table-vips", empty="There is no VIP.")
            with TabPane("Hosts", id="hosts"):
                yield RowTable[HostRow](column.HOSTS, id="table-hosts", empty="No host has registered.")
            with TabPane("Peers", id="peers"):
                yield RowTable[SessionRow](column.SESSIONS, id="table-peers", empty="There is no BGP session.")
            with TabPane("Pools", id="pools"):
                yield RowTable[PoolRow](column.POOLS, id="table-pools", empty="There is no pool.")
            with TabPane("Events", id="events"):
                yield RowTable[tuple[str, HostEvent]](
                    column.EVENTS, id="table-events", empty="Nothing has happened, or no agent is asked."
                )
        yield Input(id="filter", placeholder="filter: words that stand in the row; Enter keeps it, Escape clears it")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow the site."""
        self._draw_source()
        self._draw_attention()
        self.run_worker(self._follow(), name="site", exclusive=True)
        self._table().focus()

    async def _follow(self) -> None:
        def hear(site: Site, touched: Touched) -> None:
            self.post_message(SiteChanged(site, touched))

        def say(part: str, why: str) -> None:
            self.post_message(SourceTold(part, why))

        await follow_site(self._source, hear, say)

    # What the worker tells

    def on_site_changed(self, message: SiteChanged) -> None:
        """Draw the rows that may be other than before."""
        site, touched = message.site, message.touched
        self._site = site
        self._put("vips", {address: site.vip(address) for address in touched.vips})
        self._put("hosts", {name: site.host(name) for name in touched.hosts})
        self._put("pools", {ref: site.pool(ref) for ref in touched.pools})
        for host in touched.hosts:
            self._put("peers", self._sessions(host))
        self._put("events", {(h, n): (h, e) for h, n in touched.events if (e := site.agents[h].events.get(n))})
        self._draw_source()
        self._draw_attention()
        for screen in self.screen_stack:
            if isinstance(screen, Detail):
                screen.redraw()

    def on_source_told(self, message: SourceTold) -> None:
        """Say whether what is shown is fresh."""
        if message.why:
            self._faults[message.part] = message.why
        else:
            self._faults.pop(message.part, None)
        self._draw_source()

    def _put(self, name: str, rows: Mapping[Any, object]) -> None:
        if rows:
            self.query_one(f"#table-{name}", RowTable).put(rows)

    def _sessions(self, host: str) -> dict[tuple[str, str, str], SessionRow | None]:
        """The sessions of a host by key, None for those there are no longer."""
        rows: dict[tuple[str, str, str], SessionRow | None] = dict.fromkeys(self._known_sessions.get(host, ()))
        rows |= {(host, row.name, row.peer): row for row in self._site.sessions(host)}
        self._known_sessions[host] = tuple(key for key, row in rows.items() if row is not None)
        return rows

    def _draw_source(self) -> None:
        parts = [part for part in (self._source.store, *map(str, self._source.agents)) if part]
        state = "; ".join(f"STALE: {why}" for why in self._faults.values()) or "live"
        self.query_one("#source", Static).update(f"Pierhead  {state}  {' + '.join(parts)}")

    def _draw_attention(self) -> None:
        self._found = attention(self._site)
        shown = self._found[:ATTENTION_LINES]
        lines = Text("\n").join(Text(_attention_line(each), _style(each.severity)) for each in shown)
        if not self._found:
            lines = Text("Nothing needs attention.", "dim")
        elif len(self._found) > len(shown):
            lines.append(f"\n   and {len(self._found) - len(shown)} more: press a", "dim")
        self.query_one("#attention", Static).update(lines)

    # What the user does

    def action_tab(self, name: str) -> None:
        """Show a tab, ready for the keys of its table."""
        self.query_one(TabbedContent).active = name
        self._table().focus()

    def action_filter(self) -> None:
        """Type what the rows are to have."""
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("shown")
        self._table().focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow every table while the text is typed."""
        for table in self.query(RowTable):
            table.narrow(event.value)

    def on_input_submitted(self) -> None:
        """Back to the rows, with the filter as it is."""
        self._table().focus()

    def action_attention(self) -> None:
        """Everything that needs attention."""
        self.push_screen(Detail(lambda: map(_attention_line, self._found)))

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Open what is known of a row."""
        match self.query_one(TabbedContent).active:
            case "vips":
                self.push_screen(Detail(partial(detail.of_vip, self._site, event.key)))  # type: ignore[arg-type]  # of this table
            case "hosts":
                self.push_screen(Detail(partial(detail.of_host, self._site, event.key)))  # type: ignore[arg-type]  # likewise
            case _:
                return

    def _table(self) -> "RowTable[object]":
        return self.query_one(f"#table-{self.query_one(TabbedContent).active}", RowTable)


def _attention_line(found: Attention) -> str:
    return f"{_MARKS[found.severity]} {found.kind} {found.name}: {found.sentence}"


def _style(severity: Severity) -> str:
    return "bold red" if severity is Severity.BAD else "yellow"
