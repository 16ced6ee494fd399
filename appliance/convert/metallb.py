"""Texts that hold a legacy ConfigMap, the bare text in one, or interim AddressPools, to today's manifests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance.api.kind import Object
from appliance.api.manifest import parse, problems_of
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.api.yaml import BadYAML, describe, dump_documents, load_documents
from appliance.convert.legacy import Numbering, from_legacy, from_pool, in_order
from appliance.convert.model import (
    Conversion,
    InterimPoolSpec,
    LegacyAdvertisement,
    LegacyConfig,
    LegacyPool,
    PoolProtocol,
    Unconverted,
    place_of,
)
from appliance.convert.name import object_name

T = TypeVar("T")

NAMESPACE = "metallb-system"
_INTERIM_VERSIONS = frozenset({"metallb.io/v1beta1", "metallb.io/v1alpha1"})


@cache
def _adapter(cls: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(cls)


@dataclass(slots=True)
class _Gathered:
    """What the documents read so far have given."""

    namespace: str = NAMESPACE
    numbering: Numbering = field(default_factory=Numbering)
    manifests: list[Object] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[Unconverted] = field(default_factory=list)

    @property
    def conversion(self) -> Conversion:
        return Conversion(in_order(self.manifests), tuple(self.problems), tuple(self.left_out))


def from_manifests(text: str, file: str, namespace: str = NAMESPACE) -> Conversion:
    """Convert the ConfigMaps and AddressPools of a text; objects of today's kinds are passed through."""
    gathered = _Gathered(namespace)
    number = 0
    try:
        for number, content in enumerate(load_documents(text), start=1):
            if content is not None:
                _convert_document(content, Source(file, number), gathered)
    except BadYAML as error:
        path, sentence = describe(error)
        gathered.problems.append(Problem(None, path, sentence, Source(file, number + 1)))
    return gathered.conversion


def from_data(text: str, file: str, namespace: str = NAMESPACE) -> Conversion:
    """Convert the bare text that stands in a ConfigMap."""
    gathered = _Gathered()
    _convert_data(text, "", Ref("ConfigMap", namespace, "config"), Source(file, 1), gathered)
    return gathered.conversion


def _convert_document(content: object, source: Source, gathered: _Gathered) -> None:
    fields = content if isinstance(content, Mapping) else {}
    metadata = fields.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    ref = Ref(
        str(fields.get("kind", "")), str(named.get("namespace") or gathered.namespace), str(named.get("name", ""))
    )
    data = fields.get("data")
    if ref.kind == "ConfigMap" and isinstance(data, Mapping) and "config" in data:
        _convert_data(str(data["config"]), "data.config", ref, source, gathered)
        _leave_other_keys(data, ref, source, gathered)
    elif ref.kind == "AddressPool" and fields.get("apiVersion") in _INTERIM_VERSIONS:
        _convert_interim(fields.get("spec"), ref, source, gathered)
    else:
        _pass_through(dict(fields), ref, source, gathered)


def _leave_other_keys(data: Mapping[str, object], ref: Ref, source: Source, gathered: _Gathered) -> None:
    gathered.left_out.extend(
        Unconverted(place_of(source), f"{ref} data.{key}", "only the key config is MetalLB's configuration")
        for key in data
        if key != "config"
    )


def _pass_through(fields: dict[str, object], ref: Ref, source: Source, gathered: _Gathered) -> None:
    """Today's kinds as they are."""
    parsed = parse(dump_documents([fields]), source.file)
    gathered.manifests.extend(document.manifest for document in parsed.documents)
    gathered.problems.extend(replace(problem, source=source) for problem in parsed.problems)
    if parsed.passed_over:
        gathered.left_out.append(Unconverted(place_of(source), str(ref), "is no kind of MetalLB's"))


def _convert_data(text: str, path: str, ref: Ref, source: Source, gathered: _Gathered) -> None:
    try:
        contents = [content for content in load_documents(text) if content is not None]
        config = _adapter(LegacyConfig).validate_python(contents[0] if contents else {})
    except BadYAML as error:
        where, sentence = describe(error)
        gathered.problems.append(Problem(ref, " ".join(filter(None, (path, where))), sentence, source))
        return
    except ValidationError as error:
        gathered.problems.extend(_below(path, problem) for problem in problems_of(error, ref, source))
        return
    problems = [_below(path, problem) for problem in _pool_problems(config, ref, source)]
    gathered.problems.extend(problems)
    gathered.left_out.extend(_renamed(config, source))
    if not problems:
        gathered.manifests.extend(from_legacy(config, ref.namespace, gathered.numbering))


def _below(path: str, problem: Problem) -> Problem:
    return replace(problem, path=".".join(filter(None, (path, problem.path))))


def _pool_problems(config: LegacyConfig, ref: Ref, source: Source) -> Iterator[Problem]:
    for index, pool in enumerate(config.address_pools):
        if pool.protocol is PoolProtocol.LAYER2 and pool.bgp_advertisements:
            path = f"address-pools[{index}].bgp-advertisements"
            yield Problem(ref, path, "a pool of protocol layer2 has none", source)
    for key, names in _names(config).items():
        for index, name in enumerate(names):
            if not object_name(name):
                sentence = f"{name!r} has no letter to make an object name of"
                yield Problem(ref, f"{key}[{index}].name", sentence, source)


def _names(config: LegacyConfig) -> dict[str, tuple[str, ...]]:
    return {
        "address-pools": tuple(pool.name for pool in config.address_pools),
        "bfd-profiles": tuple(profile.name for profile in config.bfd_profiles),
    }


def _renamed(config: LegacyConfig, source: Source) -> Iterator[Unconverted]:
    for name in (name for names in _names(config).values() for name in names):
        if object_name(name) not in ("", name):
            why = f"no object can have this name, so it is {object_name(name)}"
            yield Unconverted(place_of(source), f"the name {name!r}", why)


def _convert_interim(content: object, ref: Ref, source: Source, gathered: _Gathered) -> None:
    try:
        spec = _adapter(InterimPoolSpec).validate_python(content or {})
    except ValidationError as error:
        gathered.problems.extend(_below("spec", problem) for problem in problems_of(error, ref, source))
        return
    if spec.protocol is PoolProtocol.LAYER2 and spec.bgp_advertisements:
        sentence = "a pool of protocol layer2 has none"
        gathered.problems.append(Problem(ref, "spec.bgpAdvertisements", sentence, source))
        return
    pool = LegacyPool(
        name=ref.name,
        protocol=spec.protocol,
        addresses=spec.addresses,
        auto_assign=spec.auto_assign,
        bgp_advertisements=tuple(
            LegacyAdvertisement(
                aggregation_length=entry.aggregation_length,
                aggregation_length_v6=entry.aggregation_length_v6,
                localpref=entry.local_pref,
                communities=entry.communities,
            )
            for entry in spec.bgp_advertisements
        ),
    )
    gathered.manifests.extend(from_pool(pool, ref.namespace, gathered.numbering))
