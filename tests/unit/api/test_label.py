"""Label selectors."""

import pytest

from appliance.api.label import LabelSelector, Operator, Requirement, any_matches

EAST = {"zone": "east"}
WEST = {"zone": "west"}


@pytest.mark.parametrize(
    ("operator", "values", "matching"),
    [
        (Operator.IN, ("east",), [EAST]),
        (Operator.NOT_IN, ("east",), [WEST, {}]),
        (Operator.EXISTS, (), [EAST, WEST]),
        (Operator.DOES_NOT_EXIST, (), [{}]),
    ],
)
def test_each_operator(operator: Operator, values: tuple[str, ...], matching: list[dict[str, str]]) -> None:
    """`NotIn` also holds for what has no such label, as in Kubernetes."""
    requirement = Requirement(key="zone", operator=operator, values=values)
    assert [labels for labels in (EAST, WEST, {}) if requirement.matches(labels)] == matching


def test_all_of_a_selector_must_hold() -> None:
    """Labels and expressions are joined by and."""
    selector = LabelSelector(
        match_labels={"zone": "east"}, match_expressions=(Requirement(key="edge", operator=Operator.EXISTS),)
    )
    assert [selector.matches(labels) for labels in (EAST, {"edge": ""}, {"zone": "east", "edge": ""})] == [
        False,
        False,
        True,
    ]


def test_an_empty_selector_matches_everything() -> None:
    """Also what has no labels."""
    assert LabelSelector().matches({})


def test_one_of_several_is_enough() -> None:
    """A list of selectors is joined by or, and an empty list admits everything."""
    selectors = (LabelSelector(match_labels=EAST), LabelSelector(match_labels=WEST))
    assert [any_matches(selectors, labels) for labels in (EAST, WEST, {})] == [True, True, False]
    assert any_matches((), {})
