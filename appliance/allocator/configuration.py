"""The configuration in force: compiled when its inputs change, the last good one kept when they are wrong."""

from collections.abc import Mapping
from dataclasses import replace

import structlog

from appliance.allocator.view import View
from appliance.api.address import IPNetwork
from appliance.api.core import Node
from appliance.api.kind import Object, kind_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Host
from appliance.api.problem import Problem, Source, locate
from appliance.config.compile import compile_config
from appliance.config.model import Config
from appliance.ipam.extra import Extras, extras_of

INPUTS = frozenset(
    {
        "IPAddressPool",
        "L2Advertisement",
        "BGPAdvertisement",
        "BGPPeer",
        "BFDProfile",
        "Community",
        "Namespace",
        "Node",
        "Host",
    }
)


class Configuration:
    """The last good Config, and whether what operators wrote since is wrong."""

    def __init__(self, service_networks: tuple[IPNetwork, ...] = ()) -> None:
        self._service_networks = service_networks
        self._log = structlog.get_logger()
        self.config: Config | None = None
        self.extras = Extras()
        self.problems: tuple[Problem, ...] = ()
        self._told: frozenset[Problem] = frozenset()

    def recompile(self, view: View) -> bool:
        """Compile anew; says whether there is another Config in force."""
        inputs = view.objects(INPUTS)
        compiled, extras = compile_config(inputs, self._service_networks), extras_of(inputs, self.extras)
        self.problems = compiled.problems + compiled.warnings + extras.problems
        if compiled.config is None or (compiled.config, extras) == (self.config, self.extras):
            return False
        self.config, self.extras = compiled.config, extras
        return True

    def tell(self, others: tuple[Problem, ...], sources: Mapping[Ref, Source]) -> None:
        """Log every problem that was not there before."""
        problems = frozenset(locate(problem, sources) for problem in (*others, *self.problems))
        for problem in sorted(problems - self._told, key=str):
            self._log.warning("manifest_problem", problem=str(problem))
        self._told = problems


def is_input_change(before: Object | None, after: Object | None) -> bool:
    """Whether a change of an object can change what the configuration means."""
    if before is None or after is None:
        return kind_of_either(before, after) in INPUTS
    return kind_of(after).title in INPUTS and _meaning(before) != _meaning(after)


def kind_of_either(before: Object | None, after: Object | None) -> str:
    """The kind of an object that is there before or after."""
    manifest = after or before
    return kind_of(manifest).title if manifest else ""


def _meaning(manifest: Object) -> object:
    """An object without what programs report in it many times a minute."""
    metadata = replace(manifest.metadata, resource_version="", generation=0)
    match manifest:
        case Host():
            return metadata, manifest.spec, manifest.status.interfaces
        case Node():
            conditions = [entry for entry in manifest.status.conditions if entry.type == "NetworkUnavailable"]
            return metadata, manifest.spec, manifest.status.addresses, conditions
        case _:
            return metadata, getattr(manifest, "spec", None)
