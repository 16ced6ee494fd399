"""The objects a host acts upon, by kind."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.api.core import Secret, Service
from appliance.api.meta import Metadata
from appliance.api.pierhead import HOSTS_NAMESPACE, Host, HostSpec, VirtualIP, VirtualIPSpec
from appliance.desired.feed import updated
from tests.unit.desired.feed import feed_of

ADDRESS = ip_address("192.0.2.1")
VIP = VirtualIP(metadata=Metadata(name="192.0.2.1"), spec=VirtualIPSpec(address=ADDRESS, pool="p"))
A, B = (Host(metadata=Metadata(name=name)) for name in ("node-a", "node-b"))
SECRET = Secret(metadata=Metadata(name="node-a", namespace=HOSTS_NAMESPACE))
OPERATORS = Secret(metadata=Metadata(name="md5", namespace="metallb-system"))
SERVICE = Service(metadata=Metadata(name="web", namespace="default"))


def test_objects_are_found_by_what_names_them() -> None:
    """VIPs by address, hosts in the order of their names, passwords by their host; all else is passed over."""
    feed = feed_of((B, VIP, SECRET, OPERATORS, SERVICE, A))
    assert (feed.vips, list(feed.hosts.items()), feed.passwords) == (
        {ADDRESS: VIP},
        [("node-a", A), ("node-b", B)],
        {"node-a": SECRET},
    )


def test_a_change_leaves_what_it_does_not_concern() -> None:
    """A host that says something new costs nothing for each VIP."""
    before = feed_of((A, B, VIP))
    drained = replace(B, spec=HostSpec(drain=True))
    after = updated(before, (drained,), ())
    assert (after.vips is before.vips, after.hosts) == (True, {"node-a": A, "node-b": drained})


def test_what_was_removed_is_gone() -> None:
    """What came back in the same batch is there."""
    before = feed_of((A, B, VIP))
    after = updated(before, (A,), (VIP, A, B))
    assert (after.vips, after.hosts) == ({}, {"node-a": A})
