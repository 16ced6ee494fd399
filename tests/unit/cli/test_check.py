"""`pierhead check` from its command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.cli.check import check

POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: pool, namespace: metallb-system}
spec: {addresses: [10.0.0.0/24]}
"""
AD = """
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: ad, namespace: metallb-system}
spec: {ipAddressPools: [%s]}
"""


def run(*arguments: str, stdin: str = "") -> Result:
    """The command's outcome."""
    return CliRunner().invoke(check, list(arguments), input=stdin)


def test_files_are_one_configuration(tmp_path: Path) -> None:
    """References reach over files, and a folder stands for the manifests in it."""
    (tmp_path / "pool.yaml").write_text(POOL)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ad.yml").write_text(AD % "pool")
    (tmp_path / "notes.txt").write_text("no manifest: [")
    (tmp_path / ".hidden.yaml").write_text("no manifest: [")
    outcome = run(str(tmp_path))
    assert (outcome.exit_code, outcome.stdout) == (0, "")
    assert outcome.stderr == "2 objects in 2 files: 0 problems, 0 warnings\n"


def test_problem_is_one_line(tmp_path: Path) -> None:
    """File, document, field and sentence, and exit status 1."""
    file = tmp_path / "ad.yaml"
    file.write_text(POOL + "---" + AD % "pol")
    outcome = run(str(file))
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines()[0] == (
        f"{file}:2:spec.ipAddressPools[0]: L2Advertisement metallb-system/ad: "
        "there is no IPAddressPool 'pol'; IPAddressPools: pool"
    )


def test_warning_does_not_fail() -> None:
    """A warning is marked and leaves the exit status alone."""
    outcome = run("-", stdin=POOL)
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("-:1:spec: warning: IPAddressPool metallb-system/pool: no advertisement")
    assert outcome.stderr == "1 object in 1 file: 0 problems, 1 warning\n"


def test_unreadable_file(tmp_path: Path) -> None:
    """The others are judged all the same, and the exit status is 2."""
    outcome = run(str(tmp_path / "missing.yaml"), "-", stdin=AD % "pool")
    assert outcome.exit_code == 2
    assert "missing.yaml: No such file or directory" in outcome.stderr
    assert "there is no IPAddressPool 'pool'" in outcome.stdout


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_file_may_be_called_anything(tmp_path: Path, environment: dict[str, str]) -> None:
    """A name that is no UTF-8, or that has letters the output has not: its mistakes are told all the same."""
    names = {b"caf\xe9.yaml", "日本.yaml".encode()}
    for name in names:
        Path(tmp_path, os.fsdecode(name)).write_text(AD % "pol")
    command = (sys.executable, "-m", "appliance.cli.main", "check", str(tmp_path))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    outcome = subprocess.run(command, capture_output=True, env={**plain, **environment}, check=False)
    assert (outcome.returncode, b"Traceback" in outcome.stderr) == (1, False)
    assert rb"/caf\xe9.yaml:1:spec.ipAddressPools[0]: L2Advertisement metallb-system/ad: there is no" in outcome.stdout
    told = json.loads(run("--json", str(tmp_path)).stdout)["problems"]
    assert {os.fsencode(Path(problem["file"]).name) for problem in told} == names


def test_json() -> None:
    """Programs get file, document, object, path and sentence apart."""
    outcome = run("-", "--json", stdin=AD % "pool")
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["problems"] == [
        {
            "file": "-",
            "document": 1,
            "object": "L2Advertisement metallb-system/ad",
            "path": "spec.ipAddressPools[0]",
            "sentence": "there is no IPAddressPool 'pool'; IPAddressPools: none",
        }
    ]


def test_a_mistake_in_an_annotation_of_ours(tmp_path: Path) -> None:
    """What the allocator would complain of is told before it is shipped."""
    file = tmp_path / "pools.yaml"
    file.write_text(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n"
        "metadata: {name: a, namespace: m, annotations: {pierhead.io/quarantine: soon}}\n"
        "spec: {addresses: [10.0.0.0/30]}\n"
    )
    result = CliRunner().invoke(check, [str(file)])
    (line,) = (line for line in result.stdout.splitlines() if ": warning: " not in line)
    assert (result.exit_code, line.startswith(f"{file}:1:metadata.annotations"), "soon" in line) == (1, True, True)


def test_what_costs_an_address_at_the_move_from_metallb_is_warned_of() -> None:
    """Selectors that find no Namespace, and an empty one under Local beside a Service that shares the address."""
    allocation = "serviceAllocation: {namespaceSelectors: [{matchLabels: {tier: gold}}]}"
    pool = POOL.replace("spec: {", f"spec: {{{allocation}, ") + "---" + AD % "pool"
    service = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: shop, annotations: {metallb.io/allow-shared-ip: k}}
spec: {type: LoadBalancer, externalTrafficPolicy: %s, ports: [{port: %d}]}
"""
    text = "---".join((pool, service % ("bare", "Local", 80), service % ("other", "Cluster", 443)))
    outcome = run("-", stdin=text)
    assert outcome.exit_code == 0
    assert [line.split(": ")[0] for line in outcome.stdout.splitlines()] == [
        "-:1:spec.serviceAllocation.namespaceSelectors",
        "-:3:spec.selector",
    ]


SERVICE_OF_PORTS = """
apiVersion: v1
kind: Service
metadata: {name: x, namespace: shop}
spec: {type: LoadBalancer, ports: [%s]}
"""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (SERVICE_OF_PORTS % "{port: 0}", "-:1:spec.ports[0].port"),
        (SERVICE_OF_PORTS % "{port: 70000}", "-:1:spec.ports[0].port"),
        (SERVICE_OF_PORTS % "", "-:1:spec.ports"),
        (SERVICE_OF_PORTS % "{port: 80}, {port: 80}", "-:1:spec.ports[1]"),
        (POOL.replace("IPAddressPool", "IPAddresPool"), "-:1:kind"),
    ],
)
def test_what_could_never_be_served_is_a_problem(text: str, place: str) -> None:
    """Ports that are none, listed twice or missing, and a kind that is misspelt, end with status 1."""
    outcome = run("-", stdin=text)
    assert outcome.exit_code == 1
    assert [line.split(": ")[0] for line in outcome.stdout.splitlines()] == [place]


def test_what_this_user_may_not_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder or a file that is shut is no folder without mistakes."""
    shut = tmp_path / "site" / "shut"
    shut.mkdir(parents=True)
    (shut / "pool.yaml").write_text(POOL)
    shut.chmod(0o600)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    told = []
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)  # what is shut is not for root
        shut_for_all = not os.access("site/shut", os.X_OK, effective_ids=True)
        told = [run(path) for path in ("site", "site/shut", "site/shut/pool.yaml")]
    finally:
        os.seteuid(user)
    assert shut_for_all
    assert [(done.exit_code, done.stderr.splitlines()[0]) for done in told] == [
        (2, "Error: site/shut: Permission denied"),
        (2, "Error: site/shut: Permission denied"),
        (2, "Error: site/shut/pool.yaml: Permission denied"),
    ]
