"""What the allocator makes of the operators' manifests."""

from ipaddress import ip_network

from click.testing import CliRunner

from appliance.allocation.cache import Cache
from appliance.allocation.configuration import Configuration
from appliance.allocation.event import Settings
from appliance.allocator.command import allocator
from tests.unit.allocation.site import pool, site


async def test_pool_in_a_service_network_is_warned_of() -> None:
    """The network stands in no manifest, so the allocator is told it."""
    here = site(pool("a", "10.96.0.0/24"), settings=Settings(service_networks=(ip_network("10.96.0.0/12"),)))
    await here.settle()
    told = [str(problem) for problem in here.allocator.configuration.problems]
    assert any("10.96.0.0/24 overlaps the Service network 10.96.0.0/12" in text for text in told)


def test_service_network_that_is_none_is_refused() -> None:
    """The option names what is wrong with it."""
    outcome = CliRunner().invoke(allocator, ["--store", "directory:/tmp", "--service-network", "ten"])
    assert outcome.exit_code == 2
    assert "'ten' is not a network prefix" in outcome.output


def test_mistake_in_an_annotation_is_a_problem_and_changes_nothing() -> None:
    """What was in force stays; the sentence names pool and annotation."""
    cache, configuration = Cache(), Configuration(Settings())
    cache.put(pool("a", "10.0.0.0/24", annotations={"pierhead.io/quarantine": "10m"}))
    configuration.compile(cache)
    cache.put(pool("a", "10.0.0.0/24", annotations={"pierhead.io/quarantine": "soon"}))
    configuration.compile(cache)
    assert dict(configuration.in_force.options.quarantines) == {"a": 600.0}
    assert any("pierhead.io/quarantine" in str(problem) for problem in configuration.problems)
