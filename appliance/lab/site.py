"""The lab's site directory: what users apply, one file an object, and what stands in for the cluster around it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import cast

from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.kind import Object, ref_of
from appliance.api.manifest import Document, contents_of, parse, to_text
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source, locate
from appliance.api.yaml import dump_documents
from appliance.config.compile import compile_config
from appliance.lab import cluster
from appliance.lab.place import LabError, Place, write
from appliance.lab.topology import Topology

_OWN = "lab"
_UNREADY = "unready.json"


class SiteError(LabError):
    """Manifests that cannot be applied; the site has not moved."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SiteChange:
    """What an apply or a delete did; `passed_over` are kinds that mean nothing to Pierhead."""

    refs: tuple[Ref, ...]
    passed_over: tuple[Ref, ...] = ()
    warnings: tuple[Problem, ...] = ()


def example(name: str) -> Path:
    """A manifest that comes with the lab."""
    return Path(str(files("appliance.lab") / "manifests" / name))


def prepare(place: Place, topology: Topology) -> None:
    """Make the site directory with the Nodes of the lab in it."""
    for node in cluster.nodes(topology):
        write(_own_file(place, node), to_text((node,)))


def apply(place: Place, topology: Topology, paths: Iterable[Path]) -> SiteChange:
    """Add or replace the objects of some files, all or none; raises SiteError with every problem."""
    given = _read(paths)
    wanted = _present(place) | {ref_of(document.manifest): document.manifest for document in given.documents}
    warnings = _check(wanted, given.sources)
    for ref, content in given.contents.items():
        write(_user_file(place, ref), dump_documents([content]))
    _write_slices(place, topology, wanted.values())
    return SiteChange(tuple(given.contents), given.passed_over, warnings)


def delete(place: Place, topology: Topology, paths: Iterable[Path]) -> SiteChange:
    """Remove the objects that some files name, all or none; raises SiteError with every problem."""
    given = _read(paths)
    present = _present(place)
    gone = tuple(ref for ref in given.contents if ref in present)
    left = {ref: manifest for ref, manifest in present.items() if ref not in gone}
    warnings = _check(left, {})
    for ref in gone:
        _user_file(place, ref).unlink(missing_ok=True)
    _write_slices(place, topology, left.values())
    return SiteChange(gone, given.passed_over, warnings)


def set_ready(place: Place, topology: Topology, backends: Iterable[str], ready: bool) -> None:
    """Say of some backends whether they are ready; raises LabError for a backend that is not there."""
    named = frozenset(backends)
    unknown = named - {backend.name for backend in topology.backends}
    if unknown:
        raise LabError(f"there is no backend {', '.join(sorted(unknown))}")
    now = unready(place) - named if ready else unready(place) | named
    write(place.directory / _UNREADY, json.dumps(sorted(now)))
    _write_slices(place, topology, _present(place).values())


def unready(place: Place) -> frozenset[str]:
    """The backends said not to be ready."""
    try:
        return frozenset(json.loads((place.directory / _UNREADY).read_text()))
    except FileNotFoundError:
        return frozenset()


def _write_slices(place: Place, topology: Topology, applied: Iterable[Object]) -> None:
    """Bring the EndpointSlices to what the Services among the objects users applied and the backends are now."""
    services = [manifest for manifest in applied if isinstance(manifest, Service)]
    wanted = {
        _own_file(place, manifest): to_text((manifest,))
        for manifest in cluster.slices(topology, services, unready(place))
    }
    for path in (place.site / _OWN).glob("endpointslice.*"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            write(path, text)


def _user_file(place: Place, ref: Ref) -> Path:
    return place.site / f"{_stem(ref)}.yaml"


def _own_file(place: Place, manifest: Node | EndpointSlice) -> Path:
    return place.site / _OWN / f"{_stem(ref_of(manifest))}.yaml"


def _stem(ref: Ref) -> str:
    return ".".join(part for part in (ref.kind.lower(), ref.namespace, ref.name) if part)


def _present(place: Place) -> dict[Ref, Object]:
    """What users applied; what can no longer be read is the store's to complain of."""
    paths = sorted(place.site.glob("*.yaml"))
    documents = [document for path in paths for document in parse(path.read_text(), str(path)).documents]
    return {ref_of(document.manifest): document.manifest for document in documents}


@dataclass(frozen=True, slots=True)
class _Given:
    """What some files hold: typed, and as it was written."""

    documents: tuple[Document, ...]
    contents: Mapping[Ref, dict[str, object]]
    passed_over: tuple[Ref, ...]

    @property
    def sources(self) -> dict[Ref, Source]:
        return {ref_of(document.manifest): document.source for document in self.documents}


def _read(paths: Iterable[Path]) -> _Given:
    """What the files hold; raises SiteError with every mistake in their text."""
    documents: list[Document] = []
    contents: dict[Ref, dict[str, object]] = {}
    problems: list[Problem] = []
    passed_over: list[Ref] = []
    for path in paths:
        text = _text(path)
        parsed = parse(text, str(path))
        problems += parsed.problems
        passed_over += parsed.passed_over
        documents += parsed.documents
        if not parsed.problems:
            written = list(contents_of(text))
            for document in parsed.documents:
                content = cast(dict[str, object], written[document.source.document - 1])
                contents[ref_of(document.manifest)] = content
    if problems:
        raise SiteError(tuple(problems))
    return _Given(tuple(documents), contents, tuple(passed_over))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SiteError((Problem(None, "", f"cannot be read: {error}", Source(str(path), 1)),)) from error


def _check(manifests: Mapping[Ref, Object], sources: Mapping[Ref, Source]) -> tuple[Problem, ...]:
    """The warnings of a whole site; raises SiteError where it has problems."""
    compiled = compile_config(manifests.values())
    if compiled.problems:
        raise SiteError(tuple(locate(problem, sources) for problem in compiled.problems))
    return tuple(locate(warning, sources) for warning in compiled.warnings)
