"""What is read of a kind, and its pages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from appliance.api.kind import Kind
from appliance.store.kubernetes.connection import Connection, Content, Verb
from appliance.store.kubernetes.resource import collection_path, raw_metadata

_PAGE_OBJECTS = 500
_OPTIONAL_GROUP = "metallb.io/"


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of one kind, in one namespace ("" = all), of one name ("" = all)."""

    kind: Kind
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        within = f" in {self.namespace}" if self.namespace else ""
        named = f" named {self.name}" if self.name else ""
        return f"{self.kind.plural}{within}{named}"

    @property
    def query(self) -> dict[str, str]:
        """What a list and a watch of them ask for."""
        return {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}

    @property
    def path(self) -> str:
        """Where they are."""
        return collection_path(self.kind, self.namespace)

    @property
    def may_be_absent(self) -> bool:
        """Whether a server may be without this kind: MetalLB's need not be there, ours and Kubernetes' must."""
        return self.kind.api_version.startswith(_OPTIONAL_GROUP)

    @property
    def may_be_forbidden(self) -> bool:
        """Whether a reader goes on without: one that may see no Secret has none, and keeps what it knew."""
        return self.kind is Kind.SECRET


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects as they were sent; with the last of them the version that all are of."""

    items: tuple[Content, ...]
    version: str


async def pages(connection: Connection, selection: Selection) -> AsyncIterator[Page]:
    """All objects, page by page; raises ExpiredError where the server forgot the first before the last was read."""
    query = {**selection.query, "limit": str(_PAGE_OBJECTS)}
    while True:
        content = await connection.request(Verb.LIST, selection.path, query=query, subject=str(selection))
        metadata = raw_metadata(content)
        items = cast(list[Content], content.get("items") or [])
        yield Page(tuple(items), str(metadata.get("resourceVersion", "")))
        if not metadata.get("continue"):
            return
        query["continue"] = str(metadata["continue"])
