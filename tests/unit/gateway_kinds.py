# SPDX-License-Identifier: Apache-2.0
"""
What Envoy Gateway takes in an EnvoyProxy and an EnvoyExtensionPolicy, as far as our manifests go.

No package carries its CRDs. These fields, patterns and limits were read in its Go types
(``api/v1alpha1/dynamic_module_types.go`` at commit 40b4b04, ``shared_types.go``), so a typing error
in a manifest is found here, and a change of Envoy Gateway is not.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def an_object(required: str = "", **properties: Schema) -> Schema:
    """Give the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def a_list(items: Schema, **limits: int) -> Schema:
    """Give the schema of a list that is not empty."""
    return {"type": "array", "items": items, "minItems": 1, **limits}


TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 253}
NAME: Schema = {**TEXT, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"}
BOOL: Schema = {"type": "boolean"}
CORE: Schema = {}  # Kubernetes' own: checked with Kubernetes' schemas
VERSION: Schema = {"const": "gateway.envoyproxy.io/v1alpha1"}
METADATA = an_object("name", name=NAME, namespace=NAME)

LOCAL = an_object("path", path={"type": "string", "pattern": "^/", "maxLength": 4096})
ENTRY = an_object(
    "name source",
    name=NAME,
    source=an_object("type local", type={"const": "Local"}, local=LOCAL),
    doNotClose=BOOL,
    loadGlobally=BOOL,
)
DEPLOYMENT = an_object(
    container=an_object(env=CORE, image=TEXT, volumeMounts=CORE),
    initContainers=CORE,
    pod=an_object(volumes=CORE),
)
PROVIDER = an_object(
    "type kubernetes",
    type={"const": "Kubernetes"},
    kubernetes=an_object(envoyDeployment=DEPLOYMENT),
)
MODULE = an_object(
    "name",
    name=NAME,
    filterName=TEXT,
    config={"type": "object"},
    terminalFilter=BOOL,
)
TARGET = an_object(
    "group kind name",
    group={"const": "gateway.networking.k8s.io"},
    kind={"enum": ["Gateway", "HTTPRoute", "GRPCRoute"]},
    name=NAME,
)

KINDS: dict[str, Schema] = {
    "EnvoyProxy": an_object(
        "apiVersion kind metadata spec",
        apiVersion=VERSION,
        kind=TEXT,
        metadata=METADATA,
        spec=an_object(provider=PROVIDER, dynamicModules=a_list(ENTRY)),
    ),
    "EnvoyExtensionPolicy": an_object(
        "apiVersion kind metadata spec",
        apiVersion=VERSION,
        kind=TEXT,
        metadata=METADATA,
        spec=an_object("targetRefs", targetRefs=a_list(TARGET), dynamicModule=a_list(MODULE)),
    ),
}
