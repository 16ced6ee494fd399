"""A table of rows that are values: only what is on the screen is ever drawn, however many rows there are."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from appliance.overview.row import Severity

R = TypeVar("R")
Key = Hashable
_COLOURS = {
    Severity.BAD: "text-error",
    Severity.WAITING: "text-warning",
    Severity.GOOD: "text-success",
    Severity.QUIET: "text-muted",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place, how much it matters, and by what it is sorted."""

    text: str
    severity: Severity | None = None
    order: object = None


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column: its title, its least and greatest width, and the cell of a row; `narrow` ones stay on small screens."""

    title: str
    cell: Callable[[R], Cell]
    least: int = 4
    most: int = 40
    rank: int = 0


class RowTable(ScrollView, Generic[R], can_focus=True):
    """Rows under a head; sorted by a column, narrowed by a text, with one row chosen."""

    DEFAULT_CSS = """
    RowTable { height: 1fr; background: $background; }
    RowTable:focus { background: $surface; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-table--head", "row-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("home,g", "go(0)", "First", show=False, id="table.first"),
        Binding("end,G", "go(-1)", "Last", show=False, id="table.last"),
        Binding("enter", "choose", "Details", id="table.choose"),
        Binding("s", "sort", "Sort", id="table.sort"),
        Binding("S", "reverse", "Reverse", show=False, id="table.reverse"),
    ]

    cursor: reactive[int] = reactive(0, always_update=True)

    class Chosen(Message):
        """A row was chosen."""

        def __init__(self, key: Key) -> None:
            super().__init__()
            self.key = key

    def __init__(self, columns: Sequence[Column[R]], *, id: str, empty: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._empty = empty
        self._rows: dict[Key, R] = {}
        self._cells: dict[Key, tuple[Cell, ...]] = {}
        self._shown: list[Key] = []
        self._filter = ""
        self._sort_by = 0
        self._is_reversed = False
        self._widths: list[tuple[int, int]] = []

    # Data

    def put(self, rows: Mapping[Key, R | None]) -> None:
        """Rows that are new or other than before; None takes one away."""
        is_order_stale = False
        for key, row in rows.items():
            before = self._cells.get(key)
            if row is None:
                self._rows.pop(key, None)
                self._cells.pop(key, None)
                is_order_stale |= before is not None
                continue
            cells = tuple(column.cell(row) for column in self._columns)
            self._rows[key], self._cells[key] = row, cells
            if before != cells:
                is_order_stale |= before is None or bool(self._filter) or before[self._sort_by] != cells[self._sort_by]
        if is_order_stale:
            self._arrange()
        self.refresh()

    def row(self, key: Key) -> R | None:
        """The row of a key."""
        return self._rows.get(key)

    @property
    def chosen(self) -> Key | None:
        """The key under the cursor."""
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows are shown, of how many."""
        return len(self._shown), len(self._rows)

    def narrow(self, text: str) -> None:
        """Show only rows in which every word of a text stands somewhere."""
        self._filter = text.casefold().strip()
        self._arrange()
        self.refresh()

    def _arrange(self) -> None:
        """Put the rows in order, with the cursor on the row it was on."""
        chosen = self.chosen
        words = self._filter.split()
        keys: Iterable[Key] = self._cells
        if words:
            keys = (key for key in keys if all(word in self._text(key) for word in words))
        self._shown = sorted(keys, key=self._order, reverse=self._is_reversed)
        self._widths = []
        self.virtual_size = Size(self._width(), len(self._shown) + 1)
        place = self._shown.index(chosen) if chosen in self._cells and chosen in self._shown else 0
        self.cursor = place if chosen is not None else min(self.cursor, max(0, len(self._shown) - 1))

    def _text(self, key: Key) -> str:
        return " ".join(cell.text for cell in self._cells[key]).casefold()

    def _order(self, key: Key) -> tuple[str, object, object]:
        cell = self._cells[key][self._sort_by]
        order = cell.text.casefold() if cell.order is None else cell.order
        first = self._cells[key][0]
        return type(order).__name__, order, first.text if first.order is None else first.order

    # Drawing

    def _width(self) -> int:
        return sum(width + 2 for _, width in self._layout())

    def _layout(self) -> list[tuple[int, int]]:
        """Which columns are drawn, and how wide: the last in rank go first where the screen is narrow."""
        if self._widths:
            return self._widths
        sample = self._shown[:500]
        widths = {}
        for index, column in enumerate(self._columns):
            longest = max((len(self._cells[key][index].text) for key in sample), default=0)
            widths[index] = max(column.least, min(column.most, max(longest, len(column.title) + 2)))
        room = max(self.size.width, 20)
        for index in sorted(widths, key=lambda each: -self._columns[each].rank):
            if sum(width + 2 for width in widths.values()) <= room or self._columns[index].rank == 0:
                break
            del widths[index]
        self._widths = sorted(widths.items())
        return self._widths

    def on_resize(self) -> None:
        """The columns that fit may be others now."""
        self._widths = []
        self.virtual_size = Size(self._width(), len(self._shown) + 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The head stays on top; below it the rows that are scrolled to."""
        width = self.size.width
        if y == 0:
            return self._strip(self._head(), self.get_component_rich_style("row-table--head"), width)
        index = y - 1 + self.scroll_offset.y
        if not self._shown:
            return self._strip(Text(self._empty if y == 1 else ""), self.rich_style, width)
        if index >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        is_chosen = index == self.cursor
        style = self.get_component_rich_style("row-table--cursor") if is_chosen and self.has_focus else self.rich_style
        return self._strip(self._line(self._shown[index], is_plain=is_chosen and self.has_focus), style, width)

    def _head(self) -> Text:
        head = Text()
        for index, width in self._layout():
            mark = ("v" if self._is_reversed else "^") if index == self._sort_by else ""
            head.append(_fitted(f"{self._columns[index].title}{mark}", width) + "  ")
        return head

    def _line(self, key: Key, *, is_plain: bool) -> Text:
        line = Text()
        for index, width in self._layout():
            cell = self._cells[key][index]
            style = "" if is_plain or cell.severity is None else self._severity_style(cell.severity)
            line.append(_fitted(cell.text, width), style)
            line.append("  ")
        return line

    def _severity_style(self, severity: Severity) -> Style:
        colour = self.app.theme_variables.get(_COLOURS[severity], "")
        return Style.parse(colour) if colour.startswith("#") else Style(dim=severity is Severity.QUIET)

    def _strip(self, text: Text, style: Style, width: int) -> Strip:
        parts = text.render(self.app.console)
        segments = [Segment(part.text, style + part.style if part.style else style) for part in parts]
        return Strip(segments).adjust_cell_length(width, style)

    # Moving about

    def validate_cursor(self, cursor: int) -> int:
        """A place that there is."""
        return max(0, min(cursor, len(self._shown) - 1))

    def watch_cursor(self) -> None:
        """The chosen row is on the screen."""
        self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)
        self.refresh()

    def action_move(self, difference: int) -> None:
        """Up or down."""
        self.cursor += difference

    def action_page(self, direction: int) -> None:
        """A screen up or down."""
        self.cursor += direction * max(1, self.size.height - 2)

    def action_go(self, place: int) -> None:
        """To the first row, or with -1 to the last."""
        self.cursor = place if place >= 0 else len(self._shown) - 1

    def action_choose(self) -> None:
        """Say which row was chosen."""
        if self.chosen is not None:
            self.post_message(self.Chosen(self.chosen))

    def action_sort(self) -> None:
        """By the next column."""
        self._sort_by = (self._sort_by + 1) % len(self._columns)
        self._arrange()
        self.refresh()

    def action_reverse(self) -> None:
        """The other way round."""
        self._is_reversed = not self._is_reversed
        self._arrange()
        self.refresh()

    def on_click(self, event: Click) -> None:
        """A click chooses a row, and a second one opens it; one on the head sorts."""
        if event.y == 0:
            self._sort_at(event.x)
            return
        self.cursor = event.y - 1 + self.scroll_offset.y
        if event.chain == 2:
            self.action_choose()

    def _sort_at(self, x: int) -> None:
        begin = 0
        for index, width in self._layout():
            if begin <= x < begin + width + 2:
                self._is_reversed = not self._is_reversed if index == self._sort_by else False
                self._sort_by = index
                self._arrange()
                self.refresh()
                return
            begin += width + 2


def _fitted(text: str, width: int) -> str:
    """A text as wide as its column; what does not fit ends in two dots."""
    return text.ljust(width) if len(text) <= width else f"{text[: width - 2]}.."
