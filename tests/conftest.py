"""One real control plane for all tests of a session, or one line that says how to get one."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.control_plane import ControlPlane, MakeControlPlane
from tests.cluster.crd import install
from tests.cluster.programs import ETCD, KUBERNETES, ProgramsMissingError, prepare

_MISSING = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say once and loudly what was not tested."""
    if reason := config.stash.get(_MISSING, ""):
        terminalreporter.section("NO KUBERNETES API SERVER, SO WHAT NEEDS ONE WAS NOT TESTED", red=True, bold=True)
        terminalreporter.write_line(reason)


# A loaded machine is slow, which says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def make_control_plane(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[MakeControlPlane]:
    """Further control planes, for tests that end one or need flags; those still running end with the session."""
    try:
        prepare(ETCD, KUBERNETES)
    except ProgramsMissingError as error:
        pytestconfig.stash[_MISSING] = str(error)
        pytest.skip("no Kubernetes API server")
    made: list[ControlPlane] = []

    def make(*flags: str, address: str = "127.0.0.1") -> ControlPlane:
        made.append(ControlPlane(tmp_path_factory.mktemp("control-plane"), address=address, flags=flags))
        made[-1].start()
        return made[-1]

    yield make
    for control_plane in made:
        control_plane.stop()


@pytest.fixture(scope="session")
def control_plane(make_control_plane: MakeControlPlane) -> ControlPlane:
    """The control plane of the session; tests share it, so each uses names of its own and leaves the server running."""
    return make_control_plane()


@pytest.fixture(scope="session")
def controllers(control_plane: ControlPlane) -> ControlPlane:
    """The same, with the controllers that make EndpointSlices, end namespaces and collect garbage."""
    control_plane.start_controllers()
    return control_plane


@pytest.fixture(scope="session")
def site_kinds(control_plane: ControlPlane) -> ControlPlane:
    """The same, with our kinds and MetalLB's."""
    install(control_plane)
    return control_plane
