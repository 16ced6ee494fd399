"""How much of a kind a program asks a Kubernetes API for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces a kind is read from (none = all), and the one name its reader may see ("" = every name)."""

    namespaces: tuple[str, ...] = ()
    name: str = ""


EVERYTHING = Scope()
