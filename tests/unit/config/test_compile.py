"""Every rule of the configuration, a row each."""

import pytest

from appliance.api.kind import Object
from appliance.api.manifest import parse
from appliance.config.compile import compile_config

POOL = "{kind: IPAddressPool, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
L2 = "{kind: L2Advertisement, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
BGP = "{kind: BGPAdvertisement, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
PEER = "{kind: BGPPeer, apiVersion: metallb.io/v1beta2, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
BFD = "{kind: BFDProfile, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
COMMUNITY = "{kind: Community, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
NODE = "{kind: Node, apiVersion: v1, metadata: {name: %s, labels: {%s}}}\n---\n"

A = POOL % ("a", "addresses: [10.0.0.0/28]")
DUAL = POOL % ("dual", "addresses: [10.0.0.0/24, 'fc00::/120']")
ANYWHERE = L2 % ("anywhere", "")
SECRET = "{kind: Secret, apiVersion: v1, metadata: {name: md5, namespace: m}, type: %s, data: {%s}}\n---\n"
EBGP = "peerASN: 1, peerAddress: 10.9.0.1"
TOR = PEER % ("tor", "myASN: 64500, peerASN: 64501, peerAddress: 10.9.0.1")


def manifests(text: str) -> tuple[Object, ...]:
    """The objects of a text that holds no mistake of its own."""
    parsed = parse(text, "test.yaml")
    assert parsed.problems == ()
    return tuple(document.manifest for document in parsed.documents)


def peer(fields: str) -> str:
    """One peer's text from the fields that matter."""
    return PEER % ("tor", "myASN: 64500, " + fields)


