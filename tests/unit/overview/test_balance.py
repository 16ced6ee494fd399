"""VIPs that are to change hands, by the rules the allocator plans by."""

from appliance.advertise.plan import CandidateOrder
from appliance.overview.action import Obstacle, Replan, preview
from appliance.overview.balance import replanned
from appliance.overview.sentence import told
from appliance.overview.site import Site
from tests.unit.overview.test_site import objects

POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: p, namespace: metallb-system}
spec: {addresses: [192.0.2.0/28]}
"""
AD = """
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
spec: {SPEC}
"""
HOST = """
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {name: NAME, labels: {rack: NAME}}
spec: {drain: DRAIN}
"""
HELD = """
apiVersion: v1
kind: Service
metadata: {name: sNUMBER, namespace: d}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sNUMBER, namespace: d, labels: {kubernetes.io/service-name: sNUMBER}}
endpoints: [{addresses: [10.244.1.1], nodeName: a}]
---
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 192.0.2.NUMBER}
spec:
  address: 192.0.2.NUMBER
  pool: p
  services: [{namespace: d, name: sNUMBER}]
  layer2: {candidates: [a, b, c]}
status: {owner: {host: OWNER, epoch: 1}}
"""


def plan(owners: str, *, drained: str = "", ad: str = "{}", order: CandidateOrder = CandidateOrder.SPREAD) -> Replan:
    """What is to move of VIPs that these hosts own, on a site of three hosts."""
    texts = [POOL, AD.replace("{SPEC}", ad)]
    texts += [HOST.replace("NAME", host).replace("DRAIN", str(host in drained).lower()) for host in "abc"]
    texts += [
        HELD.replace("NUMBER", str(number)).replace("OWNER", owner) for number, owner in enumerate(owners, start=1)
    ]
    listed = objects("---".join(texts))
    site = Site()
    site.begin(listed)
    return replanned(site, listed, order)


def successors(made: Replan) -> dict[str, str]:
    """Where each VIP that moves goes."""
    return {str(move.address): move.successor for move in made.moves}


def test_after_a_failure_hosts_carry_evenly_again() -> None:
    """Host a took everything over; now each is as good as the other."""
    assert successors(plan("aaa")) == {"192.0.2.1": "b", "192.0.2.2": "c"}
    assert successors(plan("abc")) == {}


def test_a_drained_host_gets_nothing() -> None:
    """Of three hosts one is not able."""
    assert successors(plan("aaa", drained="b")) == {"192.0.2.1": "c"}


def test_a_host_that_no_advertisement_selects_gives_what_it_has() -> None:
    """However even the loads were."""
    only_b = "{nodeSelectors: [{matchLabels: {rack: b}}]}"
    assert successors(plan("abc", ad=only_b)) == {"192.0.2.1": "b", "192.0.2.3": "b"}


def test_by_metallbs_order_each_vip_has_one_place() -> None:
    """The digest names it; loads play no part."""
    first = plan("aaaaaa", order=CandidateOrder.HASH)
    places = {str(move.address): move.successor for move in first.moves}
    owners = "".join(places.get(f"192.0.2.{number}", "a") for number in range(1, 7))
    assert successors(plan(owners, order=CandidateOrder.HASH)) == {}
    assert len(set(owners)) > 1


def test_a_plan_in_words() -> None:
    """How many go where; one that is done is said to be."""
    made = plan("aaa")
    listed = objects("---".join([*(HOST.replace("NAME", host).replace("DRAIN", "false") for host in "abc")]))
    vips = objects("---".join(HELD.replace("NUMBER", str(number)).replace("OWNER", "a") for number in (1, 2, 3)))
    site = Site()
    site.begin([*listed, *vips])
    assert told(preview(site, made)) == ("2 VIPs change hands, one after the other: 1 to b, 1 to c",)
    assert preview(site, plan("abc")).obstacle is Obstacle.AS_PLANNED
    site.begin([*listed, *objects(HELD.replace("NUMBER", "1").replace("OWNER", "c")), *vips[3:]])
    assert [str(move.address) for move in preview(site, made).moves] == ["192.0.2.2"]
