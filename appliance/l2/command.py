"""What a host's layer 2 wants done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Put a frame on an interface."""

    interface: str
    frame: bytes


Command = SendFrame
