"""The chart as helm renders it, for its tests, and the files of the tree that `make manifests` writes from it."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.programs import HELM, ProgramsMissingError, prepare, program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/pierhead"
RELEASE, NAMESPACE = "pierhead", "pierhead-system"
HELM_SECONDS = 300.0
_TABLE = re.compile(r"(?<=<!-- values -->\n)(.*?)(?=<!-- end of values -->)", re.DOTALL)
_HELMS_OWN = ("helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by")

Manifest = dict[str, Any]
Values = Mapping[str, object]


class HelmError(Exception):
    """Helm refused; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the chart: its path, its default, and the sentence above it in values.yaml."""

    path: str
    default: object
    sentence: str


def helm(*arguments: str, kubeconfig: Path | None = None) -> str:
    """What helm prints; raises HelmError with what it says on its error output."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "KUBECONFIG": str(kubeconfig or "/dev/null")}
        command = [str(program("helm")), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=HELM_SECONDS, check=False
        )
    if done.returncode:
        raise HelmError(f"helm {' '.join(arguments)}: {done.stderr.strip()}{done.stdout.strip()}")
    return done.stdout


def template(values: Values | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Manifest]:
    """The manifests that the chart makes of some values, in the order helm would apply them."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        text = helm("template", release, str(CHART), f"--namespace={namespace}", f"--values={file.name}")
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def documented_values() -> list[Value]:
    """The values in the order of values.yaml; a sentence speaks for all that is below its key."""
    text = (CHART / "values.yaml").read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    lines = text.splitlines()
    return list(_documented(root, "", lines))


def _documented(node: yaml.MappingNode, prefix: str, lines: Sequence[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        above = lines[key.start_mark.line - 1].strip()
        if above.startswith("# -- "):
            yield Value(path, yaml.safe_load(yaml.serialize(value)), above.removeprefix("# -- "))
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _documented(value, f"{path}.", lines)
        else:
            yield Value(path, yaml.safe_load(yaml.serialize(value)), "")


def plain_manifest() -> str:
    """The chart with its own defaults for those who do without Helm: one file for `kubectl apply`."""
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    manifests = [namespace, *template()]
    for manifest in manifests:
        _forget_helm(manifest)
    return _file("Pierhead's part in the cluster, for kubectl apply --server-side -f.", manifests)


def plain_rules() -> str:
    """The alerts with the chart's defaults as a rules file of Prometheus."""
    values = {"prometheus": {"prometheusRule": {"enabled": True}}}
    rules = next(manifest for manifest in template(values) if manifest["kind"] == "PrometheusRule")
    return _file("Pierhead's alerts, for rule_files of prometheus.yml.", [rules["spec"]])


def readme() -> str:
    """The chart's README with the table of its values as values.yaml has them."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in documented_values():
        default = json.dumps(value.default)
        rows.append(f"| `{value.path}` | `{default}` | {value.sentence} |")
    return _TABLE.sub(lambda _: "\n".join((*rows, "")), (CHART / "README.md").read_text())


WRITTEN = {
    ROOT / "manifests/pierhead.yaml": plain_manifest,
    ROOT / "manifests/prometheus-rules.yaml": plain_rules,
    CHART / "README.md": readme,
}


def _forget_helm(manifest: Manifest) -> None:
    """Take out of a manifest what only Helm reads."""
    metadata = manifest["metadata"]
    for place in ("labels", "annotations"):
        marks = {name: text for name, text in metadata.pop(place, {}).items() if name not in _HELMS_OWN}
        metadata |= {place: marks} if marks else {}


def _file(title: str, documents: Sequence[object]) -> str:
    text = yaml.safe_dump_all(documents, sort_keys=False, width=120, allow_unicode=True, explicit_start=True)
    return f"# {title}\n# Written by `make manifests` from charts/pierhead; do not edit.\n{text}"


def main() -> int:
    """Write the files; ends with 1 where helm is not to be had."""
    try:
        prepare(HELM)
    except ProgramsMissingError as error:
        print(f"pierhead: {error}", file=sys.stderr)
        return 1
    for path, text in WRITTEN.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
