"""Go's durations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.duration import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1m30s", 90), ("1.5h", 5400), ("100ms", 0.1), ("0", 0), ("0s", 0), (".5s", 0.5)],
)
def test_a_duration_is_read(text: object, seconds: float) -> None:
    """Units add up."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1m 30s", "-1s", "1d", True, None, "1s1", 90, 2.5, "٣s", " " * 70 + "90s"]
)
def test_anything_else_is_refused(text: object) -> None:
    """A unit is needed, as in Go and in the API server's schema."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    """Any whole number of milliseconds goes through text, however long."""
    seconds = milliseconds / 1000
    assert parse_duration(duration_text(seconds)) == seconds


@pytest.mark.parametrize("text", [float("inf"), float("nan"), -1, 10**400, "9" * 400 + "h", True, "-1s"])
def test_what_is_no_length_of_time_is_a_mistake(text: object) -> None:
    """YAML can write infinity (`.inf`), and a number of any size."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