PROBLEMS = [
    (
        "pool name in two namespaces",
        A + A.replace("namespace: m", "namespace: z").replace("10.0.0.0", "10.1.0.0"),
        ["metadata.name: IPAddressPool z/a: 'a' is the name of IPAddressPool m/a already"],
    ),
    (
        "overlap inside a pool",
        POOL % ("a", "addresses: [10.0.0.0/24, 10.0.0.9-10.0.0.10]"),
        ["spec.addresses[1]: IPAddressPool m/a: 10.0.0.9-10.0.0.10 overlaps 10.0.0.0/24 of this pool"],
    ),
    (
        "overlap between pools, the smaller listed first",
        A + POOL % ("b", "addresses: [10.0.0.0/8]"),
        ["spec.addresses[0]: IPAddressPool m/b: 10.0.0.0/8 overlaps 10.0.0.0/28 of IPAddressPool m/a"],
    ),
    (
        "overlap with an entry that started before another ended",
        POOL % ("a", "addresses: [10.0.0.0/8]")
        + POOL % ("b", "addresses: [11.0.0.0/24]")
        + POOL % ("c", "addresses: [10.255.0.0/24]"),
        ["spec.addresses[0]: IPAddressPool m/c: 10.255.0.0/24 overlaps 10.0.0.0/8 of IPAddressPool m/a"],
    ),
    (
        "overlap in IPv6",
        POOL % ("a", "addresses: ['fc00::/120']") + POOL % ("b", "addresses: ['fc00::ff-fc00::1ff']"),
        ["spec.addresses[0]: IPAddressPool m/b: fc00::ff-fc00::1ff overlaps fc00::/120 of IPAddressPool m/a"],
    ),
    (
        "namespace listed twice",
        POOL % ("a", "addresses: [10.0.0.0/28], serviceAllocation: {namespaces: [x, x]}"),
        ["spec.serviceAllocation.namespaces[1]: IPAddressPool m/a: 'x' is listed twice"],
    ),
    (
        "selector listed twice",
        POOL
        % (
            "a",
            "addresses: [10.0.0.0/28], serviceAllocation: "
            "{serviceSelectors: [{matchLabels: {a: b}}, {matchLabels: {a: b}}]}",
        ),
        ["spec.serviceAllocation.serviceSelectors[1]: IPAddressPool m/a: the same as entry 0, so listed twice"],
    ),
    (
        "values twice, none, and needless",
        L2
        % (
            "l",
            "nodeSelectors: [{matchExpressions: [{key: a, operator: In, values: [x, x]}, "
            "{key: b, operator: NotIn}, {key: c, operator: Exists, values: [x]}]}]",
        )
        + A,
        [
            "spec.nodeSelectors[0].matchExpressions[0].values[1]: L2Advertisement m/l: 'x' is listed twice",
            "spec.nodeSelectors[0].matchExpressions[1].values: L2Advertisement m/l: "
            "operator NotIn needs at least one value",
            "spec.nodeSelectors[0].matchExpressions[2].values: L2Advertisement m/l: operator Exists takes no values",
        ],
    ),
    (
        "unknown pool of a layer-2 advertisement",
        A + L2 % ("l", "ipAddressPools: [a, missing]"),
        ["spec.ipAddressPools[1]: L2Advertisement m/l: there is no IPAddressPool 'missing'; IPAddressPools: a"],
    ),
    (
        "unknown pool of a BGP advertisement where there is none",
        BGP % ("b", "ipAddressPools: [missing]"),
        ["spec.ipAddressPools[0]: BGPAdvertisement m/b: there is no IPAddressPool 'missing'; IPAddressPools: none"],
    ),
    (
        "interfaces and pools listed twice",
        A + L2 % ("l", "ipAddressPools: [a, a], interfaces: [eth0, eth0]"),
        [
            "spec.ipAddressPools[1]: L2Advertisement m/l: 'a' is listed twice",
            "spec.interfaces[1]: L2Advertisement m/l: 'eth0' is listed twice",
        ],
    ),
    (
        "unknown peer",
        A + TOR + BGP % ("b", "peers: [tor, tro]"),
        ["spec.peers[1]: BGPAdvertisement m/b: there is no BGPPeer 'tro'; BGPPeers: tor"],
    ),
    (
        "unknown community alias, and one written twice",
        A + COMMUNITY % ("c", "communities: [{name: known, value: '1:2'}]") + BGP % ("b", "communities: [known, x, x]"),
        [
            "spec.communities[2]: BGPAdvertisement m/b: 'x' is listed twice",
            "spec.communities[1]: BGPAdvertisement m/b: 'x' is neither a community nor an alias that a "
            "Community object defines",
            "spec.communities[2]: BGPAdvertisement m/b: 'x' is neither a community nor an alias that a "
            "Community object defines",
        ],
    ),
    (
        "alias defined twice, and a value out of range",
        COMMUNITY % ("c", "communities: [{name: x, value: '1:2'}]")
        + COMMUNITY % ("d", "communities: [{name: x, value: '1:2'}, {name: y, value: '1:65536'}]"),
        [
            "spec.communities[0].name: Community m/d: alias 'x' is defined by Community m/c already",
            "spec.communities[1].value: Community m/d: '1:65536' is not a community such as 64500:100 or "
            "large:64500:1:2",
        ],
    ),
    (
        "aggregate wider than a CIDR",
        A + BGP % ("b", "aggregationLength: 26"),
        [
            "spec.aggregationLength: BGPAdvertisement m/b: 26 reaches beyond 10.0.0.0/28 of IPAddressPool m/a; "
            "write 28 or more"
        ],
    ),
    (
        "aggregate wider than the largest part of a range",
        POOL % ("a", "addresses: [3.3.3.2-3.3.3.254]") + BGP % ("b", "aggregationLength: 24"),
        [
            "spec.aggregationLength: BGPAdvertisement m/b: 24 reaches beyond 3.3.3.2-3.3.3.254 of IPAddressPool m/a; "
            "write 26 or more"
        ],
    ),
    (
        "IPv6 aggregate",
        DUAL + BGP % ("b", "aggregationLengthV6: 64"),
        [
            "spec.aggregationLengthV6: BGPAdvertisement m/b: 64 reaches beyond fc00::/120 of IPAddressPool m/dual; "
            "write 120 or more"
        ],
    ),
    (
        "aggregate beside serviceSelectors",
        A + BGP % ("b", "aggregationLength: 28, serviceSelectors: [{matchLabels: {a: b}}]"),
        [
            "spec.serviceSelectors: BGPAdvertisement m/b: cannot stand beside an aggregation length: "
            "an aggregate attracts traffic of Services not selected"
        ],
    ),
    (
        "two local preferences",
        A + BGP % ("b", "localPref: 100") + BGP % ("c", "localPref: 200"),
        [
            "spec.localPref: BGPAdvertisement m/c: 200 differs from 100 of BGPAdvertisement m/b, which announces "
            "IPAddressPool m/a at the same length, from the same hosts and to the same peers"
        ],
    ),
    (
        "two local preferences, only one length of a dual pool differs",
        DUAL + BGP % ("b", "localPref: 100, aggregationLength: 24") + BGP % ("c", "localPref: 200"),
        [
            "spec.localPref: BGPAdvertisement m/c: 200 differs from 100 of BGPAdvertisement m/b, which announces "
            "IPAddressPool m/dual at the same length, from the same hosts and to the same peers"
        ],
    ),
    (
        "unknown BFD profile",
        peer("peerASN: 1, peerAddress: 10.9.0.1, bfdProfile: fast"),
        ["spec.bfdProfile: BGPPeer m/tor: there is no BFDProfile 'fast'"],
    ),
    (
        "echo mode and IPv6",
        DUAL
        + BFD % ("echo", "echoMode: true")
        + peer("peerASN: 1, peerAddress: 10.9.0.1, bfdProfile: echo")
        + BGP % ("b", ""),
        [
            "spec.bfdProfile: BGPPeer m/tor: uses echo mode, which BFD has for IPv4 only, but the peer is told of "
            "IPAddressPool m/dual"
        ],
    ),
    (
        "no AS and no address",
        peer(""),
        [
            "spec.peerASN: BGPPeer m/tor: is required where there is no dynamicASN",
            "spec.peerAddress: BGPPeer m/tor: is required where there is no interface",
        ],
    ),
    (
        "both ASes, both addresses, both passwords",
        peer(
            "peerASN: 1, dynamicASN: external, peerAddress: 10.9.0.1, interface: eth0, "
            "password: x, passwordSecret: {name: y}"
        ),
        [
            "spec.dynamicASN: BGPPeer m/tor: cannot stand beside peerASN; write one of them",
            "spec.interface: BGPPeer m/tor: cannot stand beside peerAddress; write one of them",
            "spec.passwordSecret: BGPPeer m/tor: cannot stand beside password; write one of them",
        ],
    ),
    (
        "ranges nobody can be reached in",
        POOL
        % (
            "a",
            "addresses: [127.0.0.0/24, 169.254.1.0/24, 239.0.0.0/24, 0.0.0.0/30, '::/127', 'fe80::/64', 'ff02::/112', "
            "'::ffff:10.0.0.0/120', 255.255.255.255/32, 10.0.0.0/24]",
        ),
        [
            "spec.addresses[0]: IPAddressPool m/a: 127.0.0.0/24 holds loopback addresses (127.0.0.0/8)",
            "spec.addresses[1]: IPAddressPool m/a: 169.254.1.0/24 holds link-local addresses (169.254.0.0/16)",
            "spec.addresses[2]: IPAddressPool m/a: 239.0.0.0/24 holds multicast addresses (224.0.0.0/4)",
            "spec.addresses[3]: IPAddressPool m/a: 0.0.0.0/30 holds the unspecified address (0.0.0.0/32)",
            "spec.addresses[4]: IPAddressPool m/a: ::/127 holds the unspecified address (::/128)",
            "spec.addresses[5]: IPAddressPool m/a: fe80::/64 holds link-local addresses (fe80::/10)",
            "spec.addresses[6]: IPAddressPool m/a: ff02::/112 holds multicast addresses (ff00::/8)",
            "spec.addresses[7]: IPAddressPool m/a: ::ffff:10.0.0.0/120 holds IPv4-mapped addresses (::ffff:0:0/96)",
            "spec.addresses[8]: IPAddressPool m/a: 255.255.255.255/32 holds the broadcast address (255.255.255.255/32)",
        ],
    ),
    (
        "labels that cannot be",
        L2
        % (
            "l",
            "nodeSelectors: [{matchLabels: {'': x}}, {matchLabels: {rack: 'a b'}}, {matchExpressions: "
            "[{key: 'A_/x', operator: In, values: ['-']}]}], "
            "preferredNodeSelectors: [{weight: 1, preference: {matchLabels: {'a/b/c': ''}}}]",
        ),
        [
            "spec.nodeSelectors[0].matchLabels: L2Advertisement m/l: '' is no label's key, so it matches nothing",
            "spec.nodeSelectors[1].matchLabels.rack: L2Advertisement m/l: 'a b' is no label's value, "
            "so it matches nothing",
            "spec.nodeSelectors[2].matchExpressions[0].key: L2Advertisement m/l: 'A_/x' is no label's key, "
            "so it matches nothing",
            "spec.nodeSelectors[2].matchExpressions[0].values[0]: L2Advertisement m/l: '-' is no label's value, "
            "so it matches nothing",
            "spec.preferredNodeSelectors[0].preference.matchLabels: L2Advertisement m/l: 'a/b/c' is no label's key, "
            "so it matches nothing",
        ],
    ),
    (
        "peer that is nobody's address",
        peer("peerASN: 1, peerAddress: 0.0.0.0"),
        ["spec.peerAddress: BGPPeer m/tor: 0.0.0.0 is no router's address"],
    ),
    (
        "pattern of interfaces",
        peer("peerASN: 1, interface: 'eth*'"),
        ["spec.interface: BGPPeer m/tor: 'eth*' is a pattern to BIRD; name one interface"],
    ),
    (
        "Secret of another type",
        SECRET % ("Opaque", "password: eA==") + peer(f"{EBGP}, passwordSecret: {{name: md5}}"),
        ["spec.passwordSecret: BGPPeer m/tor: Secret m/md5 is of type 'Opaque', not kubernetes.io/basic-auth"],
    ),
    (
        "Secret without password",
        SECRET % ("kubernetes.io/basic-auth", "Password: eA==") + peer(f"{EBGP}, passwordSecret: {{name: md5}}"),
        ["spec.passwordSecret: BGPPeer m/tor: Secret m/md5 has no password"],
    ),
    (
        "Secret that ends in a line end",
        SECRET % ("kubernetes.io/basic-auth", "password: eAo=") + peer(f"{EBGP}, passwordSecret: {{name: md5}}"),
        [
            "spec.passwordSecret: BGPPeer m/tor: the password of Secret m/md5 has a double quote, a line end "
            "or more than 80 bytes"
        ],
    ),
    (
        "hold time between nought and three",
        peer("peerASN: 1, peerAddress: 10.9.0.1, holdTime: 2s"),
        ["spec.holdTime: BGPPeer m/tor: a hold time is 0 or 3 to 65535 seconds, not 2"],
    ),
    (
        "keepalive beyond hold",
        peer("peerASN: 1, peerAddress: 10.9.0.1, holdTime: 9s, keepaliveTime: 10s"),
        ["spec.keepaliveTime: BGPPeer m/tor: 10 seconds are more than the hold time of 9"],
    ),
    (
        "connect time of half a second",
        peer("peerASN: 1, peerAddress: 10.9.0.1, connectTime: 500ms"),
        ["spec.connectTime: BGPPeer m/tor: a connect time is 1 to 65535 whole seconds, not 0.5"],
    ),
    (
        "multihop inside one AS",
        peer("peerASN: 64500, peerAddress: 10.9.0.1, ebgpMultiHop: true"),
        ["spec.ebgpMultiHop: BGPPeer m/tor: is for a peer of another AS, but this peer's is our own"],
    ),
    (
        "router id and source address of the wrong family",
        peer("peerASN: 1, peerAddress: 10.9.0.1, routerID: 'fc00::1', sourceAddress: 'fc00::1'"),
        [
            "spec.sourceAddress: BGPPeer m/tor: fc00::1 and the peer's 10.9.0.1 are of different families",
            "spec.routerID: BGPPeer m/tor: fc00::1 is not an IPv4 address",
        ],
    ),
]

