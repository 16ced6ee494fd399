"""What the annotations beyond MetalLB's mean, and what comes of mistakes in them."""

from dataclasses import replace

import pytest

from appliance.api.address import parse_address, parse_range
from appliance.api.core import Namespace
from appliance.api.meta import Metadata
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec
from appliance.ipam.option import Options, options_of

POOL = IPAddressPool(
    metadata=Metadata(name="a", namespace="metallb-system"),
    spec=IPAddressPoolSpec(addresses=(parse_range("10.0.0.0/24"),)),
)
NAMESPACE = Namespace(metadata=Metadata(name="team"))
RESERVED, QUARANTINE = "pierhead.io/reserved", "pierhead.io/quarantine"


def with_annotations(**texts: str) -> IPAddressPool:
    """The pool with annotations, named without their prefix."""
    annotations = {f"pierhead.io/{name}": text for name, text in texts.items()}
    return replace(POOL, metadata=replace(POOL.metadata, annotations=annotations))


def quota(text: str) -> Namespace:
    """The Namespace with a quota."""
    return replace(NAMESPACE, metadata=replace(NAMESPACE.metadata, annotations={"pierhead.io/address-quota": text}))


def test_every_annotation() -> None:
    """Reservations and quarantine stand on the pool, a quota on the Namespace."""
    found = options_of([with_annotations(reserved="10.0.0.5=team/x, 10.0.0.6 = team/y", quarantine="10m"), quota("3")])
    reserved = {parse_address("10.0.0.5"): "team/x", parse_address("10.0.0.6"): "team/y"}
    assert found == Options(reserved, {"team": 3}, {"a": 600.0})


def test_without_annotations_nothing_is_asked_for() -> None:
    """All of it is opt-in; a zero quarantine is none."""
    assert options_of([POOL, NAMESPACE]) == Options()
    assert options_of([with_annotations(quarantine="0s")]) == Options()


BEFORE = Options({parse_address("10.0.0.5"): "team/x"}, {"team": 3}, {"a": 600.0})
MISTAKES = [
    (with_annotations(quarantine="soon"), "'soon' is not a duration such as 90s or 1m30s"),
    (with_annotations(quarantine="-5m"), "'-5m' is not a duration such as 90s or 1m30s"),
    (with_annotations(reserved="10.0.0.5"), "'10.0.0.5' is not address=namespace/name"),
    (with_annotations(reserved="10.0.0.300=team/x"), "'10.0.0.300=team/x' is not address=namespace/name"),
    (quota("many"), "'many' is not a number of addresses"),
    (quota("-1"), "'-1' is not a number of addresses"),
]


@pytest.mark.parametrize(("manifest", "sentence"), MISTAKES, ids=[row[1] for row in MISTAKES])
def test_mistake_changes_nothing(manifest: IPAddressPool | Namespace, sentence: str) -> None:
    """One sentence says what cannot be read, and what was in force stays so."""
    found = options_of([manifest], BEFORE)
    assert [problem.text for problem in found.problems] == [sentence]
    in_force = (*found.reserved.items(), *found.quotas.items(), *found.quarantines.items())
    before = (*BEFORE.reserved.items(), *BEFORE.quotas.items(), *BEFORE.quarantines.items())
    assert len(in_force) == 1
    assert set(in_force) <= set(before)


def test_reservation_outside_the_pool_is_a_mistake() -> None:
    """A pool reserves its own addresses only."""
    found = options_of([with_annotations(reserved="10.9.0.5=team/x,10.0.0.7=team/y")])
    assert [problem.text for problem in found.problems] == ["10.9.0.5 is not an address of this pool"]
    assert dict(found.reserved) == {parse_address("10.0.0.7"): "team/y"}


def test_endless_quarantine_lasts_a_year() -> None:
    """A slip of the pen does not keep an address for ever."""
    found = options_of([with_annotations(quarantine="87600h")])
    assert dict(found.quarantines) == {"a": 366 * 86400.0}
    assert [problem.text for problem in found.problems] == ["'87600h' is longer than a year, so a year it is"]
