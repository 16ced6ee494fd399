"""Further programs that tests of the cluster need."""

import shutil

import pytest

from tests.cluster.programs import HELM, ProgramsMissingError, prepare


@pytest.fixture(scope="session")
def helm_program() -> None:
    """Helm is here, or what asks for it is skipped."""
    try:
        prepare(HELM)
    except ProgramsMissingError as error:
        pytest.skip(f"NO HELM, SO THE CHART WAS NOT TESTED: {error}")


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' promtool, or what asks for it is skipped."""
    if (found := shutil.which("promtool")) is None:
        pytest.skip("NO PROMTOOL, SO NO ALERT WAS TESTED: install Debian's prometheus (.ci/prepare does)")
    return found
