"""What is known of the store between its pictures."""

from appliance.allocator.view import View, changed_refs
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.store.protocol import Listing
from tests.unit.ipam.sample import service


def picture(*manifests: Object, complete: bool = True) -> Listing:
    """A picture of some objects."""
    return Listing(objects={ref_of(manifest): manifest for manifest in manifests}, is_complete=complete)


X, Y, Z = service("x"), service("y"), service("z")


def test_changed_refs_finds_what_differs_anywhere() -> None:
    """Added, replaced and removed objects are found, whatever stands before and after them."""
    before = {Ref("Service", "", name): service(name) for name in "abcdef"}
    after = dict(before)
    after[Ref("Service", "", "c")] = service("c", ports=(81,))
    del after[Ref("Service", "", "d")]
    after[Ref("Service", "", "g")] = service("g")
    assert {ref.name for ref in changed_refs(before, after)} == {"c", "d", "g"}
    assert changed_refs(before, dict(before)) == set()
    del after[Ref("Service", "", "f")]
    assert {ref.name for ref in changed_refs(before, after)} == {"c", "d", "f", "g"}
    turned = dict(reversed(before.items()))
    assert changed_refs(before, turned) == set()


def test_picture_that_is_late_does_not_undo_an_own_write() -> None:
    """What was written since stays until a second picture fails to show it."""
    view = View()
    view.absorb(picture(X))
    view.put(Y)
    assert view.absorb(picture(X)) == {}
    assert "default/y" in view.services
    changes = view.absorb(picture(X))
    assert set(changes) == {ref_of(Y)}
    assert "default/y" not in view.services


def test_incomplete_picture_removes_nothing() -> None:
    """What vanished from it goes with the first complete picture that does not show it either."""
    view = View()
    view.absorb(picture(X, Y))
    assert view.absorb(picture(X, complete=False)) == {}
    assert "default/y" in view.services
    assert set(view.absorb(picture(X))) == {ref_of(Y)}


def test_changes_come_as_before_and_after() -> None:
    """Each change names both versions."""
    view = View()
    view.absorb(picture(X))
    other = service("x", ports=(81,))
    assert view.absorb(picture(other, Z)) == {ref_of(X): (X, other), ref_of(Z): (None, Z)}
