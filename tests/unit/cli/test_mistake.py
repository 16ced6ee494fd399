"""What a typo gives: one line that names the thing and what may have been meant, exit status 2, and no traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.cli.test_site import SITE

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: production, context: {cluster: a, user: u}}, {name: staging, context: {cluster: a, user: u}}]
current-context: production
"""
MISTAKES = [
    ("stauts", "No such command 'stauts'; did you mean status?"),
    ("explain vpi", "No such command 'vpi'; did you mean vip?"),
    ("lab upp", "No such command 'upp'. Did you mean 'up'?"),
    ("man drian", "there is no command drian; did you mean drain"),
    ("man lab upp", "there is no command lab upp; did you mean lab up"),
    ("allocator --store nope:", "Invalid value for --store: nope: the store cannot be reached: is not a store's URL"),
    ("vips --jsn", "No such option '--jsn'. Did you mean '--json'?"),
    ("status --cheque", "No such option '--cheque'."),
    ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ("explain vip 192.0.2.300", "Invalid value for 'ADDRESS': '192.0.2.300' is not an IP address"),
    ("move 192.0.2.x", "Invalid value for 'VIP': '192.0.2.x' is not an IP address"),
    ("acknowledge 192.0.2", "Invalid value for 'VIP': '192.0.2' is not an IP address"),
    ("history vip 192.0.2.300", "Invalid value for ADDRESS: '192.0.2.300' is not an IP address"),
    ("history vpi 192.0.2.3", "what is asked about is `vip ADDRESS`, `host NAME` or nothing"),
    ("move 192.0.2.9 --store directory:{site}", "there is no VIP 192.0.2.9"),
    ("drain aa --store directory:{site}", "there is no host aa; did you mean a?"),
    ("vips --owner aa --store directory:{site}", "there is no host aa; did you mean a?"),
    ("vips --pool pp --store directory:{site}", "there is no pool pp; did you mean p?"),
    ("explain service d/ss --store directory:{site}", "there is no Service d/ss"),
    ("vips --host -v", "'-v' is not a host as ssh takes it"),
    ("vips --ssh-config {site}/none", "File '{site}/none' does not exist"),
    ("status --socket {site}/none.sock", "{site}/none.sock: nothing answers on the control socket"),
    ("status --socket {site}/site.yaml", "{site}/site.yaml: nothing answers on the control socket"),
    ("check {site}/none.yaml", "{site}/none.yaml: No such file or directory"),
    ("convert {site}/none.yaml", "{site}/none.yaml: No such file or directory"),
    ("crds --folder {site}/site.yaml", "Directory '{site}/site.yaml' is a file"),
    ("top --config {site}/none", "top needs a terminal"),
    ("vips --store directory:{site}/none", "{site}/none: the store cannot be reached: No such file or directory"),
    ("vips --store directry:{site}", "directry:{site}: the store cannot be reached: is not a store's URL; write"),
    ("vips --store kubernetes:{site}/none", "there is no kubeconfig {site}/none"),
    ("vips --store kubernetes:{site}/broken", "the kubeconfig {site}/broken cannot be used: line 2: not valid YAML"),
    (
        "vips --store kubernetes:{site}/config?context=prodution",
        "there is no context prodution in {site}/config; it has",
    ),
    ("vips --store kubernetes:{site}/config?contxt=staging", "has no contxt; write"),
    ("vips --store kubernetes:{site}/config", "127.0.0.1:1: Connection refused"),
    ("migrate check --context staging --store directory:{site}", "--context is in place of --store"),
    ("drain a --store kubernetes:{site}/config", "127.0.0.1:1: Connection refused"),
    ("host-credentials a --store kubernetes:{site}/config?context=prod", "it has production, staging"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_named(words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was written wrong."""
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "broken").write_text("a: 1\n]\n")
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    arguments = words.replace("{site}", str(tmp_path)).split()
    result = CliRunner().invoke(main, arguments, prog_name="pierhead", catch_exceptions=False)
    told = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert (result.exit_code, len(told)) == (2, 1), result.output
    assert sentence.replace("{site}", str(tmp_path)) in told[0]


async def test_an_address_that_no_host_knows_is_an_answer(agent: Agent, pierhead: Pierhead) -> None:
    """It is asked for rightly, and the answer is no: 1."""
    result = await pierhead("explain", "vip", "192.168.1.24")
    assert (result.exit_code, result.stderr.count("Error: "), "did you mean 192.168.1.240?" in result.stderr) == (
        1,
        1,
        True,
    )
