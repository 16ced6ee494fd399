"""What can go wrong between the two ends of a control socket."""

from enum import StrEnum


class ControlFault(StrEnum):
    """Why a control socket did not give what was asked of it."""

    NOT_RUNNING = "nothing answers on the control socket; is the program running?"
    DENIED = "this user may not use the control socket"
    UNREACHABLE = "ssh cannot reach the host"
    IN_USE = "another program answers on the control socket already"
    TIMED_OUT = "the program did not answer in time"
    LOST = "the connection ended"
    INVALID = "the request is not understood"
    NOT_FOUND = "there is no such thing here"
    REFUSED = "the program refused"
    PROTOCOL = "the answer is not understood; are both of the same version?"


class ControlError(Exception):
    """A control socket's failure or a program's refusal; `detail` is a sentence of its own where there is one."""

    def __init__(self, fault: ControlFault, subject: str, detail: str = "") -> None:
        super().__init__(f"{subject}: {detail or fault.value}")
        self.fault = fault
        self.subject = subject
        self.detail = detail
