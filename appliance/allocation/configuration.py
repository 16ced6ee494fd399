"""The configuration in force: what operators wrote, without what is at fault and has no last good version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from appliance.allocation.cache import Cache
from appliance.allocation.event import Settings
from appliance.api.core import Node, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import SESSION_PASSWORDS, Host
from appliance.api.problem import Problem
from appliance.config.compile import compile_config
from appliance.config.model import Compiled, Config
from appliance.config.peer import Sessions, sessions_of
from appliance.ipam.option import Options, options_of

OPERATORS = frozenset({"IPAddressPool", "L2Advertisement", "BGPAdvertisement", "BGPPeer", "BFDProfile", "Community"})
INPUTS = OPERATORS | {"Namespace", "Node", "Host"}


@dataclass(frozen=True, slots=True)
class Frozen:
    """Pools of which it is not known how they are to be announced, so that it stays as it is.

    Where an advertisement is left out it `is_..._unknown` which pools it was for when it was right: of a pool that none
    is for the addresses are announced as they were.
    """

    layer2: frozenset[str] = frozenset()
    bgp: frozenset[str] = frozenset()
    is_layer2_unknown: bool = False
    is_bgp_unknown: bool = False


@dataclass(frozen=True, slots=True)
class InForce:
    """What allocation goes by; `left_out` are the objects that are at fault and of which no good version is known."""

    config: Config = field(default_factory=Config)
    options: Options = field(default_factory=Options)
    has_unknown_pools: bool = False
    frozen: Frozen = Frozen()
    left_out: frozenset[Ref] = frozenset()


class Configuration:
    """What is in force, what is wrong and with which objects, and the last good version of each.

    An object at fault is replaced by its last good version, else by nothing. While a pool is left out so, nobody loses
    an address because of pools; while an advertisement is, what it may have announced stays announced as it was.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._good: dict[Ref, Object] = {}
        self.in_force = InForce()
        self.sessions = Sessions()
        self.problems: tuple[Problem, ...] = ()
        self.at_fault: frozenset[Ref] = frozenset()
        self.mistakes: tuple[Problem, ...] = ()

    def compile(self, cache: Cache) -> None:
        """Work out anew what is in force."""
        inputs = {ref_of(manifest): manifest for manifest in cache.objects(INPUTS) if self._is_read(manifest)}
        compiled = self._compile(inputs.values())
        options = options_of(inputs.values(), self.in_force.options)
        secrets = (secret for secret in cache.objects(frozenset({"Secret"})) if _is_operators(secret))
        self.sessions = sessions_of((*inputs.values(), *filter(self._is_read, secrets)))
        self.at_fault = frozenset(_at_fault(compiled))
        self.mistakes = compiled.problems + options.problems + self.sessions.problems
        self.problems = self.mistakes + compiled.warnings
        usable, left_out = self._usable(inputs, compiled)
        self._good = {ref: manifest for ref, manifest in usable.items() if ref.kind in OPERATORS}
        config = self._compile(usable.values()).draft
        unread_refs = {ref for ref in cache.unreadable if ref.kind in OPERATORS and ref not in inputs}
        self.in_force = InForce(
            config,
            options,
            not cache.is_complete or any(ref.kind == "IPAddressPool" for ref in unread_refs | left_out),
            _frozen(compiled.draft, left_out, unread_refs),
            frozenset(left_out),
        )

    def _is_read(self, manifest: Object) -> bool:
        namespaces = self._settings.configuration_namespaces
        is_limited = isinstance(manifest, Secret) or type(manifest).__name__ in OPERATORS
        return namespaces is None or not is_limited or manifest.metadata.namespace in namespaces

    def _compile(self, manifests: Iterable[Object]) -> Compiled:
        return compile_config(manifests, self._settings.service_networks)

    def _usable(self, inputs: Mapping[Ref, Object], compiled: Compiled) -> tuple[dict[Ref, Object], set[Ref]]:
        """The objects to go by, and which are left out: as good versions as there are, and as few left out as do."""
        usable = dict(inputs)
        at_fault = _at_fault(compiled)
        if at_fault & self._good.keys():
            for ref in at_fault:
                _put_back(usable, ref, self._good)
            at_fault = _at_fault(self._compile(usable.values()))
        if at_fault & self._good.keys():
            # The fault is with what is new beside an object that stands as it was.
            usable = {ref: manifest for ref, manifest in inputs.items() if ref.kind not in OPERATORS} | self._good
            at_fault = _at_fault(self._compile(usable.values()))
        while at_fault:
            for ref in at_fault:
                del usable[ref]
            at_fault = _at_fault(self._compile(usable.values()))
        return usable, inputs.keys() - usable.keys()


def _at_fault(compiled: Compiled) -> set[Ref]:
    return {fault.ref for fault in compiled.faults if fault.ref is not None}


def _put_back(usable: dict[Ref, Object], ref: Ref, good: Mapping[Ref, Object]) -> None:
    if ref in good:
        usable[ref] = good[ref]
    else:
        usable.pop(ref, None)


def _frozen(draft: Config, left_out: set[Ref], unread: set[Ref]) -> Frozen:
    """The pools that an advertisement left out is for, all of them where one cannot be read."""
    every = frozenset(draft.pools)
    kinds = {ref.kind for ref in unread}
    layer2 = frozenset(pool for ad in draft.l2_ads if ad.ref in left_out for pool in ad.pools)
    bgp = frozenset(pool for ad in draft.bgp_ads if ad.ref in left_out for pool in ad.pools)
    return Frozen(
        every if "L2Advertisement" in kinds else layer2,
        every if "BGPAdvertisement" in kinds or "Community" in kinds else bgp,
        any(ref.kind == "L2Advertisement" for ref in left_out),
        any(ref.kind == "BGPAdvertisement" for ref in left_out),
    )


def is_input_change(before: Object | None, after: Object | None) -> bool:
    """Whether a change of an object can change what the configuration means."""
    manifest = after or before
    if manifest is None or not (type(manifest).__name__ in INPUTS or _is_operators(manifest)):
        return False
    return before is None or after is None or _meaning(before) != _meaning(after)


def _meaning(manifest: Object) -> object:
    """An object without what programs report in it many times a minute."""
    metadata = replace(manifest.metadata, resource_version="", generation=0)
    match manifest:
        case Host():
            return metadata, manifest.spec, manifest.is_draining, manifest.status.interfaces
        case Node():
            conditions = [entry for entry in manifest.status.conditions if entry.type == "NetworkUnavailable"]
            return metadata, manifest.spec, manifest.status.addresses, conditions
        case Secret():
            return metadata, manifest.type, manifest.data, manifest.string_data
        case _:
            return metadata, getattr(manifest, "spec", None)


def _is_operators(manifest: Object) -> bool:
    """Whether an object is a Secret that a peer may name, and not one that passwords are handed on by."""
    return isinstance(manifest, Secret) and manifest.type != SESSION_PASSWORDS
