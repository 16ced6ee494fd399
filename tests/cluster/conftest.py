"""Further programs that tests of the cluster need."""

import shutil
import subprocess

import pytest

from tests.cluster.image import Stage, follow
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


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The image as the Containerfile makes it; what pip installs comes from where pip takes it on this machine."""
    try:
        return follow(tmp_path_factory.mktemp("image"))
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error.args}\n{error.stdout}{error.stderr}")
