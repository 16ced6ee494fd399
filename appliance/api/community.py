"""BGP communities: standard (RFC 1997) and large (RFC 8092)."""

from dataclasses import dataclass

_UINT16 = 0xFFFF
_UINT32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, order=True)
class Community:
    """Two 16-bit parts (RFC 1997) or three 32-bit parts (RFC 8092)."""

    parts: tuple[int, ...]

    @property
    def is_large(self) -> bool:
        """Whether this is a large community."""
        return len(self.parts) == 3

    def __str__(self) -> str:
        written = ":".join(str(part) for part in self.parts)
        return f"large:{written}" if self.is_large else written


GRACEFUL_SHUTDOWN = Community((65535, 0))  # RFC 8326 section 5


def parse_community(text: str) -> Community:
    """Read `a:b` or `large:x:y:z`; raises ValueError, also for an alias."""
    large = text.startswith("large:")
    written = text.removeprefix("large:").split(":")
    limit, count = (_UINT32, 3) if large else (_UINT16, 2)
    if len(written) != count or not all(part.isascii() and part.isdigit() and int(part) <= limit for part in written):
        raise ValueError(f"{text!r} is not a community such as 64500:100 or large:64500:1:2")
    return Community(tuple(int(part) for part in written))
