"""The chart in a real cluster: installed, upgraded, rolled back, uninstalled, and beside what MetalLB left there."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.cluster.chart import CHART, NAMESPACE, RELEASE, HelmError, Manifest, helm
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd import wait_until_served

pytestmark = pytest.mark.usefixtures("helm_program")

ADDRESS = "192.0.2.7"
HOSTS = "pierhead-hosts"
POOL: Manifest = {
    "apiVersion": "metallb.io/v1beta1",
    "kind": "IPAddressPool",
    "metadata": {"name": "production", "namespace": "metallb-system"},
    "spec": {"addresses": ["192.0.2.0/28"]},
}
# What MetalLB's chart does with its definitions: a condition, and nothing that keeps them.
METALLB_TEMPLATE = '{{- if .Values.crds.enabled }}\n{{ .Files.Get "definitions.yaml" }}\n{{- end }}\n'


@pytest.fixture
def cluster(make_control_plane: Callable[[], ControlPlane]) -> ControlPlane:
    """A cluster of its own, because definitions and the hosts' namespace are there once."""
    control_plane = make_control_plane()
    control_plane.apply(namespace("shop"))
    return control_plane


def test_a_release_lives_and_leaves_what_others_made(cluster: ControlPlane) -> None:
    """Upgrade and rollback change what they should; after uninstalling, objects and addresses are as they were."""
    run(cluster, "install", RELEASE, str(CHART), "--create-namespace")
    wait_until_served(cluster)
    cluster.apply(POOL, service(), account("node-a"))
    give_address(cluster)
    run(cluster, "upgrade", RELEASE, str(CHART), "--set=allocator.replicas=3")
    replicas = [get(cluster, "deployment", "pierhead-allocator", NAMESPACE)["spec"]["replicas"]]
    run(cluster, "rollback", RELEASE, "1")
    replicas.append(get(cluster, "deployment", "pierhead-allocator", NAMESPACE)["spec"]["replicas"])
    assert replicas == [3, 2]

    run(cluster, "uninstall", RELEASE)
    assert ours(cluster) == []
    assert pool_addresses(cluster) == POOL["spec"]["addresses"]
    ingress = get(cluster, "service", "echo", "shop")["status"]["loadBalancer"]["ingress"]
    assert [entry["ip"] for entry in ingress] == [ADDRESS]
    assert get(cluster, "serviceaccount", "node-a", HOSTS)["metadata"]["name"] == "node-a"

    run(cluster, "install", RELEASE, str(CHART))
    assert ours(cluster)


def test_namespaces_are_made_where_they_are_missing(cluster: ControlPlane) -> None:
    """One that is there stays its owner's; one that is not is made, and outlives the release."""
    cluster.apply(namespace("pools"))
    names = "--set=allocator.configurationNamespaces={metallb-system,pools}"
    run(cluster, "install", RELEASE, str(CHART), "--create-namespace", names)
    run(cluster, "upgrade", RELEASE, str(CHART), names)
    assert "elm" not in str(get(cluster, "namespace", "pools"))
    run(cluster, "uninstall", RELEASE)
    phases = [get(cluster, "namespace", name)["status"]["phase"] for name in ("metallb-system", "pools", HOSTS)]
    assert phases == ["Active"] * 3


def test_an_upgrade_brings_definitions_up_to_date(cluster: ControlPlane, tmp_path: Path) -> None:
    """A definition of an older chart gets the columns of this one, and its objects stay."""
    older = shutil.copytree(CHART, tmp_path / "pierhead")
    path = older / "files/crds/metallb.io_ipaddresspools.yaml"
    definition = yaml.safe_load(path.read_text())
    columns = [version.pop("additionalPrinterColumns") for version in definition["spec"]["versions"]]
    path.write_text(yaml.safe_dump(definition))
    run(cluster, "install", RELEASE, str(older), "--create-namespace")
    wait_until_served(cluster)
    cluster.apply(POOL)
    run(cluster, "upgrade", RELEASE, str(CHART))
    found = get(cluster, "crd", "ipaddresspools.metallb.io")["spec"]["versions"]
    assert [version["additionalPrinterColumns"] for version in found] == columns
    assert pool_addresses(cluster) == POOL["spec"]["addresses"]


