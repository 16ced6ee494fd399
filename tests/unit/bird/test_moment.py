"""Times as BIRD writes them."""

import pytest

from appliance.bird.moment import is_same_moment


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026-11-21 03:06:04.400", "2026-11-21 03:06:04.401", True),
        ("2026-11-21 03:06:04.999", "2026-11-21 03:06:05.000", True),
        ("2026-11-21 03:06:04.400", "2026-11-21 03:06:04.600", False),
        ("03:06:04", "03:06:04", True),
        ("03:06:04", "03:06:05", False),
        ("", "2026-11-21 03:06:04.600", False),
    ],
)
def test_trembling_times_are_the_same(one: str, other: str, same: bool) -> None:
    """A few milliseconds are no other event; times in another format are compared as text."""
    assert is_same_moment(one, other) is same
