"""The store that is a Kubernetes API server.

A write is made of the API's own parts, each so that it does what `store.protocol` says and nothing else:

| write | request | why |
|---|---|---|
| create | POST | the one request that refuses a second object of a name |
| the spec | JSON patch of `/spec` as a whole | replaces what anybody wrote, and never makes an object |
| labels and annotations | server-side apply | each manager has its own |
| the status | server-side apply of the status subresource | likewise; of a Service with its labels and annotations |

Server-side apply counts what a manager wrote by another kind of request as another's, and leaves what two managers
wrote while one of them has it. Where that leaves more than the write asked for, a second patch takes it away.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import cast

from pydantic.alias_generators import to_camel

from appliance.api.core import Service
from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, kind_of, ref_of
from appliance.api.manifest import encode
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.change import MetadataKey, checked, empty_status, with_status
from appliance.store.kubernetes.connection import Connection, Content, ExpiredError, Verb
from appliance.store.kubernetes.reading import Reading
from appliance.store.kubernetes.reflector import PATIENCE_SECONDS, Reflector
from appliance.store.kubernetes.resource import (
    collection_path,
    decoded,
    entries_of,
    grouped,
    keys_of,
    object_path,
    raw_metadata,
    raw_ref,
)
from appliance.store.kubernetes.selection import Selection, pages
from appliance.store.protocol import Changes, Listing, StoreError
from appliance.store.scope import EVERYTHING, Scope

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_SLICE = 50
_TRIES = 5
# Kubernetes' own, of which we read a part: replacing the whole by it would take the rest away.
_PARTIAL = frozenset({Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE, Kind.NAMESPACE})


class KubernetesStore:
    """Objects of one API server; `scopes` says of which kinds not everything is asked for.

    A watch that cannot be brought back within `patience_seconds` fails.
    """

    def __init__(
        self,
        connection: Connection,
        scopes: Mapping[Kind, Scope] = MappingProxyType({}),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.connection = connection
        self._scopes = scopes
        self._patience_seconds = patience_seconds

    async def get(self, ref: Ref) -> Object:
        """The object of a name."""
        return decoded(KINDS_BY_TITLE[ref.kind], await self._read(ref))

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """All objects of some kinds; one that may be absent and is has none."""
        objects: dict[Ref, Object] = {}
        unreadable: set[Ref] = set()
        async with self.connection.held():
            for selection in self._selections(kinds):
                for content in await self._contents(selection):
                    try:
                        manifest = decoded(selection.kind, content)
                    except StoreError:
                        unreadable.add(raw_ref(selection.kind, content))
                        continue
                    objects[ref_of(manifest)] = manifest
                    if len(objects) % _SLICE == 0:
                        await asyncio.sleep(0)
        return Listing(objects, frozenset(unreadable))

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Changes]:
        """All objects first, then what changes; a gap of a few seconds is bridged inside."""
        selections = self._selections(kinds)
        reading = Reading(kinds, selections)
        async with self.connection.held(), asyncio.TaskGroup() as group:
            tasks = []
            for number, selection in enumerate(selections):
                reflector = Reflector(self.connection, selection, reading, self._patience_seconds)
                # A server that is away is asked by one, not by all at once.
                run = reading.follow(reflector) if number == 0 else reading.follow_others(reflector)
                tasks.append(group.create_task(run, name=f"watch {selection}"))
            try:
                while reading.failure is None:
                    if (changes := reading.take()) is not None:
                        yield changes
                    else:
                        await reading.wait()
            except GeneratorExit:
                # Raised on, it would come out of the group as a group of exceptions.
                return
            finally:
                for task in tasks:
                    task.cancel()
        raise reading.failure

    async def create(self, manifest: Object, manager: str) -> Object:
        """Add an object of a new name."""
        kind, ref = kind_of(manifest), ref_of(manifest)
        body = encode(checked(manifest))
        body.pop("status", None)
        body["metadata"] = {name: field for name, field in raw_metadata(body).items() if name != "resourceVersion"}
        path = collection_path(kind, ref.namespace)
        content = await self.connection.request(Verb.CREATE, path, query=_by(manager), body=body, subject=ref)
        return decoded(kind, content)

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Write the spec, then labels and annotations where they are not as they shall be."""
        kind, ref = kind_of(manifest), ref_of(manifest)
        wanted = checked(manifest)
        if kind in _PARTIAL:
            return await self._apply_to_partial(wanted, manager)
        encoded = encode(wanted)
        patch = [*_version_check(wanted)]
        for field in fields(wanted):
            if field.name not in ("metadata", "status"):
                name = to_camel(field.name)
                empty: Content | None = {} if name == "spec" else None
                patch.append({"op": "add", "path": f"/{name}", "value": encoded.get(name, empty)})
        content = await self._patch(ref, patch, _JSON_PATCH, _by(manager))
        return decoded(kind, await self._bring_metadata(content, wanted, manager))

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Write labels and annotations."""
        kind, ref = kind_of(manifest), ref_of(manifest)
        content = await self._read(ref)
        _check_version(content, manifest)
        return decoded(kind, await self._bring_metadata(content, manifest, manager))

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status, and the labels and annotations with it where asked: of a Service in the same request."""
        kind, ref = kind_of(manifest), ref_of(manifest)
        wanted = checked(manifest)
        if empty_status(wanted) is None:
            content = await self._read(ref)
            _check_version(content, wanted)
            return decoded(kind, content)
        is_one = with_metadata and kind is Kind.SERVICE
        keys = keys_of(encode(wanted)) if is_one else {}
        status = cast(Content, encode(wanted).get("status", {}))
        version = wanted.metadata.resource_version
        body = _applied(wanted, keys, {"resourceVersion": version} if version else {})
        # An empty one is left out: beside no status it would make a new version that says the same.
        body |= {"status": status} if status else {}
        content = await self._patch(ref, body, _APPLY, _by(manager, force=True), "status")
        if not _is_status(content, wanted):
            content = await self._replace_status(ref, status, manager)
        if is_one:
            content = await self._let_go(content, keys, manager, ref)
        elif with_metadata:
            content = await self._bring_metadata(content, wanted, manager)
        return decoded(kind, content)

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object."""
        body = {"preconditions": {"resourceVersion": resource_version}} if resource_version else None
        await self.connection.request(Verb.DELETE, object_path(ref), body=body, subject=ref)

    def _selections(self, kinds: frozenset[Kind]) -> tuple[Selection, ...]:
        scopes = [(kind, self._scopes.get(kind, EVERYTHING)) for kind in Kind if kind in kinds]
        return tuple(
            Selection(kind, namespace, scope.name) for kind, scope in scopes for namespace in scope.namespaces or ("",)
        )

    async def _contents(self, selection: Selection) -> tuple[Content, ...]:
        """All objects of a selection as they were sent; begins anew where the server forgot what a page began with."""
        for is_last in (False, False, True):
            contents: tuple[Content, ...] = ()
            try:
                async for page in pages(self.connection, selection):
                    contents += page.items
                return contents
            except ExpiredError:
                if is_last:
                    raise
            except StoreError as error:
                if error.refusal is StoreRefusal.NOT_FOUND and selection.may_be_absent:
                    return ()
                raise
        return ()

    async def _read(self, ref: Ref) -> Content:
        return await self.connection.request(Verb.GET, object_path(ref), subject=ref)

    async def _patch(
        self, ref: Ref, body: object, content_type: str, query: Mapping[str, str], subresource: str = ""
    ) -> Content:
        path = object_path(ref, subresource)
        return await self.connection.request(
            Verb.PATCH, path, query=query, body=body, content_type=content_type, subject=ref
        )

    async def _apply_to_partial(self, wanted: Object, manager: str) -> Object:
        """Only labels and annotations: the spec of such a kind is its user's."""
        kind, ref = kind_of(wanted), ref_of(wanted)
        content = await self._read(ref)
        _check_version(content, wanted)
        present = decoded(kind, content)
        if with_status(replace(present, metadata=wanted.metadata), getattr(wanted, "status", None)) != wanted:
            raise StoreError(StoreRefusal.READ_ONLY, ref)
        return decoded(kind, await self._bring_metadata(content, wanted, manager))

    async def _bring_metadata(self, content: Content, wanted: Object, manager: str) -> Content:
        """Let a manager have exactly the labels and annotations of an object, which is now as `content` says."""
        ref, keys = ref_of(wanted), keys_of(encode(wanted))
        version = wanted.metadata.resource_version
        for tries_left in range(_TRIES, 0, -1):
            if _has(content, keys, manager):
                return content
            metadata = raw_metadata(content)
            # The uid keeps a server-side apply from making an object that has gone meanwhile.
            own: Content = {"uid": metadata.get("uid")} | (
                {"resourceVersion": metadata["resourceVersion"]} if version else {}
            )
            try:
                stored = await self._patch(ref, _applied(wanted, keys, own), _APPLY, _by(manager, force=True))
                return await self._let_go(stored, keys, manager, ref)
            except StoreError as error:
                if error.refusal not in (StoreRefusal.CONFLICT, StoreRefusal.INVALID):
                    raise
                content = await self._read(ref)
                is_same = raw_metadata(content).get("uid") == metadata.get("uid")
                if version or tries_left == 1 or (is_same and error.refusal is StoreRefusal.INVALID):
                    raise
        return content

    async def _let_go(self, content: Content, keys: Mapping[MetadataKey, str], manager: str, ref: Ref) -> Content:
        """Take away what a manager wrote by other kinds of requests and no longer wants, but for what others have."""
        for tries_left in range(_TRIES, 0, -1):
            entries = entries_of(content)
            own = [entry for entry in entries if entry.manager == manager]
            extra = frozenset[MetadataKey]().union(*(entry.keys for entry in own)) - keys.keys()
            if not extra:
                return content
            others = frozenset[MetadataKey]().union(*(entry.keys for entry in entries if entry.manager != manager))
            left = (entry.without(extra) if entry.manager == manager else entry.content for entry in entries)
            metadata = {
                "resourceVersion": raw_metadata(content)["resourceVersion"],
                "managedFields": [entry for entry in left if entry is not None],
                **grouped(dict.fromkeys(extra - others)),
            }
            try:
                return await self._patch(ref, {"metadata": metadata}, _MERGE_PATCH, _by(manager))
            except StoreError as error:
                if error.refusal is not StoreRefusal.CONFLICT or tries_left == 1:
                    raise
                content = await self._read(ref)
        return content

    async def _replace_status(self, ref: Ref, status: Mapping[str, object], manager: str) -> Content:
        """Write the status whatever others have of it; the one we read in part only as far as we read it."""
        name = "loadBalancer" if ref.kind == Kind.SERVICE.title else ""
        path, value = (f"/status/{name}", status.get(name, {})) if name else ("/status", status)
        patch = [{"op": "add", "path": path, "value": value}]
        return await self._patch(ref, patch, _JSON_PATCH, _by(manager), "status")