def test_definitions_of_metallbs_manifests_are_left_alone(cluster: ControlPlane) -> None:
    """Applied by kubectl, owned by nobody: the release neither fails over them nor changes them, and ours are made."""
    definitions = metallb_definitions()
    cluster.apply(namespace("metallb-system"))
    cluster.kubectl("apply", "--filename=-", text=yaml.safe_dump_all(definitions))
    wait_until_served(cluster)
    before = versions(cluster, definitions)
    cluster.apply(POOL)
    run(cluster, "install", RELEASE, str(CHART), "--create-namespace")
    run(cluster, "upgrade", RELEASE, str(CHART))
    assert versions(cluster, definitions) == before
    assert get(cluster, "crd", "virtualips.pierhead.io")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    # Handed over as the README says, the next upgrade brings them up to date.
    hand_over(cluster, definitions)
    run(cluster, "upgrade", RELEASE, str(CHART), "--force-conflicts")
    assert "metallb-shaped" not in str([get(cluster, "crd", name)["spec"] for name in before])
    run(cluster, "uninstall", RELEASE)
    assert pool_addresses(cluster) == POOL["spec"]["addresses"]


def test_metallbs_release_goes_and_its_pools_stay(cluster: ControlPlane, tmp_path: Path) -> None:
    """The README's way: without it the pools go with MetalLB's release, with it they stay."""
    definitions = metallb_definitions()
    metallb = metallb_chart(tmp_path / "metallb", definitions)
    install = ("install", "metallb", metallb, "--namespace=metallb-system", "--create-namespace")
    helm(*install, kubeconfig=cluster.kubeconfig)
    helm("uninstall", "metallb", "--namespace=metallb-system", kubeconfig=cluster.kubeconfig)
    cluster.kubectl("wait", "--for=delete", "crd", "ipaddresspools.metallb.io", "--timeout=120s")

    helm(*install, kubeconfig=cluster.kubeconfig)
    wait_until_served(cluster)
    cluster.apply(POOL)
    run(cluster, "install", RELEASE, str(CHART), "--create-namespace")
    for definition in definitions:
        cluster.kubectl(
            "annotate", "--overwrite", "crd", definition["metadata"]["name"], "helm.sh/resource-policy=keep"
        )
    forget = ("upgrade", "metallb", metallb, "--namespace=metallb-system", "--reuse-values", "--set=crds.enabled=false")
    helm(*forget, kubeconfig=cluster.kubeconfig)
    helm("uninstall", "metallb", "--namespace=metallb-system", kubeconfig=cluster.kubeconfig)
    assert pool_addresses(cluster) == POOL["spec"]["addresses"]
    hand_over(cluster, definitions)
    run(cluster, "upgrade", RELEASE, str(CHART), "--reuse-values", "--force-conflicts")
    assert pool_addresses(cluster) == POOL["spec"]["addresses"]


def test_definitions_of_ours_that_belong_to_another_release_are_not_taken(cluster: ControlPlane) -> None:
    """Two releases would pull at them: Helm refuses, and takes them where it is told to."""
    run(cluster, "install", RELEASE, str(CHART), "--create-namespace")
    run(cluster, "uninstall", RELEASE)
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        run(cluster, "install", "other", str(CHART))
    run(cluster, "install", "other", str(CHART), "--take-ownership")


