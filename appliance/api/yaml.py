"""YAML as Kubernetes reads it: duplicate keys refused, no base-60 numbers (`65535:0` is text), no timestamps."""

import re
from collections.abc import Hashable, Iterator

import yaml

BadYAML = yaml.YAMLError

_DEPTH_MAX = 100
_ALIASED_MAX = 100_000
_INTEGER_MAX = 2**64
_INDENT = " " * _DEPTH_MAX
_NESTING = ("[", "{", "- ")
_TOO_DEEP = "it is nested too deeply"


class _Loader(yaml.CSafeLoader):
    """PyYAML's safe loader with YAML 1.2's numbers."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Refuse a key written twice, which YAML 1.2 section 3.2.1.1 forbids and PyYAML passes over."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """Refuse a scalar its tag does not fit, such as `08` or `!!bool maybe`, for which PyYAML raises anything."""
        try:
            found = super().construct_object(node, deep)
            if isinstance(found, int) and not -_INTEGER_MAX <= found <= _INTEGER_MAX:
                raise ValueError
            return found
        except (ValueError, KeyError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"not a value of type {kind}", node.start_mark
            ) from None


_INTEGER = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|nan))$")
_REPLACED = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.CSafeDumper):
    """PyYAML's safe dumper that also quotes a text YAML 1.2 would read as a number, such as `1e3`."""


for _resolver in (_Loader, _Dumper):
    _resolver.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    _resolver.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def load_documents(text: str) -> Iterator[object]:
    """Each document of a text, one after the other; raises BadYAML when it comes to what is no YAML."""
    if "*" in text or _INDENT in text or sum(map(text.count, _NESTING)) > _DEPTH_MAX:
        _check_size(text)
    try:
        yield from yaml.load_all(text, Loader=_Loader)
    except RecursionError:
        raise BadYAML(_TOO_DEEP) from None


def _check_size(text: str) -> None:
    """Refuse what libyaml dies of, and aliases that make a small text a huge or an endless one."""
    try:
        for depth, aliased, event in _sizes(text):
            if depth > _DEPTH_MAX:
                raise _refusal(_TOO_DEEP, event)
            if aliased > _ALIASED_MAX:
                raise _refusal("its aliases make it too large", event)
    except (yaml.scanner.ScannerError, yaml.parser.ParserError, yaml.reader.ReaderError):
        # Whoever loads it is told, after the documents before the mistake.
        return


def _sizes(text: str) -> Iterator[tuple[int, int, yaml.Event]]:
    """How deep each event of a text stands, and how many nodes aliases have added up to it."""
    sizes, aliased = [0], 0
    anchors: dict[str | None, int] = {}
    names: list[str | None] = []
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.AliasEvent():
                if event.anchor in names:
                    raise _refusal("an alias stands within what it names", event)
                aliased += anchors.get(event.anchor, 0)
                sizes[-1] += anchors.get(event.anchor, 0)
            case yaml.CollectionStartEvent():
                names.append(event.anchor)
                sizes.append(1)
            case yaml.CollectionEndEvent():
                anchors[names.pop()] = sizes[-1]
                sizes[-2:] = [sum(sizes[-2:])]
            case yaml.ScalarEvent():
                sizes[-1] += 1
        yield len(names), aliased, event


def _refusal(sentence: str, event: yaml.Event) -> BadYAML:
    mark = event.start_mark
    return yaml.MarkedYAMLError(problem=sentence, problem_mark=mark)  # type: ignore[arg-type]  # libyaml's own mark


def describe(error: BadYAML) -> tuple[str, str]:
    """Where and what: (`line 7`, a sentence) of a YAML error."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        # A key without its colon is noticed on the line after it.
        is_late = error.problem == "could not find expected ':'"
        mark = (error.context_mark if is_late else None) or error.problem_mark
        return f"line {mark.line + 1}", f"not valid YAML: {error.problem}"
    return "", f"not valid YAML: {error}".splitlines()[0]


def dump_documents(documents: list[dict[str, object]]) -> str:
    """Documents as text, keys in the order given."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
