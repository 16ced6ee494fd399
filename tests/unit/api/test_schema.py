"""The schemas that the API server gets are structural, and say what the types say."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from appliance.api.kind import Kind
from appliance.api.manifest import adapter
from appliance.api.pierhead import Layer2, Mode, Route, VirtualIPService, overview_of
from appliance.api.rule import OBJECT_RULES, UNCHANGED_FIELDS
from appliance.api.schema import custom_resource_definition, object_schema, served_kinds

_FORBIDDEN = frozenset(
    {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "title", "const", "nullable", "exclusiveMaximum"}
)


def nodes(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, by its path."""
    yield path, schema
    for name, entry in schema.get("properties", {}).items():
        yield from nodes(entry, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("kind", served_kinds())
def test_a_schema_is_structural(kind: Kind) -> None:
    """Every node has one type and nothing refers elsewhere; nothing that nobody knows is kept."""
    for path, node in nodes(object_schema(kind)):
        assert node["type"] in ("object", "array", "string", "integer", "boolean"), path
        assert not _FORBIDDEN & node.keys(), path
        assert "x-kubernetes-preserve-unknown-fields" not in node, path


@pytest.mark.parametrize("kind", served_kinds())
def test_a_rule_stands_where_every_list_above_it_has_an_end(kind: Kind) -> None:
    """Elsewhere the API server could not bound its cost."""
    schemas = dict(nodes(object_schema(kind)))
    for path, node in schemas.items():
        lists = [path[:at] for at in range(len(path)) if path[at:].startswith("[]")]
        if "x-kubernetes-validations" in node:
            assert all("maxItems" in schemas[above] for above in lists), path


def test_every_object_rule_is_of_a_type_that_is_served() -> None:
    """A type that is called otherwise would lose its rules without a word."""
    schemas = [adapter(kind).json_schema() for kind in served_kinds()]
    titles = {title for schema in schemas for title in (schema["title"], *schema.get("$defs", {}))}
    assert (OBJECT_RULES.keys() | UNCHANGED_FIELDS.keys()) - titles == set()


@pytest.mark.parametrize("kind", served_kinds())
def test_a_definition_is_named_as_the_api_server_wants(kind: Kind) -> None:
    """Plural and group, one version that is stored, and a status of its own."""
    definition = custom_resource_definition(kind)
    versions = definition["spec"]["versions"]
    assert definition["metadata"]["name"] == f"{kind.plural}.{definition['spec']['group']}"
    assert definition["spec"]["scope"] == ("Namespaced" if kind.namespaced else "Cluster")
    assert [version["name"] for version in versions if version["storage"]] == [kind.api_version.partition("/")[2]]
    assert all(version["subresources"] == {"status": {}} for version in versions)


def test_both_versions_of_a_peer_have_one_schema() -> None:
    """Without a webhook a version is only a name: what one of them did not know would be lost on its way."""
    old, new = custom_resource_definition(Kind.BGP_PEER)["spec"]["versions"]
    assert (old["name"], old["deprecated"], new["name"], new["storage"]) == ("v1beta1", True, "v1beta2", True)
    assert old["schema"] == new["schema"]


def test_fields_are_called_as_manifests_call_them() -> None:
    """Also where a docstring speaks of them."""
    schema = object_schema(Kind.VIRTUAL_IP)["properties"]["spec"]
    assert "`renewedFor`" in schema["description"]


@pytest.mark.parametrize(
    ("layer2", "bgp", "mode"),
    [
        (None, (), Mode.NONE),
        (Layer2(), (), Mode.LAYER2),
        (None, ("192.0.2.1/32",), Mode.BGP),
        (Layer2(), ("192.0.2.1/32",), Mode.BOTH),
    ],
)
def test_the_mode_of_a_vip(layer2: Layer2 | None, bgp: tuple[str, ...], mode: Mode) -> None:
    """How it is announced, if at all."""
    routes = [Route(prefix=ip_network(prefix)) for prefix in bgp]
    assert overview_of((), layer2, routes).mode is mode


def test_the_services_of_a_vip() -> None:
    """By namespace and name; what is longer than a text may be is cut as it is when it is read back."""
    services = [VirtualIPService(namespace="shop", name=f"echo-{number}") for number in range(200)]
    assert overview_of(services[:2], None, ()).service == "shop/echo-0,shop/echo-1"
    assert len(overview_of(services, None, ()).service) == 1024
