"""Object identity and metadata (Kubernetes API conventions, "Metadata")."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from appliance.api.value import partial_value


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Names one object: kind, namespace ("" for cluster-scoped kinds) and name."""

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
class Metadata:
    """The part of ObjectMeta that Pierhead reads; `resource_version` is opaque, as Kubernetes defines it."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resource_version: str = ""
    generation: int = 0
