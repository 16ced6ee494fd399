"""Object names made from the free text that older configurations called things by."""

import re

_FITTING = re.compile(r"^[a-z][-a-z0-9]{0,61}[a-z0-9]$|^[a-z]$")
_LENGTH_MAX = 63


def object_name(text: str) -> str:
    """A name Kubernetes takes, as near to a text as can be; empty where the text has no letter."""
    if _FITTING.match(text):
        return text
    written = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return re.sub(r"^[^a-z]+", "", written)[:_LENGTH_MAX].rstrip("-")
