"""Object names made from free text."""

import pytest

from appliance.convert.name import object_name

ROWS = [
    ("fine", "fine"),
    ("my-ip-space", "my-ip-space"),
    ("My_Pool", "my-pool"),
    ("1st floor", "st-floor"),
    ("-x-", "x"),
    ("a", "a"),
    ("123", ""),
    ("", ""),
    ("x" * 70, "x" * 63),
    ("x" * 62 + "_y", "x" * 62),
]


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_object_name(text: str, expected: str) -> None:
    """A name that fits is kept; another becomes the nearest that fits, or empty."""
    assert object_name(text) == expected


@pytest.mark.parametrize("text", [row[0] for row in ROWS])
def test_object_name_of_a_name(text: str) -> None:
    """What was made once is not changed again."""
    assert object_name(object_name(text)) == object_name(text)
