"""The colours: dark and light, each also for eyes that do not tell red from green.

Every text stands out from what it stands on by 4.5 to 1 or more (WCAG 2.1, 1.4.3, level AA); a test measures it. A
colour never says alone what matters: a word or a mark beside it says the same.
"""

from textual.theme import Theme

DARK = {"foreground": "#d7dde4", "background": "#101418", "surface": "#171d23", "panel": "#252e38"}
LIGHT = {"foreground": "#1f2328", "background": "#ffffff", "surface": "#f4f6f8", "panel": "#e1e7ed"}
# Widgets of Textual's own: the footer, what is selected in a list, what stands in an empty field.
_VARIABLES = {
    "dark": {
        "footer-key-foreground": "#8ab4f8",
        "footer-description-foreground": "#d7dde4",
        "text-muted": "#a3afbb",
        "border": "#5c6b7a",
        "scrollbar": "#4a5866",
        "scrollbar-background": "#171d23",
        "block-cursor-foreground": "#101418",
        "block-cursor-background": "#8ab4f8",
        "block-cursor-blurred-foreground": "#d7dde4",
        "block-hover-background": "#252e38",
    },
    "light": {
        "footer-key-foreground": "#0550ae",
        "footer-description-foreground": "#1f2328",
        "text-muted": "#57606a",
        "border": "#8c959f",
        "scrollbar": "#aab4be",
        "scrollbar-background": "#f4f6f8",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-background": "#0550ae",
        "block-cursor-blurred-foreground": "#1f2328",
        "block-hover-background": "#e1e7ed",
    },
}
THEMES = (
    Theme(
        name="dark",
        primary="#8ab4f8",
        secondary="#a3afbb",
        accent="#d2a8ff",
        error="#ff8078",
        warning="#e3b341",
        success="#6fdd8b",
        variables=_VARIABLES["dark"],
        **DARK,  # type: ignore[arg-type]  # texts all
    ),
    Theme(
        name="light",
        primary="#0550ae",
        secondary="#57606a",
        accent="#8250df",
        error="#b3151f",
        warning="#7d4e00",
        success="#116329",
        dark=False,
        variables=_VARIABLES["light"],
        **LIGHT,  # type: ignore[arg-type]  # texts all
    ),
    # Orange, yellow and blue of Okabe and Ito: told apart with any kind of colour vision.
    Theme(
        name="dark-colour-blind",
        primary="#8ab4f8",
        secondary="#a3afbb",
        accent="#cc99cc",
        error="#ff9a52",
        warning="#f0e442",
        success="#56b4e9",
        variables=_VARIABLES["dark"],
        **DARK,  # type: ignore[arg-type]  # texts all
    ),
    Theme(
        name="light-colour-blind",
        primary="#0550ae",
        secondary="#57606a",
        accent="#7a3b6d",
        error="#a83f00",
        warning="#6b5d00",
        success="#005f99",
        dark=False,
        variables=_VARIABLES["light"],
        **LIGHT,  # type: ignore[arg-type]  # texts all
    ),
)
DEFAULT = "dark"
