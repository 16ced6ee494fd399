"""BGP communities."""

import pytest

from appliance.api.community import GRACEFUL_SHUTDOWN, parse_community


@pytest.mark.parametrize("text", ["64500:100", "0:0", "65535:65535", "large:64500:1:4294967295"])
def test_a_community_is_written_as_read(text: str) -> None:
    """Both kinds go through text unchanged."""
    parsed = parse_community(text)
    assert (str(parsed), parsed.is_large) == (text, text.startswith("large:"))


@pytest.mark.parametrize(
    "text", ["", "alias", "65536:0", "1", "1:2:3", "large:1:2", "large:1:2:4294967296", "-1:2", "1: 2", "¹:2", "1:2:"]
)
def test_anything_else_is_refused(text: str) -> None:
    """An alias, a part too many and a part too large are no communities."""
    with pytest.raises(ValueError, match="is not a community"):
        parse_community(text)


def test_graceful_shutdown() -> None:
    """RFC 8326's community."""
    assert str(GRACEFUL_SHUTDOWN) == "65535:0"


def test_a_community_is_short() -> None:
    """A number of thousands of digits is refused before anybody reads it."""
    with pytest.raises(ValueError, match="is not a community"):
        parse_community("1:" + "9" * 5000)
