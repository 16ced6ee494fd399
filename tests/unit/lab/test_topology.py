"""The lab's address plan."""

from collections import Counter

import pytest

from appliance.lab.topology import HOSTS_MAX, plan


def test_hosts_have_the_planned_addresses() -> None:
    """The addresses that manifests and documentation name stay where they are."""
    first, *_, last = plan(3).hosts
    assert (first.name, str(first.ipv4), str(first.ipv6)) == ("node-a", "192.168.1.11/24", "2001:db8:1::11/64")
    assert (last.name, str(last.pods4.network), str(last.pods6.network)) == (
        "node-c",
        "10.244.3.0/24",
        "2001:db8:244:3::/64",
    )


def test_every_host_has_two_backends_of_both_families() -> None:
    """A backend stands in its host's networks."""
    topology = plan(2)
    assert [backend.name for backend in topology.backends] == ["node-a-1", "node-a-2", "node-b-1", "node-b-2"]
    for host in topology.hosts:
        for backend in host.backends:
            assert backend.ipv4.ip in host.pods4.network
            assert backend.ipv6.ip in host.pods6.network


@pytest.mark.parametrize("hosts", [1, 3, HOSTS_MAX])
def test_nothing_is_given_twice(hosts: int) -> None:
    """Hardware addresses and interface names are unique where they must be."""
    topology = plan(hosts)
    plugs = [plug for cable in topology.cables for plug in cable]
    addresses = [address.ip for plug in plugs for address in plug.addresses]
    for counted in (
        Counter(plug.hardware_address for plug in plugs),
        Counter((plug.machine, plug.interface) for plug in plugs),
        Counter(addresses),
        Counter(topology.machines),
    ):
        assert counted.most_common(1)[0][1] == 1


@pytest.mark.parametrize("hosts", [0, -1, HOSTS_MAX + 1])
def test_a_number_of_hosts_without_room_is_refused(hosts: int) -> None:
    """The plan ends with the alphabet."""
    with pytest.raises(ValueError, match="1 to 26"):
        plan(hosts)


def test_client_and_remote_addresses_can_be_asked_for() -> None:
    """The story compares them with what backends saw."""
    topology = plan(1)
    assert topology.address_of("client", 4) == "192.168.1.100"
    assert topology.address_of("remote", 6) == "2001:db8:2::2"
