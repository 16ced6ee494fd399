"""The screens above the overview: details of one thing, and the keys."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from appliance.overview import sentence
from appliance.overview.action import Action, Destination, DrainHost, Preview, Replan, UndrainHost
from tui.detail import Line, hand_over
from tui.table import RowTable

MOVES_SHOWN = 20
_STYLES = {"bad": "bold $error", "waiting": "$warning", "good": "$success", "quiet": "$secondary"}


class Detail(ModalScreen[None]):
    """Lines about one thing, drawn anew as the site changes, until closed."""

    DEFAULT_CSS = """
    Detail { align: center middle; background: $background 60%; }
    Detail > VerticalScroll {
        width: 94%; max-width: 140; height: auto; max-height: 92%;
        border: round $primary; border-title-color: $primary; border-title-style: bold;
        border-subtitle-color: $secondary; padding: 0 1; background: $surface; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Close", id="detail.close", tooltip="Back to the tables."),
        Binding("y", "copy", "Copy", id="detail.copy", tooltip="Put these lines into the clipboard (OSC 52)."),
        Binding("h", "recall", "History", id="detail.history", tooltip="Read what hosts keep of it over restarts."),
    ]

    def __init__(
        self, title: str, lines: Callable[[], Iterable[Line]], recall: Callable[[], object] | None = None
    ) -> None:
        """`recall` begins to read what hosts keep of it."""
        super().__init__()
        self._title = title
        self._lines = lines
        self._recall = recall

    def compose(self) -> ComposeResult:
        """One block of text that scrolls."""
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = f"{'h reads its history, ' if self._recall else ''}y copies, Esc closes"
            yield Static(id="detail-text")

    def on_mount(self) -> None:
        """Show the lines as they are now."""
        self.redraw()

    def redraw(self) -> None:
        """Show the lines as they are now."""
        self.query_one("#detail-text", Static).update(Content("\n").join(map(_content, self._lines())))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's form
        """What keeps no history has no key for it."""
        return action != "recall" or self._recall is not None

    def action_recall(self) -> None:
        """Read what hosts keep of it."""
        if self._recall is not None:
            self._recall()

    def action_copy(self) -> None:
        """Put what is shown into the clipboard."""
        self.app.copy_to_clipboard("\n".join(line.text for line in self._lines()))
        self.app.notify("copied")


class Confirm(ModalScreen[Action]):
    """What an action would change, before it is asked for; ends with the action where it is to be done."""

    DEFAULT_CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > VerticalScroll {
        width: 80%; max-width: 100; height: auto; max-height: 80%; padding: 1 2; background: $surface;
        border: round $warning; border-title-color: $warning; border-title-style: bold;
        border-subtitle-color: $foreground; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "Do it", id="confirm.yes", tooltip="Carry out what was shown."),
        Binding("escape,n,q", "leave", "Leave it", id="confirm.no", tooltip="Change nothing."),
    ]

    def __init__(self, action: Action) -> None:
        super().__init__()
        self.action = action
        """What is asked about."""
        self._found: Preview | None = None
        self._box = VerticalScroll()
        self._box.border_title = f"{sentence.title(action)}?"
        self._box.border_subtitle = "Esc leaves it"
        self._text = Static(id="confirm-text")

    def compose(self) -> ComposeResult:
        """What would change, or why nothing can, as soon as that is known."""
        with self._box:
            yield self._text

    def say(self, progress: str) -> None:
        """How far it is known what would change."""
        self._text.update(Content.styled(progress, "$secondary"))

    def show(self, found: Preview) -> None:
        """What would change, or why nothing can."""
        self._found, self.action = found, found.action
        if isinstance(found.action, Replan):
            self.action = Replan(found.moves)
        lines = [*sentence.told(found)] or ["nothing would change"]
        if isinstance(found.action, Replan | DrainHost | UndrainHost) and found.moves:
            lines += ["", *(hand_over(move) for move in found.moves[:MOVES_SHOWN])]
            if len(found.moves) > MOVES_SHOWN:
                lines.append(f"and {len(found.moves) - MOVES_SHOWN:,} more")
        self._text.update(Content("\n".join(lines)))
        self._box.border_subtitle = "Esc leaves it" if found.obstacle else "y does it, Esc leaves it"

    def action_confirm(self) -> None:
        """Do it, where it is known what it changes and it can be done."""
        if self._found is not None and self._found.obstacle is None:
            self.dismiss(self.action)

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)


