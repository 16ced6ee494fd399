"""What is wrong with lists of selectors and of names, whichever kind they stand in."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from appliance.api.label import LabelSelector, Operator, Requirement
from appliance.api.meta import Ref
from appliance.api.metallb import PreferredNodeSelector
from appliance.api.problem import Problem
from appliance.api.text import is_label_value, is_qualified_name, shown

SelectorEntry = str | Requirement | LabelSelector | PreferredNodeSelector

_WITH_VALUES = frozenset({Operator.IN, Operator.NOT_IN})


def repeated(ref: Ref, path: str, entries: Sequence[SelectorEntry]) -> Iterator[Problem]:
    """One problem for each entry that stands earlier in the list too."""
    first: dict[Hashable, int] = {}
    for index, entry in enumerate(entries):
        earlier = first.setdefault(_key(entry), index)
        if earlier != index:
            written = f"{entry!r} is" if isinstance(entry, str) else f"the same as entry {earlier}, so"
            yield Problem(ref, f"{path}[{index}]", f"{written} listed twice")


def _key(entry: SelectorEntry) -> Hashable:
    match entry:
        case LabelSelector():
            return frozenset(entry.match_labels.items()), entry.match_expressions
        case PreferredNodeSelector():
            return entry.weight, _key(entry.preference)
        case _:
            return entry


def selector_problems(ref: Ref, path: str, selectors: Sequence[LabelSelector]) -> Iterator[Problem]:
    """Selectors listed twice, labels that cannot be, expressions and values that do not suit each other."""
    if not selectors:
        return
    yield from repeated(ref, path, selectors)
    for index, selector in enumerate(selectors):
        yield from label_problems(ref, f"{path}[{index}]", selector)


def label_problems(ref: Ref, path: str, selector: LabelSelector) -> Iterator[Problem]:
    """What is wrong with one selector."""
    for key, text in selector.match_labels.items():
        yield from _key_problems(ref, f"{path}.matchLabels", key)
        yield from _value_problems(ref, f"{path}.matchLabels.{key}", text)
    yield from repeated(ref, f"{path}.matchExpressions", selector.match_expressions)
    for index, requirement in enumerate(selector.match_expressions):
        place = f"{path}.matchExpressions[{index}]"
        yield from _key_problems(ref, f"{place}.key", requirement.key)
        yield from repeated(ref, f"{place}.values", requirement.values)
        if requirement.operator in _WITH_VALUES and not requirement.values:
            yield Problem(ref, f"{place}.values", f"operator {requirement.operator} needs at least one value")
        if requirement.operator not in _WITH_VALUES and requirement.values:
            yield Problem(ref, f"{place}.values", f"operator {requirement.operator} takes no values")
        for number, text in enumerate(requirement.values):
            yield from _value_problems(ref, f"{place}.values[{number}]", text)


def _key_problems(ref: Ref, path: str, key: str) -> Iterator[Problem]:
    if not is_qualified_name(key):
        yield Problem(ref, path, f"{shown(key)} is no label's key, so it matches nothing")


def _value_problems(ref: Ref, path: str, text: str) -> Iterator[Problem]:
    if text and not is_label_value(text):
        yield Problem(ref, path, f"{shown(text)} is no label's value, so it matches nothing")


def listed(names: Iterable[str]) -> str:
    """Names as one list for a sentence, in order."""
    return ", ".join(sorted(names)) or "none"