def _by(manager: str, *, force: bool = False) -> dict[str, str]:
    return {"fieldManager": manager, **({"force": "true"} if force else {})}


def _applied(manifest: Object, keys: Mapping[MetadataKey, str | None], metadata: Mapping[str, object]) -> Content:
    """A server-side apply's body with these labels and annotations, and such metadata."""
    kind, ref = kind_of(manifest), ref_of(manifest)
    place = {"namespace": ref.namespace} if ref.namespace else {}
    named = {"name": ref.name, **place, **metadata, **grouped(keys)}
    return {"apiVersion": kind.api_version, "kind": kind.title, "metadata": named}


def _version_check(manifest: Object) -> list[Content]:
    """The JSON patch operation that is refused as a conflict where the version is not the present one."""
    version = manifest.metadata.resource_version
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}] if version else []


def _check_version(content: Content, manifest: Object) -> None:
    version = manifest.metadata.resource_version
    if version and version != raw_metadata(content).get("resourceVersion"):
        raise StoreError(StoreRefusal.CONFLICT, ref_of(manifest))


def _has(content: Content, keys: Mapping[MetadataKey, str], manager: str) -> bool:
    """Whether a manager has exactly these labels and annotations."""
    own = frozenset[MetadataKey]().union(*(entry.keys for entry in entries_of(content) if entry.manager == manager))
    return own == keys.keys() and keys.items() <= keys_of(content).items()


def _is_status(content: Content, wanted: Object) -> bool:
    """Whether the status is as it was written; to a Service's ingress the server adds what we leave out."""
    stored = decoded(kind_of(wanted), content)
    if isinstance(wanted, Service) and isinstance(stored, Service):
        one, other = ([entry.ip for entry in each.status.load_balancer.ingress] for each in (stored, wanted))
        return one == other
    return bool(getattr(stored, "status", None) == getattr(wanted, "status", None))