class Choose(ModalScreen[str]):
    """The hosts a VIP might be handed to, in its order; those that cannot take it are not to be chosen and say why."""

    DEFAULT_CSS = """
    Choose { align: center middle; background: $background 60%; }
    Choose > OptionList, Choose > OptionList:focus {
        width: 80%; max-width: 100; height: auto; max-height: 80%; border: round $warning; background: $surface;
        padding: 0 1; border-title-color: $warning; border-title-style: bold; border-subtitle-color: $foreground;
    }
    Choose > OptionList > .option-list--option-disabled { color: $secondary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave it", id="choose.no", tooltip="Change nothing."),
    ]

    def __init__(self, title: str, hosts: Sequence[Destination]) -> None:
        super().__init__()
        self._title = title
        self._hosts = hosts

    def compose(self) -> ComposeResult:
        """A line a host, the first that can be chosen ready for Enter."""
        width = max((len(each.host) for each in self._hosts), default=0)
        choices = OptionList(
            *(
                Option(
                    Content(f"{each.host:<{width}}  {f'cannot: {each.obstacle.value}' if each.obstacle else 'can'}"),
                    each.host,
                    disabled=each.obstacle is not None,
                )
                for each in self._hosts
            )
        )
        choices.border_title = self._title
        choices.border_subtitle = "Enter shows what it changes, Esc leaves it"
        choices.highlighted = next((place for place, each in enumerate(self._hosts) if each.obstacle is None), None)
        yield choices

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """That one."""
        self.dismiss(event.option.id or "")

    def action_leave(self) -> None:
        """None of them."""
        self.dismiss(None)


class Columns(ModalScreen[None]):
    """The columns of a table, each shown or not."""

    DEFAULT_CSS = """
    Columns { align: center middle; background: $background 60%; }
    Columns > OptionList, Columns > OptionList:focus {
        width: 44; height: auto; max-height: 80%; border: round $primary; background: $surface; padding: 0 1;
        border-title-color: $primary; border-title-style: bold; border-subtitle-color: $secondary;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,c", "dismiss", "Close", id="columns.close", tooltip="Back to the tables."),
    ]

    def __init__(self, table: RowTable[object]) -> None:
        super().__init__()
        self._table = table

    def compose(self) -> ComposeResult:
        """A line a column."""
        choices = OptionList(*(Option(_choice(title, wanted), title) for title, wanted in self._table.titles))
        choices.border_title = f"Columns of {self._table.panel}"
        choices.border_subtitle = "Enter shows or hides, Esc closes"
        yield choices

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show a column, or hide it."""
        titles, title = dict(self._table.titles), event.option.id or ""
        self._table.want(title, is_wanted=not titles[title])
        event.option_list.replace_option_prompt(title, _choice(title, not titles[title]))


def _choice(title: str, is_wanted: bool) -> Content:
    return Content(f"[{'x' if is_wanted else ' '}] {title}")


def _content(line: Line) -> Content:
    if line.is_title:
        return Content.styled(line.text, "bold $primary")
    if line.severity is None:
        return Content(line.text)
    return Content.styled(line.text, _STYLES[line.severity.name.lower()])


def key_lines(bindings: Iterable[ActiveBinding], display: Callable[[Binding], str]) -> Iterator[Line]:
    """What each key does now, with the name under which it can be given another."""
    keys: dict[tuple[str, str], list[str]] = {}
    names: dict[tuple[str, str], str] = {}
    for _node, binding, is_enabled, tooltip in bindings:
        if is_enabled and binding.id:
            told = (binding.description, tooltip or binding.tooltip)
            keys.setdefault(told, []).append(display(binding))
            names[told] = binding.id
    for told, shown in keys.items():
        description, tooltip = told
        what = f"{description}: {tooltip}" if tooltip else description
        yield Line(f"{' '.join(dict.fromkeys(shown)):<16} {what}  [{names[told]}]")
