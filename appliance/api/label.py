"""Labels and their selectors (Kubernetes `LabelSelector`)."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.api.value import value

HOSTNAME_LABEL = "kubernetes.io/hostname"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_EXPRESSIONS_MAX = 100


class Operator(StrEnum):
    """How a requirement compares a label with its values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@value
class Requirement:
    """One row of `matchExpressions`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels meets this requirement; `NotIn` holds for an absent label."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@value
class LabelSelector:
    """All of `match_labels` and all of `match_expressions`; an empty selector matches everything."""

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: Annotated[tuple[Requirement, ...], Field(max_length=_EXPRESSIONS_MAX)] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a set of labels meets every requirement."""
        wanted = all(labels.get(key) == wanted for key, wanted in self.match_labels.items())
        return wanted and all(requirement.matches(labels) for requirement in self.match_expressions)


def any_matches(selectors: Sequence[LabelSelector], labels: Mapping[str, str]) -> bool:
    """Whether one of the selectors matches, or there is none: MetalLB's meaning of a list of selectors."""
    return not selectors or any(selector.matches(labels) for selector in selectors)
