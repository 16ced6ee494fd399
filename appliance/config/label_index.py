"""Finds labelled objects by selector without looking at each of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.api.label import LabelSelector


@dataclass(frozen=True, slots=True)
class LabelIndex:
    """Objects' labels by name, and names by label."""

    labels: Mapping[str, Mapping[str, str]]
    names: Mapping[tuple[str, str], tuple[str, ...]]

    def matching(self, selectors: Iterable[LabelSelector]) -> frozenset[str]:
        """The names of all objects that one of the selectors matches; none for no selector."""
        return frozenset(
            name for selector in selectors for name in self._nearest(selector) if selector.matches(self.labels[name])
        )

    def _nearest(self, selector: LabelSelector) -> Iterable[str]:
        """A superset of what a selector matches, small where it names a label's value."""
        for label in selector.match_labels.items():
            return self.names.get(label, ())
        return self.labels


def label_index(labels: Mapping[str, Mapping[str, str]]) -> LabelIndex:
    """The index of some objects' labels."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, own in labels.items():
        for label in own.items():
            names.setdefault(label, []).append(name)
    return LabelIndex(labels, {label: tuple(found) for label, found in names.items()})
