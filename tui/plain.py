"""What is drawn, in ASCII alone: for terminals that show nothing else."""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SIGNS = {
    "▲": "^",
    "▼": "v",
    "▁": ".",
    "▂": ":",
    "▃": "-",
    "▄": "=",
    "▅": "+",
    "▆": "*",
    "▇": "%",
    "█": "#",
    "▒": "+",
    "░": ".",
    "…": ".",
    "·": "-",
    "•": "*",
    "●": "*",
    "○": "o",
    "✓": "+",
    "✗": "x",
    "×": "x",
    "→": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "❯": ">",
    "⇥": ">",
    "│": "|",
    "┃": "|",
    "║": "|",
    "▌": "|",
    "▐": "|",
    "▎": "|",
    "▊": "|",
    "▏": "|",
    "▕": "|",
    "▍": "|",
    "▋": "|",
    "▉": "|",
    "─": "-",
    "━": "-",
    "═": "=",
    "▔": "-",
    "▀": "-",
}


class PlainText(LineFilter):
    """Every sign that is not ASCII becomes one that is, of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  the filter's form
        """The same segments, in ASCII."""
        return [
            part if part.text.isascii() else Segment("".join(map(_plain, part.text)), part.style, part.control)
            for part in segments
        ]


def _plain(sign: str) -> str:
    if sign.isascii():
        return sign
    if sign in _SIGNS:
        return _SIGNS[sign]
    return "+" if "\u2500" <= sign <= "\u257f" else "?"
