"""What compiled pools, advertisements and peers mean."""

from appliance.api.address import Family
from appliance.api.community import CommunityNumber
from appliance.api.kind import Object
from appliance.config.compile import compile_config
from appliance.config.model import Config
from tests.unit.config.test_compile import BFD, BGP, COMMUNITY, DUAL, L2, POOL, TOR, A, manifests, peer

NAMESPACE = "{kind: Namespace, apiVersion: v1, metadata: {name: %s, labels: {%s}}}\n---\n"


def config_of(text: str) -> Config:
    """The configuration of a text without mistakes."""
    given: tuple[Object, ...] = manifests(text)
    config = compile_config(given).config
    assert config is not None
    return config


def test_ranges_keep_the_operators_order() -> None:
    """Addresses are tried in the order of the manifest."""
    pool = config_of(POOL % ("a", "addresses: [10.0.1.0/24, 10.0.0.1-10.0.0.2]")).pools["a"]
    assert [str(run.first) for run in pool.ranges] == ["10.0.1.0", "10.0.0.1"]


def test_pool_defaults() -> None:
    """A bare pool hands out by itself, to anybody, with network and broadcast addresses."""
    pool = config_of(A).pools["a"]
    assert (
        pool.auto_assign,
        pool.avoid_buggy_ips,
        pool.pinned,
        pool.priority,
        pool.namespaces,
    ) == (True, False, False, 0, None)


def test_service_allocation_pins() -> None:
    """Its mere presence pins a pool, and with empty lists it admits everybody."""
    pool = config_of(POOL % ("a", "addresses: [10.0.0.0/28], serviceAllocation: {priority: 7}")).pools["a"]
    assert (pool.pinned, pool.priority, pool.admits("any", {})) == (True, 7, True)


def test_namespaces_are_united_with_selected_ones() -> None:
    """Names and selected Namespaces both count, and Service labels count on top."""
    text = NAMESPACE % ("red", "team: r") + NAMESPACE % ("blue", "team: b")
    allocation = "{namespaces: [x], namespaceSelectors: [{matchLabels: {team: r}}], serviceSelectors: [%s]}"
    text += POOL % ("a", "addresses: [10.0.0.0/28], serviceAllocation: " + allocation % "{matchLabels: {a: b}}")
    pool = config_of(text).pools["a"]
    assert frozenset({"x", "red"}) == pool.namespaces
    assert [
        pool.admits("red", {"a": "b"}),
        pool.admits("red", {}),
        pool.admits("blue", {"a": "b"}),
    ] == [True, False, False]


def test_namespace_selector_without_match_admits_nobody() -> None:
    """Unlike in MetalLB, a selector that finds no Namespace does not open the pool to all."""
    allocation = "serviceAllocation: {namespaceSelectors: [{matchLabels: {team: r}}]}"
    assert not config_of(POOL % ("a", "addresses: [10.0.0.0/28], " + allocation)).pools["a"].admits("default", {})


def test_namespace_goes_by_its_name_label() -> None:
    """Kubernetes labels every Namespace with its name, so a store without a cluster does too."""
    selector = "{matchLabels: {kubernetes.io/metadata.name: red}}"
    text = NAMESPACE % ("red", "")
    allocation = "serviceAllocation: {namespaceSelectors: [" + selector + "]}"
    text += POOL % ("a", "addresses: [10.0.0.0/28], " + allocation)
    assert config_of(text).pools["a"].admits("red", {})


def test_advertisement_takes_pools_by_name_and_label() -> None:
    """Names and labels unite; neither means all pools."""
    labelled = POOL % ("b", "addresses: [10.1.0.0/28]")
    labelled = labelled.replace("namespace: m", "namespace: m, labels: {x: y}")
    other = POOL % ("c", "addresses: [10.2.0.0/28]")
    both = L2 % ("both", "ipAddressPools: [a], ipAddressPoolSelectors: [{matchLabels: {x: y}}]")
    config = config_of(A + labelled + other + both + L2 % ("every", ""))
    assert [ad.pools for ad in config.l2_ads] == [("a", "b"), ("a", "b", "c")]
    assert [ad.ref.name for ad in config.l2_by_pool["c"]] == ["every"]


def test_communities_are_resolved_and_sorted() -> None:
    """Aliases and literals become values, each once."""
    aliases = COMMUNITY % ("c", "communities: [{name: x, value: '2:1'}]")
    ad = config_of(A + aliases + BGP % ("b", "communities: [x, '2:1', 'large:1:2:3', '1:9']")).bgp_ads[0]
    assert (CommunityNumber((1, 2, 3)), CommunityNumber((1, 9)), CommunityNumber((2, 1))) == ad.communities


def test_lengths_by_family() -> None:
    """An advertisement has one length for each family."""
    ad = config_of(DUAL + BGP % ("b", "aggregationLength: 24, aggregationLengthV6: 120")).bgp_ads[0]
    assert (ad.length(Family.IPV4), ad.length(Family.IPV6)) == (24, 120)


def test_peer_carries_its_bfd_profile() -> None:
    """A profile's name becomes the profile."""
    text = BFD % ("fast", "detectMultiplier: 5") + peer("peerASN: 1, peerAddress: 10.9.0.1, bfdProfile: fast")
    bfd = config_of(TOR.replace("tor", "other") + text).peers["tor"].bfd
    assert bfd is not None
    assert bfd.detect_multiplier == 5
