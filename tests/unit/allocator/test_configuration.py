"""What the allocator makes of the operators' manifests."""

from ipaddress import ip_network

from click.testing import CliRunner
from structlog.testing import capture_logs

from appliance.allocator.command import allocator
from appliance.allocator.configuration import Configuration
from appliance.allocator.setting import Settings
from appliance.allocator.view import View
from tests.unit.allocator.site import pool, site


async def test_pool_in_a_service_network_is_warned_of() -> None:
    """The network stands in no manifest, so the allocator is told it."""
    here = site(pool("a", "10.96.0.0/24"), settings=Settings(service_networks=(ip_network("10.96.0.0/12"),)))
    with capture_logs() as logs:
        await here.settle()
    told = [str(entry.get("problem")) for entry in logs]
    assert any("10.96.0.0/24 overlaps the Service network 10.96.0.0/12" in text for text in told)


def test_service_network_that_is_none_is_refused() -> None:
    """The option names what is wrong with it."""
    outcome = CliRunner().invoke(allocator, ["--store", "directory:/tmp", "--service-network", "ten"])
    assert outcome.exit_code == 2
    assert "'ten' is not a network prefix" in outcome.output


def test_mistake_in_an_annotation_is_a_problem_and_changes_nothing() -> None:
    """What was in force stays; the sentence names pool and annotation."""
    view, configuration = View(), Configuration()
    view.put(pool("a", "10.0.0.0/24", annotations={"pierhead.io/quarantine": "10m"}))
    configuration.recompile(view)
    view.put(pool("a", "10.0.0.0/24", annotations={"pierhead.io/quarantine": "soon"}))
    configuration.recompile(view)
    assert dict(configuration.extras.quarantines) == {"a": 600.0}
    assert any("pierhead.io/quarantine" in str(problem) for problem in configuration.problems)
