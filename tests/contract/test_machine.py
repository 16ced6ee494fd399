"""The other stores do what the memory store does, whatever is done in whatever order."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import VirtualIP
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.open import open_store
from appliance.store.protocol import Store, StoreError
from tests.cluster.control_plane import ControlPlane
from tests.contract.sample import VIPS, vip

NUMBERS = st.integers(min_value=0, max_value=3)
POOLS = st.sampled_from(["lan", "wan"])
TEXTS = st.sampled_from(["", "null", "1e3", "yes", "a: b\n---\n", "é"])
LABEL_TEXTS = st.sampled_from(["", "null", "1e3"])
OWNERS = st.sampled_from(["node-a", "node-b"])
MANAGERS = st.sampled_from(["agent", "allocator"])
PARTS = st.sampled_from(["apply", "apply_metadata", "apply_status", "apply_status with_metadata"])
KEYS = st.sampled_from(["a", "b/c"])
LABELS = st.tuples(st.dictionaries(KEYS, LABEL_TEXTS), st.dictionaries(KEYS, TEXTS))
Labels = tuple[dict[str, str], dict[str, str]]


class Stores(RuleBasedStateMachine):
    """The same writes to both; `versions` holds, for each store, a version that was once true of each object."""

    def __init__(self, other: Callable[[], Store]) -> None:
        super().__init__()
        self.other = other
        self.epoch = 0
        self.loop = asyncio.new_event_loop()
        self.stores: tuple[Store, Store] = (MemoryStore(), other())
        self.versions: tuple[dict[Ref, str], dict[Ref, str]] = ({}, {})
        self.seen: tuple[dict[Ref, tuple[int, Object | None]], dict[Ref, tuple[int, Object | None]]] = ({}, {})
        self.clear()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.clear()
        self.loop.close()

    def clear(self) -> None:
        """Remove what is there, also what other tests wrote on the API server that all share."""
        for ref in self.loop.run_until_complete(self.stores[1].list(VIPS)).objects:
            self.loop.run_until_complete(self.stores[1].delete(ref))

    @rule(number=NUMBERS, pool=POOLS, owner=OWNERS, labels=LABELS, manager=MANAGERS)
    def create(self, number: int, pool: str, owner: str, labels: Labels, manager: str) -> None:
        """Create an object, status and all."""
        wanted = labelled(vip(number, pool, owner=owner), labels)
        self.both(*(store.create(wanted, manager) for store in self.stores))

    @rule(
        number=NUMBERS, pool=POOLS, owner=OWNERS, labels=LABELS, manager=MANAGERS, versioned=st.booleans(), part=PARTS
    )
    def change(  # noqa: PLR0917  # one for each thing a write can differ in
        self, number: int, pool: str, owner: str, labels: Labels, manager: str, versioned: bool, part: str
    ) -> None:
        """Write a part of an object, with or without a version."""
        self.epoch += 1
        writes = []
        for store, version in zip(self.stores, self.versions_of(number, versioned), strict=True):
            wanted = labelled(vip(number, pool, version, owner, epoch=self.epoch), labels)
            method, _, option = part.partition(" ")
            writes.append(getattr(store, method)(wanted, manager, **{option: True} if option else {}))
        self.both(*writes)

    @rule(number=NUMBERS, versioned=st.booleans())
    def delete(self, number: int, versioned: bool) -> None:
        """Delete an object, with or without a version."""
        versions = self.versions_of(number, versioned)
        self.both(*(s.delete(ref_of(vip(number)), v) for s, v in zip(self.stores, versions, strict=True)))

    @rule(number=NUMBERS)
    def note_version(self, number: int) -> None:
        """Remember the version an object has now."""
        ref = ref_of(vip(number))
        for versions, version in zip(self.versions, self.present_versions(ref), strict=True):
            versions[ref] = version

    @rule()
    def restart(self) -> None:
        """A program that starts anew reads what the one before wrote, versions and writers included."""
        self.stores = (self.stores[0], self.other())

    @invariant()
    def both_hold_the_same(self) -> None:
        """No object differs in anything but its version."""
        one, other = (self.loop.run_until_complete(store.list(VIPS)).objects for store in self.stores)
        assert contents(one) == contents(other)

    @invariant()
    def versions_grow(self) -> None:
        """Another content under a name has a version higher than all before it, and the same content its own."""
        for store, seen in zip(self.stores, self.seen, strict=True):
            for ref, manifest in self.loop.run_until_complete(store.list(VIPS)).objects.items():
                version = int(manifest.metadata.resource_version)
                last, content = seen.get(ref, (0, None))
                assert version > last or (version, manifest) == (last, content)
                seen[ref] = (version, manifest)

    def both(
        self, one: Coroutine[object, object, Object | None], other: Coroutine[object, object, Object | None]
    ) -> None:
        """Both writes end alike."""
        outcomes = [self.outcome(one), self.outcome(other)]
        assert outcomes[0] == outcomes[1]

    def versions_of(self, number: int, versioned: bool) -> tuple[str, str]:
        """The versions remembered, or none."""
        ref = ref_of(vip(number))
        return (self.versions[0].get(ref, ""), self.versions[1].get(ref, "")) if versioned else ("", "")

    def present_versions(self, ref: Ref) -> tuple[str, str]:
        """The version each store has of an object, empty where there is no object."""
        present = [self.loop.run_until_complete(store.list(VIPS)).objects.get(ref) for store in self.stores]
        one, other = (manifest.metadata.resource_version if manifest else "" for manifest in present)
        return one, other

    def outcome(self, write: Coroutine[object, object, Object | None]) -> object:
        """What was stored, without its version, or why it was not."""
        try:
            stored = self.loop.run_until_complete(write)
        except StoreError as error:
            return error.refusal
        return unversioned(stored) if isinstance(stored, VirtualIP) else stored


def labelled(manifest: VirtualIP, labels: Labels) -> VirtualIP:
    """The object with labels and annotations."""
    return replace(manifest, metadata=replace(manifest.metadata, labels=labels[0], annotations=labels[1]))


def unversioned(manifest: VirtualIP) -> VirtualIP:
    """The object without what a store adds."""
    return replace(manifest, metadata=replace(manifest.metadata, resource_version="", uid="", generation=0))


def contents(objects: Mapping[Ref, Object]) -> dict[Ref, VirtualIP]:
    """The objects without their versions."""
    return {ref: unversioned(manifest) for ref, manifest in objects.items() if isinstance(manifest, VirtualIP)}


def test_the_directory(tmp_path: Path) -> None:
    """A folder of YAML."""
    numbers = itertools.count()

    def make() -> Stores:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Stores(lambda: DirectoryStore(folder))

    _run(make)


def test_kubernetes(site_kinds: ControlPlane) -> None:
    """A real API server."""
    _run(lambda: Stores(lambda: open_store(f"kubernetes:{site_kinds.kubeconfig}")), examples=10)


def _run(make: Callable[[], Stores], examples: int = 30) -> None:
    checked = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(make, settings=checked)  # type: ignore[arg-type]  # a factory will do, as its text says
