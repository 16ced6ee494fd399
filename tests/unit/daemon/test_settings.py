"""The settings file."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from appliance.daemon.settings import HostSettings, LiveSettings, SettingsError, load_settings, settings_schema
from appliance.daemon.token import open_host_store
from appliance.store.open import FORMS, open_store

SETTINGS = TypeAdapter(HostSettings)


def problems(file: Path, text: str) -> list[str]:
    """What is wrong with a settings file, without the file's name."""
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """Every field may be left out."""
    file = tmp_path / "agent.yaml"
    file.write_text("")
    assert load_settings(file) == HostSettings()


def test_fields_are_read(tmp_path: Path) -> None:
    """Names are camelCase, paths are paths."""
    file = tmp_path / "agent.yaml"
    file.write_text("host: node-a\nrunDirectory: /run/other\nliveness: {intervalMilliseconds: 100}\n")
    settings = load_settings(file)
    assert (settings.host, settings.run_directory, settings.liveness.interval_milliseconds) == (
        "node-a",
        Path("/run/other"),
        100,
    )


def test_every_mistake_is_named(tmp_path: Path) -> None:
    """File, document and field, for all of them at once."""
    text = "hosts: a\nrouterId: 1.2.3\nliveness: {multiplier: 1}\n"
    fields = [line.split(":")[1] for line in problems(tmp_path / "agent.yaml", text)]
    assert sorted(fields) == ["hosts", "liveness.multiplier", "routerId"]


