"""BGP communities: standard (RFC 1997) and large (RFC 8092)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from appliance.api.text import shown

_UINT16 = 0xFFFF
_UINT32 = 0xFFFFFFFF
_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True, order=True)
class CommunityNumber:
    """Two 16-bit parts (RFC 1997) or three 32-bit parts (RFC 8092)."""

    parts: tuple[int, ...]

    @property
    def is_large(self) -> bool:
        """Whether this is a large community."""
        return len(self.parts) == 3

    def __str__(self) -> str:
        written = ":".join(str(part) for part in self.parts)
        return f"large:{written}" if self.is_large else written


GRACEFUL_SHUTDOWN = CommunityNumber((65535, 0))  # RFC 8326 section 5


def parse_community(text: object) -> CommunityNumber:
    """Read `a:b` or `large:x:y:z`; raises ValueError, also for an alias."""
    if isinstance(text, CommunityNumber):
        return text
    if not isinstance(text, str) or len(text) > _LENGTH_MAX:
        raise ValueError(f"{shown(text)} is not a community such as 64500:100 or large:64500:1:2")
    large = text.startswith("large:")
    written = text.removeprefix("large:").split(":")
    limit, count = (_UINT32, 3) if large else (_UINT16, 2)
    if len(written) != count or not all(part.isascii() and part.isdigit() and int(part) <= limit for part in written):
        raise ValueError(f"{shown(text)} is not a community such as 64500:100 or large:64500:1:2")
    return CommunityNumber(tuple(int(part) for part in written))


COMMUNITY_SCHEMA = WithJsonSchema({"type": "string", "format": "community", "maxLength": _LENGTH_MAX})
CommunityValue = Annotated[CommunityNumber, BeforeValidator(parse_community), PlainSerializer(str), COMMUNITY_SCHEMA]