def test_metallbs_default_installation_can_be_followed_by_ours_in_any_namespace(cluster: ControlPlane) -> None:
    """A release in a namespace of another name has its allocator, its role and its Lease there."""
    helm("install", "edge", str(CHART), "--namespace=edge", "--create-namespace", kubeconfig=cluster.kubeconfig)
    pod = get(cluster, "deployment", "edge-pierhead-allocator", "edge")["spec"]["template"]["spec"]
    assert "--configuration-namespace=edge" in pod["containers"][0]["args"]
    assert pod["serviceAccountName"] == "edge-pierhead-allocator"


def run(cluster: ControlPlane, *arguments: str) -> str:
    """Helm in the release's namespace."""
    return helm(*arguments, f"--namespace={NAMESPACE}", kubeconfig=cluster.kubeconfig)


def get(cluster: ControlPlane, kind: str, name: str, namespace: str = "") -> Manifest:
    """One object as the API server has it."""
    place = (f"--namespace={namespace}",) if namespace else ()
    found: Manifest = json.loads(cluster.kubectl("get", kind, name, *place, "--output=json"))
    return found


def pool_addresses(cluster: ControlPlane) -> list[str]:
    """What is in the pool that the operator made."""
    addresses: list[str] = get(cluster, "ipaddresspool", "production", "metallb-system")["spec"]["addresses"]
    return addresses


def ours(cluster: ControlPlane) -> list[str]:
    """The objects of the release that are there, but for what it keeps."""
    kinds = "deployments,serviceaccounts,poddisruptionbudgets,networkpolicies,roles,rolebindings,services"
    cluster_kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    everywhere = cluster.kubectl("get", kinds, "--all-namespaces", selector, "--output=name")
    return (everywhere + cluster.kubectl("get", cluster_kinds, selector, "--output=name")).split()


def service() -> Manifest:
    """A Service that wants an address."""
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo", "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "ports": ports, "selector": {"app": "echo"}},
    }


def namespace(name: str) -> Manifest:
    """A namespace that an operator made."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def account(host: str) -> Manifest:
    """What a host is to the API server."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": host, "namespace": HOSTS}}


def give_address(cluster: ControlPlane) -> None:
    """Write the status that the allocator would write."""
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS, "ipMode": "VIP"}]}}})
    cluster.kubectl("patch", "service", "echo", "--namespace=shop", "--subresource=status", "--patch", patch)


def metallb_definitions() -> list[Manifest]:
    """Definitions of MetalLB's group as another owner wrote them: their texts are not ours."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "files/crds").glob("metallb.io_*"))]
    for definition in definitions:
        for version in definition["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"]["description"] = "metallb-shaped"
            version["schema"]["openAPIV3Schema"].pop("x-kubernetes-validations", None)
    return definitions


def metallb_chart(folder: Path, definitions: Sequence[Manifest]) -> str:
    """A chart that treats its definitions as MetalLB's does."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: metallb\nversion: 0.16.1\n")
    (folder / "values.yaml").write_text("crds:\n  enabled: true\n")
    (folder / "definitions.yaml").write_text(yaml.safe_dump_all(definitions))
    (folder / "templates/crds.yaml").write_text(METALLB_TEMPLATE)
    return str(folder)


def versions(cluster: ControlPlane, definitions: Sequence[Manifest]) -> dict[str, str]:
    """The generation of each definition, which every change of its spec raises."""
    names = [definition["metadata"]["name"] for definition in definitions]
    return {name: get(cluster, "crd", name)["metadata"]["generation"] for name in names}


def hand_over(cluster: ControlPlane, definitions: Sequence[Manifest]) -> None:
    """What the README has an operator do, so that the release may bring MetalLB's definitions up to date."""
    owner = (f"meta.helm.sh/release-name={RELEASE}", f"meta.helm.sh/release-namespace={NAMESPACE}")
    for definition in definitions:
        name = definition["metadata"]["name"]
        cluster.kubectl("annotate", "--overwrite", "crd", name, *owner)
        cluster.kubectl("label", "--overwrite", "crd", name, "app.kubernetes.io/managed-by=Helm")
