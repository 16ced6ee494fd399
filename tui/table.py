"""A table of rows that are values: only what is on the screen is ever drawn, however many rows there are."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from appliance.overview.row import Severity
from tui.moment import AGE_CELLS, age

R = TypeVar("R")
GAP = 2
# The title and the head of the columns.
ROWS_BEGIN = 2


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place, how much it matters, and by what it is sorted: its text where nothing else is said.

    The time since `since` (RFC 3339) is drawn behind the text.
    """

    text: str
    severity: Severity | None = None
    order: object = None
    since: str = ""

    def drawn(self, now: datetime) -> str:
        """What stands there now."""
        if not self.since:
            return self.text
        return f"{self.text} {age(self.since, now)}".lstrip()

    @property
    def width(self) -> int:
        """How wide it is, or may become."""
        return len(self.text) + (AGE_CELLS + bool(self.text) if self.since else 0)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column: its title, what a row has there, and its least and greatest width.

    Where the screen is narrow the column of the greatest `rank` goes first, those of rank 0 never do. One that
    `is_optional` is shown on request.
    """

    title: str
    cell: Callable[[R], Cell]
    least: int = 4
    most: int = 40
    rank: int = 0
    is_optional: bool = False


class RowTable(Widget, Generic[R], can_focus=True):
    """Rows under a title and a head; sorted by a column, narrowed by a text, with one row chosen.

    It scrolls by itself: a place in ten thousand rows is a number here, and a layout of the screen in Textual's view.
    """

    DEFAULT_CSS = """
    RowTable { height: 1fr; background: $background; color: $foreground; }
    RowTable > .row-table--title { color: $secondary; text-style: bold; }
    RowTable:focus > .row-table--title { color: $primary; }
    RowTable > .row-table--row { color: $foreground; }
    .stale RowTable > .row-table--row { color: $secondary; }
    RowTable > .row-table--bar { color: $border; }
    RowTable > .row-table--head { background: $panel; color: $foreground; text-style: bold; }
    RowTable > .row-table--cursor { background: $primary; color: $background; text-style: bold; }
    RowTable > .row-table--bad { color: $error; text-style: bold; }
    RowTable > .row-table--waiting { color: $warning; }
    RowTable > .row-table--good { color: $success; }
    RowTable > .row-table--quiet { color: $secondary; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "row-table--title",
        "row-table--bar",
        "row-table--row",
        "row-table--head",
        "row-table--cursor",
        "row-table--bad",
        "row-table--waiting",
        "row-table--good",
        "row-table--quiet",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.pageup"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.pagedown"),
        Binding("home,g", "go(0)", "First", show=False, id="table.first"),
        Binding("end,G", "go(-1)", "Last", show=False, id="table.last"),
        Binding("enter", "choose", "Details", id="table.choose", tooltip="Everything that is known of the row."),
        Binding("s", "sort", "Sort", id="table.sort", tooltip="By the next column; a click on a head does it too."),
        Binding("S", "reverse", "Reverse", show=False, id="table.reverse", tooltip="Sort the other way round."),
    ]

    cursor: reactive[int] = reactive(0, always_update=True)

    class Chosen(Message):
        """A row was chosen."""

        def __init__(self, table: str, row: object) -> None:
            super().__init__()
            self.table = table
            self.row = row

    def __init__(
        self,
        columns: Sequence[Column[R]],
        clock: Callable[[], datetime],
        *,
        id: str,  # noqa: A002 - Textual's name
        title: str,
        empty: str,
        panel: str = "",
        sort_by: int = 0,
        is_reversed: bool = False,
    ) -> None:
        super().__init__(id=id)
        self.panel = panel or id
        self._title = title
        self._note = ""
        self._top = 0
        self._clock = clock
        self._empty = empty
        self._filter = ""
        self._sort_by = sort_by
        self._is_reversed = is_reversed
        self._rows: dict[str, R] = {}
        self._cells: dict[str, tuple[Cell, ...]] = {}
        self._texts: dict[str, str] = {}
        self._orders: dict[str, tuple[str, object, str]] = {}
        self._ordered: list[str] = []
        self._shown: list[str] = []
        self._columns: tuple[Column[R], ...] = tuple(columns)
        self._chosen_columns = frozenset(column.title for column in columns if not column.is_optional)
        self._longest = [0] * len(self._columns)
        self._layout: list[tuple[int, int]] = []
        self._ticked = clock()
        self._is_followed = False

    # Rows

    def put(self, rows: Mapping[str, R | None]) -> None:
        """Rows that are new or other than before; None takes one away."""
        is_order_stale = is_match_stale = False
        for key, row in rows.items():
            before = self._cells.get(key)
            if row is None:
                is_order_stale |= before is not None
                for table in (self._rows, self._cells, self._texts, self._orders):
                    table.pop(key, None)
                continue
            cells = tuple(column.cell(row) for column in self._columns)
            self._rows[key] = row
            if cells == before:
                continue
            self._cells[key] = cells
            self._texts[key] = " ".join(cell.text for cell in cells).casefold()
            order = _order(key, cells[self._sort_by])
            is_match_stale |= bool(self._filter)
            is_order_stale |= self._orders.get(key) != order
            self._orders[key] = order
            self._widen(cells)
        if is_order_stale:
            self._arrange()
        elif is_match_stale:
            self._match(self._ordered)
        self.refresh()

    def set_columns(self, columns: Sequence[Column[R]]) -> None:
        """Other columns for the same rows."""
        if [column.title for column in columns] == [column.title for column in self._columns]:
            return
        sorted_by = self._columns[self._sort_by].title if self._columns else ""
        self._columns = tuple(columns)
        self._chosen_columns = frozenset(column.title for column in columns if not column.is_optional)
        titles = [column.title for column in columns]
        self._sort_by = titles.index(sorted_by) if sorted_by in titles else 0
        self._longest = [0] * len(self._columns)
        rows, self._cells = self._rows, {}
        self.put(dict(rows))
        self._lay_out()

    @property
    def rows(self) -> Mapping[str, R]:
        """Every row by its key, whether it is shown or not."""
        return self._rows

    @property
    def chosen(self) -> str | None:
        """The key under the cursor."""
        return self._shown[self.cursor] if 0 <= self.cursor < len(self._shown) else None

    @property
    def chosen_row(self) -> R | None:
        """The row under the cursor."""
        return None if self.chosen is None else self._rows[self.chosen]

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows are shown, of how many."""
        return len(self._shown), len(self._rows)

    @property
    def worst(self) -> Severity:
        """The worst of all cells."""
        found = (cell.severity for cells in self._cells.values() for cell in cells if cell.severity is not None)
        return max(found, default=Severity.QUIET)

    # Which are shown, in which order

    def narrow(self, text: str) -> None:
        """Show only rows in which every word of a text stands somewhere."""
        wanted = text.casefold().strip()
        if wanted != self._filter:
            # A longer text stands in no row in which its beginning does not.
            among = self._shown if wanted.startswith(self._filter) else self._ordered
            self._filter = wanted
            self._match(among)
            self.refresh()

    def keys_with(self, words: Sequence[str]) -> Iterator[str]:
        """The rows in which every word stands somewhere; words in lower case."""
        return iter(self._with(words, self._ordered))

    def _with(self, words: Sequence[str], keys: list[str]) -> list[str]:
        texts = self._texts
        for word in words:
            keys = [key for key in keys if word in texts[key]]
        return keys

    def _arrange(self) -> None:
        """Put the rows in order."""
        self._ordered = sorted(self._orders, key=self._orders.__getitem__, reverse=self._is_reversed)
        self._match(self._ordered)

    def _match(self, among: list[str]) -> None:
        """Show those of some rows that the filter leaves, with the cursor on the row it was on."""
        chosen = self.chosen
        self._shown = self._with(self._filter.split(), among)
        self._scroll(self._top)
        if not self._is_followed:
            # Nobody has chosen a row yet: the first one, whatever comes before it.
            self.cursor = 0
            return
        if self.cursor < len(self._shown) and self._shown[self.cursor] == chosen:
            return
        try:
            place = self._shown.index(chosen) if chosen in self._cells else self.cursor
        except ValueError:
            place = 0
        self.cursor = place

    def _sort(self, column: int, *, is_reversed: bool) -> None:
        if column == self._sort_by and is_reversed != self._is_reversed:
            self._is_reversed = is_reversed
            self._ordered = self._ordered[::-1]
            self._match(self._ordered)
        else:
            self._sort_by, self._is_reversed = column, is_reversed
            self._orders = {key: _order(key, cells[column]) for key, cells in self._cells.items()}
            self._arrange()
        self.refresh()

    def note(self, text: str) -> None:
        """Something to stand beside the title."""
        if text != self._note:
            self._note = text
            self.refresh(Region(0, 0, self.size.width, 1))

    # Columns and their widths

    @property
    def titles(self) -> tuple[tuple[str, bool], ...]:
        """Every column there is, and whether it is wanted."""
        return tuple((column.title, column.title in self._chosen_columns) for column in self._columns)

    def want(self, title: str, *, is_wanted: bool) -> None:
        """Show a column where there is room for it, or never."""
        self._chosen_columns = self._chosen_columns | {title} if is_wanted else self._chosen_columns - {title}
        self._lay_out()

    def _widen(self, cells: tuple[Cell, ...]) -> None:
        """Columns grow with what stands in them and do not shrink, so that a change moves nothing back and forth."""
        for index, cell in enumerate(cells):
            if cell.width > self._longest[index]:
                self._longest[index] = cell.width
                self._layout = []

    def _lay_out(self) -> None:
        self._layout = []
        self.refresh()

    def _widths(self) -> list[tuple[int, int]]:
        """Which columns are drawn, and how wide."""
        if self._layout or not self.size.width:
            return self._layout
        room = self.size.width - 1
        wanted = {i: column for i, column in enumerate(self._columns) if column.title in self._chosen_columns}
        full = {
            i: max(column.least, len(column.title) + 2, min(column.most, self._longest[i]))
            for i, column in wanted.items()
        }
        # What is never left out is not cut short for what may be.
        least = {
            i: full[i] if column.rank == 0 else max(column.least, len(column.title) + 2) for i, column in wanted.items()
        }
        for index in sorted(wanted, key=lambda i: -wanted[i].rank):
            if sum(least.values()) + GAP * len(least) <= room or wanted[index].rank == 0:
                break
            del least[index]
        widths = {i: full[i] for i in least}
        while sum(widths.values()) + GAP * len(widths) > room:
            widest = max(widths, key=lambda i: (widths[i] - wanted[i].least, widths[i]))
            if widths[widest] <= 4:
                break
            widths[widest] -= 1
        for i in sorted(widths, key=lambda i: wanted[i].rank):
            spare = room - sum(widths.values()) - GAP * len(widths)
            widths[i] += max(0, min(spare, self._longest[i] - widths[i]))
        self._layout = sorted(widths.items())
        return self._layout

    def on_resize(self) -> None:
        """The columns that fit may be others now."""
        self._lay_out()
        self._reveal()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """The title and the head stay on top; below them the rows that are scrolled to."""
        width, style = self.size.width, self.get_component_rich_style("row-table--row")
        if y == 0:
            style = self.get_component_rich_style("row-table--title")
            return Strip([Segment(self._title_line(width), style)])
        if y == 1:
            head = self.get_component_rich_style("row-table--head")
            return Strip([Segment(self._head(), head)]).adjust_cell_length(width, head)
        index = y - ROWS_BEGIN + self._top
        if not self._shown:
            text = "" if y > ROWS_BEGIN else f"Nothing here matches: {self._filter}" if self._cells else self._empty
            return Strip([Segment(text, style)]).adjust_cell_length(width, style)
        if index >= len(self._shown):
            return Strip.blank(width, style)
        is_chosen = index == self.cursor and self.has_focus
        if is_chosen:
            style = self.get_component_rich_style("row-table--cursor")
        strip = Strip(list(self._line(self._shown[index], style, is_plain=is_chosen)))
        bar = Segment(self._bar(y - ROWS_BEGIN), self.get_component_rich_style("row-table--bar"))
        return Strip.join([strip.adjust_cell_length(width - 1, style), Strip([bar], 1)])

    def _title_line(self, width: int) -> str:
        shown, there = self.counts
        counted = f"{there:,}" if shown == there else f"{shown:,} of {there:,}"
        note = f" {self._note} ─" if self._note else ""
        return f"{f'─ {self._title} {counted} '.ljust(width - 1 - len(note), '─')}{note}"[: width - 1].ljust(width)

    def _bar(self, y: int) -> str:
        """Where the rows on the screen are among all there are."""
        room, there = self._room(), len(self._shown)
        if there <= room:
            return " "
        length = max(1, room * room // there)
        begin = (room - length) * self._top // (there - room)
        return "█" if begin <= y < begin + length else "│"

    def _head(self) -> str:
        mark = "▼" if self._is_reversed else "▲"
        titles = (
            _fitted(f"{self._columns[index].title}{f' {mark}' if index == self._sort_by else ''}", width)
            for index, width in self._widths()
        )
        return (" " * GAP).join(titles)

    def _line(self, key: str, style: Style, *, is_plain: bool) -> Iterable[Segment]:
        cells, now = self._cells[key], self._clock()
        for index, width in self._widths():
            cell = cells[index]
            text = cell.drawn(now)
            own = style
            if cell.severity is not None and not is_plain:
                own = style + self.get_component_rich_style(f"row-table--{cell.severity.name.lower()}", partial=True)
            yield Segment(_fitted(text, width), own)
            yield Segment(" " * GAP, style)

    def tick(self) -> None:
        """Draw anew the ages on the screen that are others now."""
        now = self._clock()
        begin = 0
        for index, width in self._widths():
            for y, key in enumerate(self._shown[self._top : self._top + self._room()], start=ROWS_BEGIN):
                cell = self._cells[key][index]
                if cell.since and cell.drawn(now) != cell.drawn(self._ticked):
                    self.refresh(Region(begin, y, width, 1))
            begin += width + GAP
        self._ticked = now

    # Moving about

    def validate_cursor(self, cursor: int) -> int:
        """A place that there is."""
        return max(0, min(cursor, len(self._shown) - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """The chosen row is on the screen; only it and the one that was chosen before are drawn anew."""
        self._is_followed = now > 0
        if not self._reveal():
            for place in (before, now):
                self.refresh(Region(0, place - self._top + ROWS_BEGIN, self.size.width, 1))

    def _room(self) -> int:
        """For how many rows there is room."""
        return max(1, self.size.height - ROWS_BEGIN)

    def _reveal(self) -> bool:
        """Scroll until the chosen row is on the screen; whether that was needed."""
        lowest = max(0, self.cursor - self._room() + 1)
        return self._scroll(max(lowest, min(self._top, self.cursor)))

    def _scroll(self, top: int) -> bool:
        top = max(0, min(top, len(self._shown) - self._room()))
        if top == self._top:
            return False
        self._top = top
        self.refresh()
        return True

    def action_move(self, difference: int) -> None:
        """Up or down."""
        self.cursor += difference

    def action_page(self, direction: int) -> None:
        """A screen up or down."""
        self.cursor += direction * self._room()

    def action_go(self, place: int) -> None:
        """To the first row, or with -1 to the last."""
        self.cursor = place if place >= 0 else len(self._shown) - 1

    def action_choose(self) -> None:
        """Say which row was chosen."""
        if self.chosen is not None:
            self.post_message(self.Chosen(self.id or "", self._rows[self.chosen]))

    def action_sort(self) -> None:
        """By the next column that is drawn."""
        drawn = [index for index, _ in self._widths()] or [0]
        later = [index for index in drawn if index > self._sort_by]
        self._sort(later[0] if later else drawn[0], is_reversed=False)

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort(self._sort_by, is_reversed=not self._is_reversed)

    def on_click(self, event: Click) -> None:
        """A click chooses a row, and a second one opens it; one on the head sorts, one on the bar scrolls."""
        if event.y < ROWS_BEGIN:
            if event.y == 1:
                self._sort_at(event.x)
            return
        if event.x >= self.size.width - 1:
            self._scroll((event.y - ROWS_BEGIN) * len(self._shown) // self._room())
            return
        place = event.y - ROWS_BEGIN + self._top
        if place < len(self._shown):
            self.cursor = place
            if event.chain == 2:
                self.action_choose()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Three rows on."""
        event.stop()
        self._scroll(self._top + 3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Three rows back."""
        event.stop()
        self._scroll(self._top - 3)

    def _sort_at(self, x: int) -> None:
        begin = 0
        for index, width in self._widths():
            if begin <= x < begin + width + GAP:
                self._sort(index, is_reversed=index == self._sort_by and not self._is_reversed)
                return
            begin += width + GAP


def _order(key: str, cell: Cell) -> tuple[str, object, str]:
    """What a row is sorted by: never two things of different types against each other."""
    order = cell.text.casefold() if cell.order is None else cell.order
    return type(order).__name__, order, key


def _fitted(text: str, width: int) -> str:
    """A text as wide as its column, on one line; what does not fit ends in two dots."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else "?" for each in text)
    if text.isascii():
        return text.ljust(width) if len(text) <= width else f"{text[: width - 2]}.."
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 2)}.."
