"""`pierhead convert` from its command line."""

import json

from click.testing import CliRunner, Result

from appliance.cli.convert import convert

DATA = "address-pools:\n- {name: desk, protocol: layer2, addresses: [192.168.1.0/24]}\n"
KEEPALIVED = "vrrp_instance one {\n virtual_ipaddress {\n 192.168.1.9\n }\n}\n"


def run(text: str, *arguments: str) -> Result:
    """The command's outcome on standard input."""
    return CliRunner().invoke(convert, list(arguments), input=text)


def test_only_data() -> None:
    """The bare text becomes manifests in the namespace asked for."""
    outcome = run(DATA, "--only-data", "--namespace", "lb")
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n")
    assert outcome.stdout.count("namespace: lb") == 2


def test_keepalived_is_seen() -> None:
    """What is left out goes to standard error, the manifests to standard output."""
    outcome = run(KEEPALIVED)
    assert outcome.exit_code == 0
    assert "192.168.1.9/32" in outcome.stdout
    assert "left out: -: a Service for 192.168.1.9" in outcome.stderr


def test_problem_prints_nothing() -> None:
    """With a problem there are no manifests and exit status 1."""
    outcome = run(DATA + "peer-autodiscovery: {}", "--only-data")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr == "problem: -:1:peer-autodiscovery: ConfigMap metallb-system/config: is not a known field\n"


def test_json() -> None:
    """Programs get one object."""
    outcome = run(DATA, "--only-data", "--json")
    assert [manifest["kind"] for manifest in json.loads(outcome.stdout)["manifests"]] == [
        "IPAddressPool",
        "L2Advertisement",
    ]


def test_missing_file() -> None:
    """A file that cannot be read is exit status 2."""
    assert run("", "/nowhere/at/all").exit_code == 2
