"""What a user may choose of the dashboard's looks and keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tui.theme import DEFAULT


@dataclass(frozen=True, slots=True)
class Preferences:
    """A theme's name, keys by the id of their binding, and the titles of the columns wanted by table.

    `is_plain` draws in ASCII alone; only where one `may_write` are there keys that change the site.
    """

    theme: str = DEFAULT
    keys: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_plain: bool = False
    may_write: bool = False
