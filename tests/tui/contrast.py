"""How well a text stands out from what it stands on (WCAG 2.1, relative luminance and contrast ratio)."""

from rich.color import Color

LEAST_RATIO = 4.5


def ratio(foreground: Color, background: Color) -> float:
    """Between 1 (not at all) and 21 (black on white)."""
    lighter, darker = sorted((_luminance(foreground), _luminance(background)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(part / 255) for part in color.get_truecolor())
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def hexadecimal(color: Color | None) -> str:
    """A colour as `#rrggbb`."""
    return "none" if color is None else color.get_truecolor().hex
