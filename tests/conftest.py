"""One real control plane for all tests of a session, or one line that says how to get one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

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


def pytest_configure() -> None:
    """Programs that tests start can be interrupted, also where a shell has had this one in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def control_plane_programs(pytestconfig: pytest.Config) -> None:
    """They are there, or the test is skipped."""
    try:
        prepare(ETCD, KUBERNETES)
    except ProgramsMissingError as error:
        pytestconfig.stash[_MISSING] = str(error)
        pytest.skip("no Kubernetes API server")


@contextmanager
def _control_planes(folders: pytest.TempPathFactory) -> Iterator[MakeControlPlane]:
    made: list[ControlPlane] = []

    def make(*flags: str, address: str = "127.0.0.1") -> ControlPlane:
        made.append(ControlPlane(folders.mktemp("control-plane"), address=address, flags=flags))
        made[-1].start()
        return made[-1]

    yield make
    for control_plane in made:
        control_plane.stop()


@pytest.fixture(scope="module")
def make_control_plane(
    tmp_path_factory: pytest.TempPathFactory,
    control_plane_programs: None,  # are there
) -> Iterator[MakeControlPlane]:
    """Further control planes, for tests that end one or need flags; those still running end with the module."""
    with _control_planes(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="session")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory,
    control_plane_programs: None,  # are there
) -> Iterator[ControlPlane]:
    """The control plane of the session; tests share it, so each uses names of its own and leaves the server running."""
    with _control_planes(tmp_path_factory) as make:
        yield make()


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
