"""Object identity and metadata (Kubernetes API conventions, "Metadata")."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, NamedTuple

from pydantic import Field

from appliance.api.text import ObjectName, OptionalName
from appliance.api.value import partial_value


class Ref(NamedTuple):
    """Names one object: kind, namespace ("" for cluster-scoped kinds) and name; a tuple, for tables are keyed by it."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"

    @property
    def path(self) -> str:
        """`namespace/name`, or the bare name of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@partial_value
class OwnerReference:
    """An object that another one belongs to, and goes with."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


@partial_value
class Metadata:
    """The part of ObjectMeta that Pierhead reads or keeps; `resource_version` is opaque, as Kubernetes defines it."""

    name: ObjectName
    namespace: OptionalName = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resource_version: str = ""
    generation: Annotated[int, Field(ge=0, lt=2**63)] = 0
    uid: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str = ""


def is_newer(version: str, known: str) -> bool:
    """Whether a version of an object follows another one; of versions that are no numbers what comes last is newest."""
    return version != known and not (version.isdecimal() and known.isdecimal() and int(version) < int(known))
