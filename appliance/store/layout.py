"""Where a directory store keeps what: operators' files anywhere, programs' below `.pierhead`."""

from pathlib import Path
from urllib.parse import quote

from appliance.api.kind import KINDS_BY_TITLE
from appliance.api.meta import Ref

OWN = ".pierhead"
SUFFIXES = (".yaml", ".yml")


class Layout:
    """The paths of one store; they are text because tens of thousands of them are compared."""

    def __init__(self, root: Path) -> None:
        self.root = str(root.absolute())
        self.own = f"{self.root}/{OWN}"
        self.overlays = f"{self.own}/status"
        self.lock = f"{self.own}/lock"
        self.next = f"{self.own}/next"

    def object_path(self, ref: Ref) -> str:
        """The file of an object that a program made."""
        return f"{self.own}/{_plural(ref)}/{_file_name(ref)}"

    def overlay_path(self, ref: Ref) -> str:
        """The file of the status a program gave to an operator's object."""
        return f"{self.overlays}/{_plural(ref)}/{_file_name(ref)}"

    def is_own(self, path: str) -> bool:
        """Whether a path is a program's."""
        return path.startswith(f"{self.own}/")

    def is_overlay(self, path: str) -> bool:
        """Whether a path is that of a status overlay."""
        return path.startswith(f"{self.overlays}/")

    def is_manifest(self, path: str) -> bool:
        """Whether a path is one that objects are read from."""
        below = path.removeprefix(f"{self.own}/" if self.is_own(path) else f"{self.root}/")
        return below.endswith(SUFFIXES) and not below.startswith(".") and "/." not in below


def _plural(ref: Ref) -> str:
    return KINDS_BY_TITLE[ref.kind].plural


def _file_name(ref: Ref) -> str:
    """Distinct for distinct names, and never a way out of the folder or a hidden file, whatever the name holds."""
    name = quote(ref.name, safe="")
    if ref.namespace:
        name = f"{quote(ref.namespace, safe='').replace('.', '%2E')}.{name}"
    return f"{'%2E' + name[1:] if name.startswith('.') else name}.yaml"
