"""Where one lab keeps what it has: its directory, its namespaces' names, and what it wrote down before it began."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.lab.topology import Topology, plan

ROOT = Path("/run/pierhead/lab")
DEFAULT_NAME = "default"

_STATE = "lab.json"


class LabError(Exception):
    """A lab cannot do what it was asked; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Place:
    """Names and paths of one lab; the default lab's namespaces have bare names."""

    name: str = DEFAULT_NAME
    root: Path = ROOT

    @property
    def directory(self) -> Path:
        """Everything this lab writes is below it."""
        return self.root / self.name

    @property
    def site(self) -> Path:
        """The directory store that feeds the site."""
        return self.directory / "site"

    @property
    def log(self) -> Path:
        """Where the programs' output goes."""
        return self.directory / "log"

    def machine(self, machine: str) -> Path:
        """The private directory of a machine: its settings, sockets, caches."""
        return self.directory / "machine" / machine

    def namespace(self, machine: str) -> str:
        """The network namespace a machine lives in."""
        return machine if self.name == DEFAULT_NAME else f"{self.name}-{machine}"


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """What is written down before anything is made, so that a crash leaves nothing unknown behind."""

    hosts: int
    namespaces: tuple[str, ...]

    @property
    def topology(self) -> Topology:
        """The site this lab was made as."""
        return plan(self.hosts)


def write_state(place: Place, hosts: int, namespaces: Iterable[str]) -> None:
    """Write down what is about to be made."""
    write(place.directory / _STATE, json.dumps(asdict(SiteRecord(hosts, tuple(namespaces))), indent=2))


def read_state(place: Place) -> SiteRecord | None:
    """What was written down, or None where there is no such lab."""
    try:
        content = json.loads((place.directory / _STATE).read_text())
    except FileNotFoundError:
        return None
    return SiteRecord(int(content["hosts"]), tuple(content["namespaces"]))


def require_state(place: Place) -> SiteRecord:
    """What was written down; raises LabError where there is no such lab."""
    state = read_state(place)
    if state is None:
        named = "" if place.name == DEFAULT_NAME else f" --name {place.name}"
        raise LabError(f"there is no lab {place.name!r}; start it with: pierhead lab up{named}")
    return state


def write(path: Path, text: str) -> None:
    """Replace a file's content at once, making its directory where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def clear(place: Place) -> None:
    """Remove the lab's directory, and the parents that are left empty."""
    shutil.rmtree(place.directory, ignore_errors=True)
    for parent in (place.root, place.root.parent):
        try:
            parent.rmdir()
        except OSError:
            return
