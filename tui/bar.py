"""Figures as pictures of one line."""

from collections.abc import Sequence

_STEPS = " ▁▂▃▄▅▆▇█"


def bar(percent: float, cells: int) -> str:
    """A bar that is full at 100; anything above nothing shows."""
    filled = min(cells, max(round(percent / 100 * cells), 1 if percent > 0 else 0))
    return "█" * filled + "░" * (cells - filled)


def sparkline(values: Sequence[float], top: float | None = None) -> str:
    """A cell a value, the greatest (or `top`) being full; zero is empty."""
    greatest = max(values, default=0.0) if top is None else top
    if greatest <= 0:
        return " " * len(values)
    last = len(_STEPS) - 1
    return "".join(_STEPS[0 if value <= 0 else max(1, min(last, round(value / greatest * last)))] for value in values)
