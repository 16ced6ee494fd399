"""What is wrong with lists of selectors and of names, whichever kind they stand in."""

from collections.abc import Iterable, Iterator, Sequence

from appliance.api.label import LabelSelector, Operator, Requirement
from appliance.api.meta import Ref
from appliance.api.problem import Problem

_WITH_VALUES = frozenset({Operator.IN, Operator.NOT_IN})


def repeated(ref: Ref, path: str, entries: Sequence[object]) -> Iterator[Problem]:
    """One problem for each entry that stands earlier in the list too."""
    for index, entry in enumerate(entries):
        if entry in entries[:index]:
            written = f"{entry!r} is" if isinstance(entry, str) else f"the same as entry {entries.index(entry)}, so"
            yield Problem(ref, f"{path}[{index}]", f"{written} listed twice")


def selector_problems(ref: Ref, path: str, selectors: Sequence[LabelSelector]) -> Iterator[Problem]:
    """Selectors listed twice, expressions and values written twice, values that do not suit their operator."""
    if not selectors:
        return
    yield from repeated(ref, path, selectors)
    for index, selector in enumerate(selectors):
        yield from expression_problems(ref, f"{path}[{index}].matchExpressions", selector.match_expressions)


def expression_problems(ref: Ref, path: str, expressions: Sequence[Requirement]) -> Iterator[Problem]:
    """What is wrong with the expressions of one selector."""
    yield from repeated(ref, path, expressions)
    for index, requirement in enumerate(expressions):
        values = f"{path}[{index}].values"
        yield from repeated(ref, values, requirement.values)
        if requirement.operator in _WITH_VALUES and not requirement.values:
            yield Problem(ref, values, f"operator {requirement.operator} needs at least one value")
        if requirement.operator not in _WITH_VALUES and requirement.values:
            yield Problem(ref, values, f"operator {requirement.operator} takes no values")


def listed(names: Iterable[str]) -> str:
    """Names as one list for a sentence, in order."""
    return ", ".join(sorted(names)) or "none"
