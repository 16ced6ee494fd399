"""Properties of the text that hold for every plan."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from appliance.api.address import Family
from appliance.forward.plan import ForwardPlan
from appliance.nft.ingress import render_ingress
from appliance.nft.routed import render_routed
from appliance.nft.ruleset import FAMILIES, digest_of, mark_of, render
from tests.golden.nft.case import CASES

PLANS = pytest.mark.parametrize("planned", CASES.values(), ids=CASES)


@PLANS
def test_text_is_the_same_for_the_same_plan(planned: ForwardPlan) -> None:
    """The digest stands for the text."""
    assert render(planned) == render(replace(planned))


def test_different_plans_have_different_digests() -> None:
    """No two rulesets are taken for one another."""
    assert len({render(planned).digest for planned in CASES.values()}) == len(CASES)


@PLANS
def test_every_table_is_replaced_and_marked(planned: ForwardPlan) -> None:
    """A table is created if missing, deleted, written anew, and carries the digest."""
    ruleset = render(planned)
    for family in FAMILIES:
        assert f"table {family} pierhead\ndelete table {family} pierhead\ntable {family} pierhead {{" in ruleset.text
    assert ruleset.text.count(f"chain {mark_of(ruleset.digest)} ") == len(FAMILIES)


@PLANS
def test_braces_are_never_empty(planned: ForwardPlan) -> None:
    """nft 1.0.6 refuses `{ }` where elements are expected."""
    assert not re.search(r"(vmap|elements =|devices =|map|iifname) \{\s*\}", render(planned).text)


@PLANS
@pytest.mark.parametrize(
    "table",
    [
        render_ingress,
        lambda planned: render_routed(planned, Family.IPV4),
        lambda planned: render_routed(planned, Family.IPV6),
    ],
    ids=["ingress", "ipv4", "ipv6"],
)
def test_every_name_used_is_defined_once(table: Callable[[ForwardPlan], str], planned: ForwardPlan) -> None:
    """Each chain gone to and each set asked stands in the same table."""
    text = table(planned)
    defined = re.findall(r"^\t(chain|map|set|counter) (\S+) \{", text, re.MULTILINE)
    used = re.findall(r"goto ([\w.-]+)|@([a-z]\w*_?[\w.-]*)|counter name (\w+)", text)
    names = {name for group in used for name in group if name and not name.startswith(("th", "nh"))}
    assert len(defined) == len(set(defined))
    assert names <= {name for _, name in defined}


def test_a_mark_is_read_back() -> None:
    """The digest of a chain's name, and of no other name."""
    assert digest_of(mark_of("0123456789abcdef")) == "0123456789abcdef"
    assert digest_of("ingress") is None
