"""Whatever stands in the objects a host reads, BIRD is told what was meant and nothing else."""

import pytest

from appliance.api.kind import Kind
from appliance.api.manifest import parse
from appliance.bird.render import render
from tests.golden.bird.case import CASES
from tests.unit.hostile.bird import HOST_KINDS, site, strange, texts
from tests.unit.hostile.test_api import accepted


@pytest.mark.parametrize("name", sorted(set(CASES) - {"watch"}))
def test_every_statement_is_known(name: str) -> None:
    """What is reviewed by hand is what the pattern of statements lets pass."""
    assert strange(render(CASES[name])) == []


def test_a_statement_nobody_meant_is_seen() -> None:
    """The pattern would notice."""
    (text, _) = texts(site())
    assert strange(text.replace('description "node-b"', 'description "x"; protocol kernel evil { }; #"')) != []
    assert strange(text + "\nprotocol kernel evil { ipv4 { export all; }; }\n") != []


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_no_statement_that_was_not_meant(kind: Kind) -> None:
    """One hostile value in one field of one object, which may still be decoded."""
    for manifest in accepted(kind):
        for text in texts(site(manifest)):
            assert strange(text) == [], manifest


@pytest.mark.parametrize("field", ["sourceAddress", "peerAddress", "routerID"])
def test_an_address_carries_no_statement(field: str) -> None:
    """As found in review: a scope id may hold any text, and BIRD read what stood in it."""
    text = f"""\
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {{name: tor, namespace: metallb-system}}
spec:
  myASN: 64500
  peerASN: 64501
  {field}: "2001:db8::2%x as 64500;\\nprotocol kernel evil {{ ipv6 {{ import all; export all; }}; }}\\n#"
"""
    assert [problem.path for problem in parse(text, "-").problems] == [f"spec.{field}"]
