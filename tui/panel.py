"""The panels of the dashboard: all at once side by side, or one that fills the screen, and the tabs that choose."""

from collections.abc import Iterable, Mapping
from typing import Any

from textual.containers import Container, Vertical
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from appliance.overview.row import Severity
from tui.table import RowTable

ALL = "overview"
# From here on the overview has two columns, and VIPs are among what it shows.
WIDE_CELLS, WIDE_LINES = 120, 30
_MARKS = {Severity.BAD: ("!!", "bold $error"), Severity.WAITING: ("!", "$warning")}


class Panels(Container):
    """Tables in two columns, or those of one panel; on a narrow screen all at once means those of the right column."""

    DEFAULT_CSS = """
    Panels { height: 1fr; layout: horizontal; }
    Panels #left { width: 6fr; }
    Panels #right { width: 5fr; }
    Panels #vips { height: 2fr; }
    """

    def __init__(self, left: Iterable[RowTable[Any]], right: Iterable[RowTable[Any]], *, alone: Iterable[str]) -> None:
        """Tables that stand `alone` are in no overview, but in their panel."""
        self._left, self._right = Vertical(*left, id="left"), Vertical(*right, id="right")
        super().__init__(self._left, self._right, id="panels")
        self.shown = ALL
        self.is_narrow = False
        self._alone = frozenset(alone)

    @property
    def tables(self) -> Iterable["RowTable[object]"]:
        """Every table there is."""
        return self.query(RowTable)

    def show(self, name: str) -> None:
        """A panel by its name, or all of them; its first table has the keys."""
        self.shown = name
        self._arrange()
        self.focus_rows()

    def fit(self, *, is_narrow: bool) -> None:
        """Two columns, or one."""
        if is_narrow != self.is_narrow:
            self.is_narrow = is_narrow
            self._arrange()

    def _arrange(self) -> None:
        """What is displayed; set here and not by classes, for which the style of everything would be found out anew."""
        for column in (self._left, self._right):
            shown = [self._is_shown(table) for table in column.query(RowTable)]
            for table, is_shown in zip(column.query(RowTable), shown, strict=True):
                table.display = is_shown
            column.display = any(shown) and not (self.shown == ALL and self.is_narrow and column is self._left)
        self._right.styles.margin = (0, 0, 0, 1 if self._left.display and self._right.display else 0)

    def _is_shown(self, table: "RowTable[object]") -> bool:
        return table.panel == self.shown or (self.shown == ALL and table.id not in self._alone)

    def focus_rows(self) -> None:
        """Give the keys to the first table that is shown."""
        for column in (self._left, self._right):
            for table in column.query(RowTable):
                if column.display and table.display:
                    table.focus()
                    return

    @property
    def focused_panel(self) -> str:
        """The one that has the keys, "" for none."""
        return next((table.panel for table in self.tables if table.has_focus), "")


class Tabs(Static):
    """What can be shown and the digit that shows it, each with a mark where something there matters."""

    DEFAULT_CSS = "Tabs { height: 1; background: $panel; color: $foreground; text-wrap: nowrap; }"

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(id="tabs")
        self._names = names
        self._ends: list[tuple[int, str]] = []

    def draw(self, shown: str, worst: Mapping[str, Severity]) -> None:
        """A tab for each name, in order, from 0 on."""
        parts: list[Content] = []
        self._ends, end = [], 0
        for digit, (name, title) in enumerate(self._names.items()):
            mark, style = _MARKS.get(worst.get(name, Severity.QUIET), ("", "$foreground"))
            shown_style = "bold $background on $primary" if name == shown else "$foreground"
            tab = Content.styled(f" {digit} {title}", shown_style)
            parts += [tab, Content.styled(mark.ljust(2), style), Content(" ")]
            end += len(tab) + 3
            self._ends.append((end, name))
        self.update(Content("").join(parts), layout=False)

    def on_click(self, event: Click) -> None:
        """Show what stands there."""
        for end, name in self._ends:
            if event.x < end:
                self.post_message(self.Picked(name))
                return


class KeyLine(Static):
    """The keys that matter most just now; Textual's own footer makes a widget for each, and takes its time."""

    DEFAULT_CSS = "KeyLine { height: 1; background: $panel; color: $foreground; text-wrap: nowrap; }"

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._ends: list[tuple[int, str]] = []

    def on_mount(self) -> None:
        """Follow what the keys do."""
        self.screen.bindings_updated_signal.subscribe(self, self._draw)

    def _draw(self, screen: Screen[object]) -> None:
        parts: list[Content] = []
        drawn: set[str] = set()
        self._ends, end = [], 0
        for _node, binding, is_enabled, _tooltip in screen.active_bindings.values():
            if not (binding.show and is_enabled) or binding.action in drawn:
                continue
            drawn.add(binding.action)
            key = self.app.get_key_display(binding)
            parts += [Content.styled(f" {key}", "bold $primary"), Content(f" {binding.description}  ")]
            end += len(key) + len(binding.description) + 4
            self._ends.append((end, binding.action))
        self.update(Content("").join(parts), layout=False)

    async def on_click(self, event: Click) -> None:
        """Do what the key does."""
        for end, action in self._ends:
            if event.x < end:
                await self.app.run_action(action, self.screen.focused or self.screen)
                return
