"""What a user may choose of the dashboard's looks and keys."""

from collections.abc import Mapping
from dataclasses import field

from appliance.api.value import value
from tui.theme import DEFAULT


@value
class Preferences:
    """A theme's name, keys by the id of their binding, and the titles of the columns wanted by table.

    `ascii` draws with nothing else; True and False overrule what the terminal asks for.
    """

    theme: str = DEFAULT
    keys: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ascii: bool | None = None
