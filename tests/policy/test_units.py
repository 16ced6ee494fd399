"""What systemd itself says of the units, and of BIRD's with our drop-in: that they are right, and how exposed."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from appliance.daemon.settings import SETTINGS_EXIT_STATUS
from appliance.daemon.signals import LEAVE_SECONDS
from appliance.daemon.token import KUBECONFIG, KUBECONFIG_PATH

ROOT = Path(__file__).parents[2]
UNITS = Path("etc/systemd/system")
SYSTEM = Path("/usr/lib/systemd/system")
EXPOSURE_MAX = {
    "pierhead-agent.service": 2.0,
    "pierhead-forwarder.service": 2.0,
    "pierhead-allocator.service": 1.5,
    "bird.service": 2.0,
}
# What each program exits with that no restart mends: the allocator is told by options alone.
NOT_RESTARTED = {
    "pierhead-agent.service": SETTINGS_EXIT_STATUS,
    "pierhead-forwarder.service": SETTINGS_EXIT_STATUS,
    "pierhead-allocator.service": click.UsageError.exit_code,
}
EXECUTABLES = ("opt/pierhead/current/bin/pierhead", "bin/sh", "usr/sbin/bird", "usr/sbin/birdc")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a host as the roles leave it, as far as systemd reads it: units, the drop-in, and what they start."""
    root = tmp_path_factory.mktemp("host")
    shutil.copytree(SYSTEM, root / "usr/lib/systemd/system", symlinks=True, ignore_dangling_symlinks=True)
    (root / UNITS / "bird.service.d").mkdir(parents=True)
    for unit in ROOT.glob("roles/*/files/*.service"):
        shutil.copy(unit, root / UNITS)
    shutil.copy(ROOT / "roles/bird/files/pierhead.conf", root / UNITS / "bird.service.d")
    for name in EXECUTABLES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / name)
    return root


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("systemd-analyze", *words), capture_output=True, text=True, check=False)


def exposure(*words: str) -> float:
    """The figure that systemd-analyze(1) ends with."""
    answer = analyze("security", "--no-pager", "--offline=true", *words)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer.stdout)
    assert found, answer.stderr
    return float(found[1])


def test_every_unit_is_measured() -> None:
    """No service is added without a bound."""
    units = {path.name for path in ROOT.glob("roles/*/files/*.service")} | {"bird.service"}
    assert units == set(EXPOSURE_MAX)


@pytest.mark.parametrize("unit", sorted(EXPOSURE_MAX))
def test_systemd_finds_no_mistake(host: Path, unit: str) -> None:
    """Every key is one that systemd knows, with a value that it takes, and what is started is where it is sought."""
    answer = analyze("verify", "--man=no", "--recursive-errors=no", f"--root={host}", unit)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", sorted(EXPOSURE_MAX))
def test_exposure(host: Path, unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What systemd thinks of each sandbox; the figures are printed."""
    figure = exposure(f"--root={host}", unit)
    with capsys.disabled():
        print(f"\n{unit}: exposure {figure}", end="")
    assert figure <= EXPOSURE_MAX[unit]


def test_the_drop_in_is_what_makes_bird_safe(host: Path) -> None:
    """BIRD's unit as the distribution ships it is wide open."""
    assert exposure(str(SYSTEM / "bird.service")) > 9.0


def test_the_runbook_states_what_systemd_says(host: Path) -> None:
    """Figures of one version of systemd: another has other questions."""
    text = " ".join((ROOT / "docs/operations.md").read_text().split())
    stated = re.search(
        r"of systemd (\d+) the exposure is ([\d.]+) for the agent .*?, ([\d.]+) for the forwarder "
        r".*?, ([\d.]+) for the allocator .*?, and ([\d.]+) for BIRD with the drop-in instead of ([\d.]+):",
        text,
    )
    assert stated
    if stated[1] not in analyze("--version").stdout.split():
        pytest.skip(f"the figures are those of systemd {stated[1]}")
    units = [f"pierhead-{name}.service" for name in ("agent", "forwarder", "allocator")]
    measured = [exposure(f"--root={host}", unit) for unit in (*units, "bird.service")]
    measured.append(exposure(str(SYSTEM / "bird.service")))
    assert [float(figure) for figure in stated.groups()[1:]] == measured


def test_what_is_checked_before_bird_starts_is_what_it_starts_with() -> None:
    """An operator's BIRD_ARGS may name another file than BIRD's own."""
    written = (ROOT / "roles/bird/files/pierhead.conf").read_text()
    started = dict(re.findall(r"^(ExecStart(?:Pre)?)=/usr/sbin/bird -[fp](.*)$", written, re.MULTILINE))
    assert started == {"ExecStartPre": " $BIRD_ARGS", "ExecStart": " $BIRD_ARGS"}


def test_a_unit_is_given_the_credential_that_its_program_reads() -> None:
    """The allocator's is for sites without Kubernetes; in a cluster its Pod has an account."""
    texts = {path.parts[-3]: path.read_text() for path in ROOT.glob("roles/*/files/*.service")}
    given = {role: re.findall(r"^LoadCredential=(.*)$", text, re.MULTILINE) for role, text in texts.items()}
    reading = "appliance.daemon.token import open_host_store"
    programs = {path.parts[-2] for path in ROOT.glob("appliance/*/program.py") if reading in path.read_text()}
    assert {role: found for role, found in given.items() if found} == {
        role: [f"{KUBECONFIG}:{KUBECONFIG_PATH}"] for role in programs
    }


def test_capabilities() -> None:
    """The agent may send raw frames, the forwarder configure the network, the allocator nothing."""
    found = {
        path.name: re.findall(r"^(AmbientCapabilities|CapabilityBoundingSet)=(.*)$", path.read_text(), re.MULTILINE)
        for path in ROOT.glob("roles/*/files/*.service")
    }
    assert found == {
        "pierhead-agent.service": [("AmbientCapabilities", "CAP_NET_RAW"), ("CapabilityBoundingSet", "CAP_NET_RAW")],
        "pierhead-forwarder.service": [
            ("AmbientCapabilities", "CAP_NET_ADMIN"),
            ("CapabilityBoundingSet", "CAP_NET_ADMIN"),
        ],
        "pierhead-allocator.service": [("CapabilityBoundingSet", "")],
    }


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/files/*.service")), ids=lambda path: path.name)
def test_a_unit_lets_its_program_measure_itself(path: Path) -> None:
    """Without /proc/stat, which tells when the machine was booted, there is none of the process_* metrics."""
    assert "\nProcSubset=pid" not in path.read_text()


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/files/*.service")), ids=lambda path: path.name)
def test_a_unit_is_what_its_program_expects(path: Path) -> None:
    """Time to leave, the signal for a restart, and no restart where only the settings can be mended."""
    keys = dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))
    assert int(keys["TimeoutStopSec"]) > LEAVE_SECONDS
    assert (keys["Type"], keys["NotifyAccess"], keys["KillMode"]) == ("notify", "main", "mixed")
    assert (keys["Restart"], keys["RestartKillSignal"]) == ("always", "SIGUSR1")
    assert keys["RestartPreventExitStatus"] == str(NOT_RESTARTED[path.name])
