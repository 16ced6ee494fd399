"""Community aliases, and the communities that advertisements name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from appliance.api import metallb
from appliance.api.community import CommunityNumber, parse_community
from appliance.api.kind import ref_of
from appliance.api.meta import Ref
from appliance.api.problem import Problem


def _parse(text: str) -> CommunityNumber | None:
    try:
        return parse_community(text)
    except ValueError:
        return None


def aliases_of(manifests: Iterable[metallb.Community]) -> dict[str, CommunityNumber]:
    """What each alias stands for; the first to take a name keeps it."""
    aliases: dict[str, CommunityNumber] = {}
    for manifest in manifests:
        for entry in manifest.spec.communities:
            value = _parse(entry.value)
            if value is not None:
                aliases.setdefault(entry.name, value)
    return aliases


def community_problems(manifests: Iterable[metallb.Community]) -> Iterator[Problem]:
    """Aliases defined twice and values that are no communities."""
    taken: dict[str, Ref] = {}
    for manifest in manifests:
        ref = ref_of(manifest)
        for index, entry in enumerate(manifest.spec.communities):
            path = f"spec.communities[{index}]"
            if entry.name in taken:
                yield Problem(ref, f"{path}.name", f"alias {entry.name!r} is defined by {taken[entry.name]} already")
            taken.setdefault(entry.name, ref)
            if _parse(entry.value) is None:
                sentence = f"{entry.value!r} is not a community such as 64500:100 or large:64500:1:2"
                yield Problem(ref, f"{path}.value", sentence)


def resolve(names: Iterable[str], aliases: Mapping[str, CommunityNumber]) -> tuple[CommunityNumber, ...]:
    """The communities that texts or aliases stand for, sorted, each once; unknown ones are left out."""
    found = (_parse(name) or aliases.get(name) for name in names)
    return tuple(sorted({community for community in found if community is not None}))


def reference_problems(ref: Ref, names: Sequence[str], aliases: frozenset[str]) -> Iterator[Problem]:
    """Entries of an advertisement that are neither a community nor the alias of one."""
    for index, name in enumerate(names):
        if _parse(name) is None and name not in aliases:
            sentence = f"{name!r} is neither a community nor an alias that a Community object defines"
            yield Problem(ref, f"spec.communities[{index}]", sentence)