FINE = [
    ("nothing", ""),
    ("ranges side by side", A + POOL % ("b", "addresses: [10.0.0.16/28]")),
    ("equal numbers of two families", POOL % ("a", "addresses: [0.0.0.2/32, '::2/128']")),
    ("aggregate as long as the largest part", POOL % ("a", "addresses: [3.3.3.2-3.3.3.254]")
     + BGP % ("b", "aggregationLength: 26")),
    ("default lengths beside serviceSelectors",
     A + BGP % ("b", "aggregationLength: 32, serviceSelectors: [{matchLabels: {a: b}}]")),
    ("local preferences at two lengths", A + BGP % ("b", "localPref: 1, aggregationLength: 28")
     + BGP % ("c", "localPref: 2")),
    ("local preferences for two peers", A + TOR + PEER % ("tor2", "myASN: 1, peerASN: 2, peerAddress: 10.9.0.2")
     + BGP % ("b", "localPref: 1, peers: [tor]") + BGP % ("c", "localPref: 2, peers: [tor2]")),
    ("local preferences on two hosts", A + NODE % ("n1", "r: a") + NODE % ("n2", "r: b")
     + BGP % ("b", "localPref: 1, nodeSelectors: [{matchLabels: {r: a}}]")
     + BGP % ("c", "localPref: 2, nodeSelectors: [{matchLabels: {r: b}}]")),
    ("local preferences by Service wait", A + BGP % ("b", "localPref: 1, serviceSelectors: [{matchLabels: {a: b}}]")
     + BGP % ("c", "localPref: 2")),
    ("local preferences in two pools", A + POOL % ("b", "addresses: [10.1.0.0/28]")
     + BGP % ("b", "localPref: 1, ipAddressPools: [a]") + BGP % ("c", "localPref: 2, ipAddressPools: [b]")),
    ("echo mode for a peer of IPv4 only", DUAL + A.replace("10.0.0", "10.2.0")
     + BFD % ("echo", "echoMode: true") + peer("peerASN: 1, peerAddress: 10.9.0.1, bfdProfile: echo")
     + BGP % ("b", "ipAddressPools: [a]")),
    ("timers off", peer("peerASN: 1, peerAddress: 10.9.0.1, holdTime: 0s, keepaliveTime: 0s")),
    ("Secret beside its peer", SECRET % ("kubernetes.io/basic-auth", "password: eA==")
     + peer(f"{EBGP}, passwordSecret: {{name: md5}}")),
    ("Secret that nobody shows", peer(f"{EBGP}, passwordSecret: {{name: md5}}")),
    ("unnumbered, AS learned", peer("dynamicASN: external, interface: eth0")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_problem(text: str, expected: list[str]) -> None:
    """Each mistake gives its sentence, names object and field, and there is no configuration."""
    compiled = compile_config(manifests(text))
    assert expected == [str(problem) for problem in compiled.problems]
    assert compiled.config is None


@pytest.mark.parametrize("text", [row[1] for row in FINE], ids=[row[0] for row in FINE])
def test_no_problem(text: str) -> None:
    """What MetalLB accepts is accepted."""
    assert compile_config(manifests(text)).problems == ()


@pytest.mark.parametrize("text", [row[1] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_order_of_manifests_does_not_matter(text: str) -> None:
    """The same objects in another order give the same answer."""
    given = manifests(text)
    assert compile_config(given) == compile_config(tuple(reversed(given)))


def test_everything_is_reported_at_once() -> None:
    """Mistakes of several objects come together, by object."""
    text = "".join(row[1] for row in PROBLEMS if row[0] in ("unknown BFD profile", "aggregate wider than a CIDR"))
    assert [problem.ref.kind for problem in compile_config(manifests(text)).problems if problem.ref] == [
        "BGPAdvertisement",
        "BGPPeer",
    ]
