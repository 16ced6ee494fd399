"""Why a store did not do what it was asked."""

from enum import Enum


class StoreRefusal(Enum):
    """Why a store did not do what it was asked; UNAVAILABLE also where it is not known whether it did."""

    EXISTS = "there is an object of this name already"
    CONFLICT = "the object has changed since it was read"
    NOT_FOUND = "there is no object of this name"
    READ_ONLY = "the object was written by an operator"
    INVALID = "the object is not one that could be read back"
    FORBIDDEN = "the store does not allow it"
    THROTTLED = "the store asks to be asked less often"
    UNAVAILABLE = "the store cannot be reached"
