"""Durations as Kubernetes writes them: Go's `time.ParseDuration` text, held in seconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def parse_duration(text: object) -> float:
    """Seconds in a Go duration such as `90s` or `1m30s`; raises ValueError."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    written = str(text)
    if written == "0":
        return 0.0
    parts = _PART.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise ValueError(f"{written!r} is not a duration such as 90s or 1m30s")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def duration_text(seconds: float) -> str:
    """A duration of whole or fractional seconds as text that `parse_duration` reads back."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(duration_text), WithJsonSchema({"type": "string"})
]
