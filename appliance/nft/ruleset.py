"""A plan as one nftables text, marked so that the kernel can be asked whether it still has it."""

import hashlib
from dataclasses import dataclass

from appliance.api.address import Family
from appliance.nft.ingress import render_ingress
from appliance.nft.model import Plan
from appliance.nft.routed import render_routed
from appliance.nft.syntax import TABLE, chain

FAMILIES = ("netdev", "ip", "ip6")


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Text that `nft -f` takes as a whole, and the digest of what it says."""

    text: str
    digest: str


def render(plan: Plan) -> Ruleset:
    """The three tables; each has an empty chain whose name carries the digest of all."""
    tables = [render_ingress(plan), *(render_routed(plan, family) for family in Family)]
    digest = hashlib.sha256("".join(tables).encode()).hexdigest()[:16]
    marks = (f"table {family} {TABLE} {{\n{chain(mark_of(digest), ())}\n}}\n" for family in FAMILIES)
    return Ruleset("".join([*tables, *marks]), digest)


def render_removal() -> str:
    """Text that removes the three tables, whether they are there or not."""
    return "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in FAMILIES)


def mark_of(digest: str) -> str:
    """The name of the chain that marks a table as part of a ruleset."""
    return f"revision_{digest}"


def digest_of(mark: str) -> str | None:
    """The digest in a chain's name, or None for any other chain."""
    return mark.removeprefix("revision_") if mark.startswith("revision_") else None
