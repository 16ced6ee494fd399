"""Where a directory store keeps what: operators' files anywhere, programs' below `.pierhead`."""

import hashlib
from pathlib import Path
from urllib.parse import quote, unquote

from appliance.api.kind import KINDS_BY_TITLE, Kind
from appliance.api.meta import Ref

OWN = ".pierhead"
SUFFIXES = (".yaml", ".yml")
OWN_SUFFIX = ".json"

# What the allocator makes of other objects alone; a claim and what operators asked of a host are not.
DERIVED = (Kind.BACKENDS, Kind.BGP_SESSION)

# A file's name has 255 bytes at most (NAME_MAX); quoted, the longest namespace and name need more.
_STEM_LENGTH_MAX = 240
_DIGEST_LENGTH = 32

_KINDS_BY_PLURAL = {kind.plural: kind for kind in Kind}


class Layout:
    """The paths of one store; they are text because tens of thousands of them are compared."""

    def __init__(self, root: Path) -> None:
        self.root = str(root.absolute())
        self.own = f"{self.root}/{OWN}"
        # Hidden, so that no program is woken by what another does on its way to a file.
        self.writing = f"{self.own}/.writing"
        self.lock = f"{self.writing}/lock"
        self.next = f"{self.writing}/next"
        self.version = f"{self.writing}/version"
        self.accepted = f"{self.own}/accepted"
        self._own_prefix = f"{self.own}/"
        self._overlay_prefix = f"{self.own}/status/"
        self._derived_prefixes = tuple(f"{self._own_prefix}{kind.plural}/" for kind in DERIVED)

    def object_path(self, ref: Ref) -> str:
        """The file of an object that a program made."""
        return f"{self._own_prefix}{_plural(ref)}/{_file_name(ref)}"

    def overlay_path(self, ref: Ref) -> str:
        """The file of what programs wrote of an operator's object."""
        return f"{self._overlay_prefix}{_plural(ref)}/{_file_name(ref)}"

    def is_own(self, path: str) -> bool:
        """Whether a path is a program's."""
        return path.startswith(self._own_prefix)

    def is_derived(self, path: str) -> bool:
        """Whether a program's file says nothing that its writer could not write again."""
        return self.is_overlay(path) or path.startswith(self._derived_prefixes)

    def is_overlay(self, path: str) -> bool:
        """Whether a path is that of an overlay."""
        return path.startswith(self._overlay_prefix)

    def is_manifest(self, path: str) -> bool:
        """Whether a path is one that objects are read from."""
        if self.is_own(path):
            return path.endswith(OWN_SUFFIX) and path.count("/") > self._own_prefix.count("/")
        below = path[len(self.root) + 1 :]
        return below.endswith(SUFFIXES) and not below.startswith(".") and "/." not in below

    def is_on_the_way(self, path: str) -> bool:
        """Whether a path is the log of accepted texts, or a name that a file has before it has its own."""
        is_hidden = path[path.rfind("/") + 1] == "." and path != self.own
        return path == self.accepted or (is_hidden and not Path(path).is_symlink())

    def is_of(self, path: str, kinds: frozenset[Kind]) -> bool:
        """Whether a program's file is of some kinds; an operator's may hold any, and is of all kinds alone."""
        return _KINDS_BY_PLURAL.get(path.split("/")[-2]) in kinds if self.is_own(path) else len(kinds) == len(Kind)

    def ref_of_path(self, path: str) -> Ref | None:
        """The name a program's file says by its own name; only what cannot be decoded needs it."""
        *_, plural, file = path.split("/")
        kind = _KINDS_BY_PLURAL.get(plural)
        if kind is None:
            return None
        namespace, _, name = file.removesuffix(OWN_SUFFIX).partition(".") if kind.namespaced else ("", "", file)
        return Ref(kind.title, unquote(namespace), unquote(name.removesuffix(OWN_SUFFIX)))


def _plural(ref: Ref) -> str:
    return KINDS_BY_TITLE[ref.kind].plural


def _file_name(ref: Ref) -> str:
    """Distinct for distinct names, and never a way out of the folder or a hidden file, whatever the name holds."""
    stem = quote(ref.name, safe="")
    if ref.namespace:
        stem = f"{quote(ref.namespace, safe='').replace('.', '%2E')}.{stem}"
    if len(stem) > _STEM_LENGTH_MAX:
        digest = hashlib.blake2b(stem.encode(), digest_size=_DIGEST_LENGTH // 2).hexdigest()
        stem = f"{stem[: _STEM_LENGTH_MAX - _DIGEST_LENGTH - 1]}~{digest}"
    return f"{'%2E' + stem[1:] if stem.startswith('.') else stem}{OWN_SUFFIX}"
