"""A difference between two states of the rules as one nftables transaction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from appliance.forward.rule import Definitions, Element, Name, Sort
from appliance.forward.structure import TABLE


@dataclass
class Difference:
    """What is added and removed; an element whose value differs is removed and added, a chain's rules are replaced."""

    added: dict[Name, tuple[str, ...]] = field(default_factory=dict)
    rewritten: dict[Name, tuple[str, ...]] = field(default_factory=dict)
    removed: set[Name] = field(default_factory=set)
    added_elements: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    removed_elements: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.rewritten or self.removed or self.added_elements or self.removed_elements)

    @property
    def takes_away(self) -> bool:
        """Whether anything goes; the kernel then lets whoever asks wait until no packet can still be looking at it."""
        return bool(self.rewritten or self.removed or self.removed_elements)

    def define(self, before: Definitions, after: Definitions) -> None:
        """Note what becomes of some definitions; a map or set keeps its type for as long as it keeps its name."""
        for name, body in after.items():
            if name not in before:
                self.added[name] = body
            elif before[name] != body:
                self.rewritten[name] = body
        self.removed.update(name for name in before if name not in after)

    def replace(self, before: Iterable[Element], after: Iterable[Element]) -> None:
        """Note what becomes of some elements."""
        old = {(one.table, one.collection, one.key): one.value for one in before}
        new = {(one.table, one.collection, one.key): one.value for one in after}
        for place, value in new.items():
            if old.get(place) != value:
                written = f"{place[2]} : {value}" if value else place[2]
                self.added_elements.setdefault(place[:2], []).append(written)
        for place, value in old.items():
            if new.get(place) != value:
                self.removed_elements.setdefault(place[:2], []).append(place[2])

    def text(self) -> str:
        """What nft reads: names before what refers to them, and the other way round where they go.

        Elements of a map or set that goes are not named, they go with it.
        """
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield from (_definition(name, body) for name, body in self.added.items())
        for (table, collection), keys in self.removed_elements.items():
            yield f"delete element {table} {TABLE} {collection} {{ {', '.join(keys)} }}"
        for (table, collection), elements in self.added_elements.items():
            yield f"add element {table} {TABLE} {collection} {{ {', '.join(elements)} }}"
        yield from (f"flush chain {name.table} {TABLE} {name.name}" for name in self.rewritten)
        for name, body in (self.added | self.rewritten).items():
            if name.sort is Sort.CHAIN:
                yield from (f"add rule {name.table} {TABLE} {name.name} {rule}" for rule in body)
        for name in sorted(self.removed, key=_last_referred):
            yield f"delete {name.sort.value} {name.table} {TABLE} {name.name}"


def _definition(name: Name, body: tuple[str, ...]) -> str:
    if name.sort is Sort.CHAIN:
        return f"add chain {name.table} {TABLE} {name.name}"
    return f"add {name.sort.value} {name.table} {TABLE} {name.name} {{ {'; '.join(body)}; }}"


def _last_referred(name: Name) -> tuple[int, str, str]:
    """Chains ask maps, and maps go to the chains that send: the referring goes first."""
    order = 2 if name.name.startswith("to_") else 0 if name.sort is Sort.CHAIN else 1
    return order, name.table, name.name


def revision_mark(revision: str) -> str:
    """The name of the chain that marks a table with a revision."""
    return f"revision_{revision}"


def revision_of(mark: str) -> str | None:
    """The revision in a chain's name, or None for any other chain."""
    return mark.removeprefix("revision_") if mark.startswith("revision_") else None