def test_a_file_that_is_no_yaml_is_one_problem(tmp_path: Path) -> None:
    """The line is named."""
    assert problems(tmp_path / "agent.yaml", "host: [a\n") == [
        "1:line 2: not valid YAML: did not find expected ',' or ']'"
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        load_settings(tmp_path / "agent.yaml")


def test_the_schema_names_every_field() -> None:
    """What `--print-schema` prints is what is read."""
    assert set(json.loads(settings_schema())["properties"]) == {
        "host",
        "store",
        "runDirectory",
        "cacheDirectory",
        "interfaces",
        "forwarder",
        "labels",
        "routerId",
        "bird",
        "liveness",
        "metrics",
        "forwarderMetrics",
    }


def test_where_metrics_are_served_is_read(tmp_path: Path) -> None:
    """One address a program; empty means nowhere, as does no word of it."""
    file = tmp_path / "agent.yaml"
    file.write_text('metrics: ":7472"\nforwarderMetrics: ""\n')
    settings = load_settings(file)
    assert (str(settings.metrics), settings.forwarder_metrics, HostSettings().metrics) == ("[::]:7472", None, None)


@pytest.mark.parametrize("written", ["7472", "localhost:7472", "'[1.2.3.4]:1'", "{port: 7472}", "10"])
def test_a_bad_address_for_metrics_names_the_setting(tmp_path: Path, written: str) -> None:
    """Before anything is bound."""
    (problem,) = problems(tmp_path / "agent.yaml", f"metrics: {written}\n")
    assert problem.split(":")[1] == "metrics"


@pytest.mark.parametrize(
    "written",
    [
        "directory:/srv/pierhead/site",
        "directory:site",
        "directory:a?context=b",
        "'kubernetes:'",
        "kubernetes:?context=home",
        "kubernetes:/etc/pierhead/kubeconfig",
        "kubernetes:/etc/pierhead/kubeconfig?",
        "kubernetes:kubeconfig?context=a&context=b",
        "kubernetes:/etc/pierhead/kubeconfig?context=",
    ],
)
def test_a_store_is_what_a_store_is_opened_by(tmp_path: Path, written: str) -> None:
    """Whether there is such a folder or file is found out later, and again and again."""
    file = tmp_path / "agent.yaml"
    file.write_text(f"host: node-a\nstore: {written}\n")
    store = load_settings(file).store
    assert store == written.strip("'")
    open_store(store)


@pytest.mark.parametrize(
    "written",
    [
        "/etc/pierhead/site",
        "site",
        "''",
        "':'",
        "'directory:'",
        "directory",
        "kubernetes",
        "Directory:/etc/pierhead/site",
        "' directory:/etc/pierhead/site'",
        "file:///etc/pierhead/site",
        "https://10.0.0.1:6443",
        "kubernetes?context=home",
        "kubernetes:/etc/pierhead/kubeconfig?contex=home",
        "kubernetes:/etc/pierhead/kubeconfig?context=home&user=me",
        "kubernetes:/etc/pierhead/kubeconfig?home",
        '"directory:/srv/\\0"',
        '"kubernetes:/etc/\\0?context=home"',
        "'\u2603'",
    ],
)
def test_a_store_that_is_none_names_the_setting(tmp_path: Path, written: str) -> None:
    """With the forms that are, before anything is opened."""
    (problem,) = problems(tmp_path / "agent.yaml", f"host: node-a\nstore: {written}\n")
    assert problem.startswith("1:store: ")
    assert problem.endswith(f"; write {FORMS}")


@pytest.mark.parametrize("written", ["7", "[directory, site]", "{directory: /etc/pierhead/site}", "null", "true"])
def test_a_store_is_text(tmp_path: Path, written: str) -> None:
    """A space after the colon makes a mapping of it."""
    (problem,) = problems(tmp_path / "agent.yaml", f"host: node-a\nstore: {written}\n")
    assert problem.startswith("1:store: must be text, not ")


@given(st.text() | st.builds("{}:{}?{}".format, st.sampled_from(["directory", "kubernetes"]), st.text(), st.text()))
@settings(max_examples=300, deadline=None)
def test_whatever_is_taken_for_a_store_can_be_opened(written: str) -> None:
    """A start does not end by it, for a restart would mend nothing."""
    try:
        taken = SETTINGS.validate_python({"host": "node-a", "store": written})
    except ValidationError:
        return
    open_host_store(taken, {})


def live(file: Path, text: str) -> LiveSettings:
    """Settings in force, of which labels and interfaces may change at any time and `metrics` is somebody else's."""
    file.write_text(text)
    applied, foreign = frozenset({"labels", "interfaces"}), frozenset({"metrics"})
    return LiveSettings(file, load_settings(file), applied=applied, foreign=foreign)


def test_what_may_change_at_any_time_does(tmp_path: Path) -> None:
    """And nothing else."""
    file = tmp_path / "agent.yaml"
    settings = live(file, "host: node-a\nlabels: {rack: '1'}\n")
    file.write_text("host: node-a\nlabels: {rack: '2'}\nmetrics: ':7472'\n")
    assert settings.read_again() == {"labels"}
    assert (settings.now, settings.remarks()) == (HostSettings(host="node-a", labels={"rack": "2"}), ())


def test_what_needs_a_restart_is_named_until_it_is_as_it_was(tmp_path: Path) -> None:
    """As the file writes it; what may change at once does so beside it."""
    file = tmp_path / "agent.yaml"
    settings = live(file, "host: node-a\n")
    file.write_text("host: node-a\nrunDirectory: /run/other\nstore: 'directory:/srv'\ninterfaces: [lan0]\n")
    assert settings.read_again() == {"interfaces"}
    assert settings.awaiting_restart == ("runDirectory", "store")
    assert settings.remarks() == ("a restart will change runDirectory, store",)
    assert settings.now == HostSettings(host="node-a", interfaces=("lan0",))
    file.write_text("host: node-a\ninterfaces: [lan0]\n")
    assert (settings.read_again(), settings.remarks()) == (frozenset(), ())


def test_a_wrong_file_is_refused_whole(tmp_path: Path) -> None:
    """Every mistake is named, what is right in it is not taken either, and a right file ends it."""
    file = tmp_path / "agent.yaml"
    settings = live(file, "host: node-a\nlabels: {rack: '1'}\n")
    file.write_text("host: node-a\nlabels: {rack: '2'}\nhosts: a\nrouterId: 1.2.3\n")
    assert (settings.read_again(), settings.now.labels) == (frozenset(), {"rack": "1"})
    assert len(settings.problems) == 2
    assert settings.remarks()[0].startswith(f"{file} is not in force: {file}:")
    file.write_text("host: node-a\nlabels: {rack: '2'}\n")
    assert settings.read_again() == {"labels"}
    assert not settings.problems
