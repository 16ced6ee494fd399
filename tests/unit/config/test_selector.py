"""Lists of names and selectors."""

from appliance.api.label import LabelSelector, Operator, Requirement
from appliance.api.meta import Ref
from appliance.api.metallb import PreferredNodeSelector
from appliance.config.selector import repeated

REF = Ref("L2Advertisement", "m", "l")


class Counting(str):
    """A text that counts how often it is compared."""

    compared = 0

    __slots__ = ()

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Counting.compared += 1
        return super().__eq__(other)


def test_what_is_listed_twice_is_told() -> None:
    """The order of labels in a selector does not matter."""
    one = LabelSelector(match_labels={"a": "1", "b": "2"})
    other = LabelSelector(match_labels={"b": "2", "a": "1"})
    needs = Requirement(key="a", operator=Operator.EXISTS)
    weighed = PreferredNodeSelector(weight=1, preference=one)
    given = (["x", "y", "x"], [one, other], [needs, needs], [weighed, PreferredNodeSelector(weight=2, preference=one)])
    assert [[str(problem) for problem in repeated(REF, "spec.x", entries)] for entries in given] == [
        ["spec.x[2]: L2Advertisement m/l: 'x' is listed twice"],
        ["spec.x[1]: L2Advertisement m/l: the same as entry 0, so listed twice"],
        ["spec.x[1]: L2Advertisement m/l: the same as entry 0, so listed twice"],
        [],
    ]


def test_a_long_list_is_compared_with_itself_once() -> None:
    """Twice the entries take twice the comparisons, not four times."""
    Counting.compared = 0
    entries = [Counting(f"pool-{number}") for number in range(2000)]
    assert list(repeated(REF, "spec.ipAddressPools", entries)) == []
    assert Counting.compared < len(entries)
