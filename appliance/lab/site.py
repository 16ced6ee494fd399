"""What the lab's hosts are fed from: by default a site directory, with what stands in for the cluster around it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol, cast

from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.manifest import Document, contents_of, parse, to_text
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source, locate
from appliance.api.yaml import dump_documents
from appliance.config.compile import compile_config
from appliance.lab import cluster
from appliance.lab.place import LabError, Place, write
from appliance.lab.topology import Topology
from appliance.store.open import open_store

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


class Cluster(Protocol):
    """Where users of a lab apply manifests, what its programs read, and who says which backends are ready."""

    @property
    def allocator_store(self) -> str:
        """The store's URL, as the allocator names it."""

    def host_store(self, host: str) -> str:
        """The store's URL, as the programs of a host name it."""

    def prepare(self) -> None:
        """Make the store, and in it what a cluster would know of the lab."""

    def apply(self, paths: Iterable[Path]) -> SiteChange:
        """Add or replace the objects of some files, all or none; raises SiteError with every problem."""

    def delete(self, paths: Iterable[Path]) -> SiteChange:
        """Remove the objects that some files name, all or none; raises SiteError with every problem."""

    def set_ready(self, backends: Iterable[str], ready: bool) -> None:
        """Say of some backends whether they are ready; raises LabError for a backend that is not there."""

    async def addresses(self, service: str) -> tuple[str, ...]:
        """The addresses in the status of a Service of the default namespace; none where there is no such Service."""

    def close(self) -> None:
        """Let go of what `prepare` holds; before the lab's machines are taken down."""

    def take_away(self) -> None:
        """Make the store unreachable for everybody."""

    def bring_back(self) -> None:
        """Make it reachable again."""


@dataclass(frozen=True, slots=True)
class FolderCluster:
    """A site directory: what users apply, one file an object, and the Nodes and EndpointSlices a cluster would have."""

    place: Place
    topology: Topology

    @property
    def allocator_store(self) -> str:
        """The folder, which is the same for all."""
        return f"directory:{self.place.site}"

    def host_store(self, host: str) -> str:  # noqa: ARG002  # all machines of the lab share one file system
        """The folder."""
        return self.allocator_store

    def prepare(self) -> None:
        """Make the site directory with the Nodes of the lab in it."""
        for node in cluster.nodes(self.topology):
            write(_own_file(self.place, node), to_text((node,)))

    def apply(self, paths: Iterable[Path]) -> SiteChange:
        """Write each object into a file, where all of the site together has no mistake."""
        given = read_manifests(paths)
        wanted = _present(self.place) | {ref_of(document.manifest): document.manifest for document in given.documents}
        warnings = _check(wanted, given.sources)
        for ref, content in given.contents.items():
            write(_user_file(self.place, ref), dump_documents([content]))
        self._write_slices(wanted.values())
        return SiteChange(tuple(given.contents), given.passed_over, warnings)

    def delete(self, paths: Iterable[Path]) -> SiteChange:
        """Remove the files of the objects, where what is left has no mistake."""
        given = read_manifests(paths)
        present = _present(self.place)
        gone = tuple(ref for ref in given.contents if ref in present)
        left = {ref: manifest for ref, manifest in present.items() if ref not in gone}
        warnings = _check(left, {})
        for ref in gone:
            _user_file(self.place, ref).unlink(missing_ok=True)
        self._write_slices(left.values())
        return SiteChange(gone, given.passed_over, warnings)

    def set_ready(self, backends: Iterable[str], ready: bool) -> None:
        """Say it in the EndpointSlices."""
        named = require_backends(self.topology, backends)
        now = unready(self.place) - named if ready else unready(self.place) | named
        write(self.place.directory / _UNREADY, json.dumps(sorted(now)))
        self._write_slices(_present(self.place).values())

    async def addresses(self, service: str) -> tuple[str, ...]:
        """As the Service's file and the status beside it say."""
        listing = await open_store(self.allocator_store).list(frozenset((Kind.SERVICE,)))
        found = listing.objects.get(Ref("Service", "default", service))
        ingress = found.status.load_balancer.ingress if isinstance(found, Service) else ()
        return tuple(entry.ip for entry in ingress if entry.ip)

    def close(self) -> None:
        """Nothing is held."""

    def take_away(self) -> None:
        """Rename the folder."""
        self.place.site.rename(self._away)

    def bring_back(self) -> None:
        """Give it its name back."""
        self._away.rename(self.place.site)

    @property
    def _away(self) -> Path:
        return self.place.site.with_name(f"{self.place.site.name}.away")

    def _write_slices(self, applied: Iterable[Object]) -> None:
        """Bring the EndpointSlices to what the Services among the objects users applied and the backends are now."""
        services = [manifest for manifest in applied if isinstance(manifest, Service)]
        wanted = {
            _own_file(self.place, manifest): to_text((manifest,))
            for manifest in cluster.slices(self.topology, services, unready(self.place))
        }
        for path in (self.place.site / _OWN).glob("endpointslice.*"):
            if path not in wanted:
                path.unlink()
        for path, text in wanted.items():
            if not path.exists() or path.read_text() != text:
                write(path, text)


def require_backends(topology: Topology, backends: Iterable[str]) -> frozenset[str]:
    """Some backends' names; raises LabError for one that is not there."""
    named = frozenset(backends)
    unknown = named - {backend.name for backend in topology.backends}
    if unknown:
        raise LabError(f"there is no backend {', '.join(sorted(unknown))}")
    return named


def unready(place: Place) -> frozenset[str]:
    """The backends said not to be ready."""
    try:
        return frozenset(json.loads((place.directory / _UNREADY).read_text()))
    except FileNotFoundError:
        return frozenset()


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
class Given:
    """What some files hold: typed, and as it was written."""

    documents: tuple[Document, ...]
    contents: Mapping[Ref, dict[str, object]]
    passed_over: tuple[Ref, ...]

    @property
    def sources(self) -> dict[Ref, Source]:
        """Where each object was written."""
        return {ref_of(document.manifest): document.source for document in self.documents}


def read_manifests(paths: Iterable[Path]) -> Given:
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
    return Given(tuple(documents), contents, tuple(passed_over))


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
