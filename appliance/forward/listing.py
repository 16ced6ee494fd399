"""What `nft -j -nn list` says of our tables, in the terms the rules are written in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.forward.change import revision_of
from appliance.forward.rule import Element, Name, Sort
from appliance.forward.structure import FAMILIES, TABLE

_IN_HEXADECIMAL = ("errors", "errors_ip", "errors_ip6")
_LEARNED_BY_THE_KERNEL = "elsewhere"


@dataclass(frozen=True, slots=True)
class KernelTables:
    """The tables as the kernel has them.

    `chains` holds for each chain the number of its rules and the ways out they name (address, device).
    """

    chains: Mapping[Name, tuple[int, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    collections: frozenset[Name] = frozenset()
    elements: frozenset[Element] = frozenset()

    @property
    def revision(self) -> str | None:
        """The revision that all tables are marked with, each once; None where they are not of one."""
        marks = [(name.table, revision) for name in self.chains if (revision := revision_of(name.name)) is not None]
        revisions = {revision for _, revision in marks}
        return revisions.pop() if len(revisions) == 1 and len(marks) == len(FAMILIES) else None


def read_listing(objects: Iterable[Mapping[str, Any]]) -> KernelTables:
    """Read the objects that nft listed; raises ValueError for anything that is not of ours."""
    try:
        entries = [pair for one in objects for pair in one.items()]
        own = [
            (sort, entry) for sort, entry in entries if (entry.get("table")) == TABLE and entry["family"] in FAMILIES
        ]
        return KernelTables(_chains(own), frozenset(_collections(own)), frozenset(_elements(own)))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"not a listing of nftables: {error!r}") from error


Entries = list[tuple[str, Mapping[str, Any]]]


def _chains(entries: Entries) -> dict[Name, tuple[int, tuple[tuple[str, str], ...]]]:
    found = {
        Name(e["family"], Sort.CHAIN, e["name"]): (0, tuple[tuple[str, str], ...]()) for s, e in entries if s == "chain"
    }
    for sort, entry in entries:
        if sort == "rule":
            name = Name(entry["family"], Sort.CHAIN, entry["chain"])
            count, ways = found[name]
            found[name] = count + 1, (*ways, *_ways_out(entry["expr"]))
    return found


def _ways_out(statements: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for statement in statements:
        for verb in ("fwd", "dup"):
            if isinstance(statement, dict) and verb in statement:
                yield str(statement[verb]["addr"]), str(statement[verb]["dev"])


def _collections(entries: Entries) -> Iterator[Name]:
    return (
        Name(entry["family"], Sort(sort), entry["name"]) for sort, entry in entries if sort in ("set", "map", "counter")
    )


def _elements(entries: Entries) -> Iterator[Element]:
    for sort, entry in entries:
        if sort in ("set", "map") and entry["name"] != _LEARNED_BY_THE_KERNEL:
            written = _hexadecimal if entry["name"] in _IN_HEXADECIMAL else str
            for element in entry.get("elem", ()):
                key, value = element if sort == "map" else (element, None)
                yield Element(entry["family"], entry["name"], _joined(key, written), _value(value))


def _hexadecimal(number: object) -> str:
    return f"{int(str(number), 0):#x}"


def _joined(key: Any, written: Callable[[object], str]) -> str:  # what json gives
    parts = key["concat"] if isinstance(key, dict) else [key]
    return " . ".join(written(part) for part in parts)


def _value(value: Any) -> str:  # what json gives
    if value is None:
        return ""
    if "goto" in value:
        return f"goto {value['goto']['target']}"
    return " . ".join(str(part) for part in value["concat"])
