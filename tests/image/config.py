# SPDX-License-Identifier: Apache-2.0
"""Bootstraps of Envoys in containers: made of the parts that the tests on the host have."""

from __future__ import annotations

from typing import Any

from e2e import bootstrap as b
from e2e.bootstrap import Dict

PORT = 10000
ADMIN = 9901
SOCKET_FOLDER = "/run/envoy-pyfilter"
SOCKET = f"{SOCKET_FOLDER}/access_log.sock"
STDOUT = {"type": "file", "path": "/dev/stdout"}
# What joins a stream's entries, and little more: for tests that make many streams.
FEW = ["kind", "request_id", "response_code", "response_flags"]


def everywhere(port: int) -> Dict:
    """Give the address by which a container is reached from outside."""
    return {"socket_address": {"address": "0.0.0.0", "port_value": port}}  # noqa: S104 (a container's)


def cilium_sink(**fields: Any) -> Dict:
    """Give the sink that sends to the agent's container."""
    return {"type": "cilium", "socket": SOCKET, **fields}


def access(*sinks: Dict, **log: Any) -> Dict:
    """Our filter with these sinks; *log* is the config's part of this name."""
    return b.py_filter("access", {"instance": "access", "sinks": list(sinks), "log": log})


def stderr_log() -> Dict:
    """Envoy's own access log, the oracle; entries of ours have stdout for themselves."""
    return b.typed(
        "envoy.access_loggers.stderr",
        "extensions.access_loggers.stream.v3.StderrAccessLog",
        log_format={"json_format": b.ORACLE},
    )


def bootstrap(
    filters: list[Dict],
    *,
    routes: list[Dict] | None = None,
    clusters: list[Dict] | None = None,
    oracle: bool = True,
    http: Dict | None = None,
) -> Dict:
    """Give a whole bootstrap: one listener, which Envoy answers itself without *routes*."""
    listener = b.listener(
        "edge",
        filters=filters,
        routes=routes or [b.direct()],
        access_log=[stderr_log()] if oracle else [],
        http=http,
        top={"address": everywhere(PORT)},
    )
    del listener["@type"]
    return {
        "node": {"id": "edge", "cluster": "edge"},
        "admin": {"address": everywhere(ADMIN)},
        "stats_flush_on_admin": True,
        "static_resources": {"listeners": [listener], "clusters": clusters or []},
    }


def cluster(address: str, **fields: Any) -> Dict:
    """Give the cluster ``upstream`` of one host, another container at *address*."""
    one = b.cluster("upstream", **fields)
    (group,) = one["load_assignment"]["endpoints"]
    (host,) = group["lb_endpoints"]
    host["endpoint"]["address"] = {"socket_address": {"address": address, "port_value": PORT}}
    return one
