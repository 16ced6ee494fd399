"""A password's whole way: from an operator's Secret, by the allocator and the host's own Secret, into BIRD's text."""

from ipaddress import IPv4Address, ip_address

from appliance.agent.secret import own_passwords
from appliance.api.core import BASIC_AUTH, Secret, SecretReference
from appliance.api.kind import Object
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import BGPPeer, BGPPeerSpec
from appliance.api.pierhead import Host
from appliance.bird.render import render
from appliance.daemon.feed import FeedChange
from appliance.desired.decide import Here, decide
from tests.unit.allocation.site import site
from tests.unit.desired.feed import feed_of

SECRET = Secret(
    metadata=Metadata(name="md5", namespace="metallb-system"), type=BASIC_AUTH, data={"password": b"open sesame"}
)
PEER = BGPPeer(
    metadata=Metadata(name="tor", namespace="metallb-system"),
    spec=BGPPeerSpec(
        my_asn=64500,
        peer_asn=64501,
        peer_address=ip_address("192.0.2.1"),
        password_secret=SecretReference(name="md5"),
        node_selectors=(LabelSelector(match_labels={"rack": "1"}),),
    ),
)
HOSTS = tuple(Host(metadata=Metadata(name=name, labels={"rack": rack})) for name, rack in (("a", "1"), ("b", "2")))


def bird_text(host: str, objects: dict[Ref, Object]) -> str:
    """What a host's BIRD reads, given all that a site's store holds."""
    held = own_passwords(host, dict)(FeedChange(tuple(objects.values())), objects, {}).changed
    here = Here(name=host, router_id=IPv4Address("192.0.2.9"))
    return render(decide(feed_of(held), here).bird)


async def test_a_password_reaches_the_bird_of_its_hosts_and_nothing_else() -> None:
    """No object but the two Secrets has it, and another rack's host neither holds nor renders it."""
    here = site(SECRET, PEER, *HOSTS)
    await here.settle()
    objects = await here.objects()
    assert 'password "open sesame";' in bird_text("a", objects)
    assert "192.0.2.1" not in bird_text("b", objects)
    holding = [str(ref) for ref, manifest in objects.items() if b"open sesame" in _contents(manifest)]
    assert sorted(holding) == ["Secret metallb-system/md5", "Secret pierhead-hosts/a"]


def _contents(manifest: Object) -> bytes:
    """Everything that is in an object, Secrets' data too."""
    data = b"".join(manifest.data.values()) if isinstance(manifest, Secret) else b""
    return repr(manifest).encode() + data
