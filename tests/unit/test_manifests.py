# SPDX-License-Identifier: Apache-2.0
"""The manifests of ``envoy/kubernetes``: what the APIs take, and what ``docs/deploy.md`` quotes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from .gateway_kinds import KINDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "envoy" / "kubernetes"
DOCS = ROOT / "docs" / "deploy.md"
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
OLDEST = "1.30"  # of the plain Deployment; image volumes came in 1.31
Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """Give what a file applies."""
    return list(yaml.safe_load_all(path.read_text()))


def pod(deployment: Document) -> Document:
    """Make a Pod of what an EnvoyProxy says of its own: parts that are Kubernetes' types."""
    container = {"name": "envoy", "image": "envoy", **deployment.get("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "proxy"},
        "spec": {
            "initContainers": deployment.get("initContainers", []),
            "containers": [container],
            **deployment.get("pod", {}),
        },
    }


def deployments() -> dict[str, Document]:
    """Give ``envoyDeployment`` of each EnvoyProxy, by the file's name."""
    return {
        path.name: one["spec"]["provider"]["kubernetes"]["envoyDeployment"]
        for path in MANIFESTS
        for one in documents(path)
        if one["kind"] == "EnvoyProxy"
    }


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_takes_the_plain_deployment(version: str) -> None:
    """Kubernetes' own schemas, strictly: no unknown field."""
    kinds = []
    for one in documents(FOLDER / "deployment.yaml"):
        kubernetes_validate.validate(one, version, strict=True)
        kinds.append(one["kind"])
    assert ["ConfigMap", "ConfigMap", "Deployment", "Service"] == kinds


def test_a_wrong_manifest_is_found() -> None:
    """The schemas that we hold the manifests against refuse a key that does not exist."""
    one = documents(FOLDER / "deployment.yaml")[2]
    one["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFilesystem"):
        kubernetes_validate.validate(one, OLDEST, strict=True)
    (policy,) = documents(FOLDER / "gateway-policy.yaml")
    policy["spec"]["dynamicModules"] = policy["spec"].pop("dynamicModule")
    with pytest.raises(jsonschema.ValidationError, match="dynamicModules"):
        jsonschema.validate(policy, KINDS["EnvoyExtensionPolicy"])


def test_everything_mounted_exists() -> None:
    """Names of ConfigMaps, ports and labels that refer to each other."""
    *maps, deployment, service = documents(FOLDER / "deployment.yaml")
    template = deployment["spec"]["template"]
    spec, labels = template["spec"], template["metadata"]["labels"]
    named = {volume["configMap"]["name"] for volume in spec["volumes"]}
    assert {one["metadata"]["name"] for one in maps} == named
    (container,) = spec["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in spec["volumes"]} == mounted
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    bootstrap = yaml.safe_load(maps[1]["data"]["envoy.yaml"])
    listeners = bootstrap["static_resources"]["listeners"]
    numbers = [one["address"]["socket_address"]["port_value"] for one in listeners]
    assert [ports["http"], ports["probes"]] == numbers
    assert "probes" == container["readinessProbe"]["httpGet"]["port"]
    assert "http" == service["spec"]["ports"][0]["targetPort"]
    drains = container["lifecycle"]["preStop"]["exec"]["command"]
    manager = listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["stat_prefix"] == drains[3]
    assert float(drains[4]) < spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    "path", [p for p in MANIFESTS if "gateway" in p.name], ids=lambda p: p.name
)
def test_envoy_gateway_takes_its_fields(path: Path) -> None:
    """Fields as its Go types have them; no package carries the CRDs."""
    for one in documents(path):
        jsonschema.validate(one, KINDS[one["kind"]])


@pytest.mark.parametrize("name", sorted(deployments()))
def test_kubernetes_takes_what_a_proxy_adds(name: str) -> None:
    """Volumes and containers of an EnvoyProxy are Kubernetes' types; each mount has a volume."""
    one = pod(deployments()[name])
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(one, version, strict=True)
    spec = one["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    containers = spec["initContainers"] + spec["containers"]
    mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
    assert volumes == mounted


def test_the_policy_names_a_registered_module() -> None:
    """Each EnvoyProxy registers what the policy uses, and keeps it open."""
    (policy,) = documents(FOLDER / "gateway-policy.yaml")
    used = {module["name"] for module in policy["spec"]["dynamicModule"]}
    for name in deployments():
        (proxy,) = documents(FOLDER / name)
        entries = {entry["name"]: entry for entry in proxy["spec"]["dynamicModules"]}
        assert used == entries.keys()
        assert all(entry["doNotClose"] for entry in entries.values())


QUOTE = re.compile(r"^```\w+\n# (envoy/kubernetes/\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_docs_quote_the_files() -> None:
    """Every block of the page that names a file is a piece of it, and every file is named."""
    quotes = QUOTE.findall(DOCS.read_text())
    for name, text in quotes:
        assert text in (ROOT / name).read_text(), f"{name}: {text}"
    quoted = {name for name, _ in quotes}
    assert {f"envoy/kubernetes/{path.name}" for path in MANIFESTS} == quoted
    assert "envoy/kubernetes/Dockerfile" in DOCS.read_text()
