"""Durations as Kubernetes writes them: Go's `time.ParseDuration` text, held in seconds."""

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from appliance.api.text import shown

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_LENGTH_MAX = 64
_SECONDS_MAX = 2**63 / 1e9  # Go counts nanoseconds in 64 bits


def parse_duration(text: object) -> float:
    """Seconds in a Go duration such as `90s` or `1m30s`; raises ValueError, also for a number, which has no unit."""
    seconds = _seconds(text) if isinstance(text, str) else math.nan
    # A comparison with NaN is false.
    if not 0 <= seconds <= _SECONDS_MAX:
        raise ValueError(f"{shown(text)} is not a duration such as 90s or 1m30s")
    return seconds


def _seconds(written: str) -> float:
    if written == "0":
        return 0.0
    parts = _PART.findall(written[: _LENGTH_MAX + 1])
    if len(written) > _LENGTH_MAX or not parts or "".join(number + unit for number, unit in parts) != written:
        return math.nan
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def duration_text(seconds: float) -> str:
    """A duration of whole or fractional seconds as text that `parse_duration` reads back."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "format": "go-duration", "maxLength": _LENGTH_MAX}),
]
