# SPDX-License-Identifier: Apache-2.0
"""Envoy's config, for a scenario and a variant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import job

if TYPE_CHECKING:
    from pathlib import Path

    from bench.scenarios import Scenario
    from bench.setup import Setup

TYPES = "type.googleapis.com/envoy.extensions."
STRUCT = "type.googleapis.com/google.protobuf.Struct"
STRING = "type.googleapis.com/google.protobuf.StringValue"
ANY_PORT = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
RARELY = {"miss_timeout": "299s", "megamiss_timeout": "299s"}
HTTP2: dict[str, Any] = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPES + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def typed(name: str, kind: str, **config: Any) -> dict[str, Any]:
    """Give an extension: its name, and its config of type *kind* (without the common prefix)."""
    return {"name": name, "typed_config": {"@type": TYPES + kind, **config}}


def module(name: str, filter_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Give an HTTP filter of a dynamic module; *config* is an Any."""
    return typed(
        f"bench/{name}",
        "filters.http.dynamic_modules.v3.DynamicModuleFilter",
        dynamic_module_config={"name": name, "do_not_close": True},
        filter_name=filter_name,
        filter_config=config,
    )


def module_log(name: str, logger_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Give an access logger of a dynamic module; *config* is an Any."""
    return typed(
        f"bench/{name}",
        "access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
        dynamic_module_config={"name": name, "do_not_close": True},
        logger_name=logger_name,
        logger_config=config,
    )


def file_log(path: Path, log_format: dict[str, Any]) -> dict[str, Any]:
    """Give Envoy's own file access log."""
    return typed(
        "file", "access_loggers.file.v3.FileAccessLog", path=str(path), log_format=log_format
    )


def pipe_cluster(name: str, socket: Path) -> dict[str, Any]:
    """Give an HTTP/2 cluster behind a UNIX socket."""
    cluster = _cluster(name, {"pipe": {"path": str(socket)}})
    return {**cluster, "typed_extension_protocol_options": HTTP2}


def external_processor(namespace: str, **mode: str) -> dict[str, Any]:
    """Give the filter whose server is the cluster ``ext_proc`` and may write metadata there."""
    sent = {"request_header_mode": "SEND", "response_header_mode": "SEND", **mode}
    return typed(
        "ext_proc",
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "ext_proc"}},
        message_timeout="10s",
        processing_mode=sent,
        metadata_options={"receiving_namespaces": {"untyped": [namespace]}},
    )


def upstream(scenario: Scenario) -> dict[str, Any]:
    """Give the config of the Envoy that stands behind the measured one."""
    return whole(_answer(job.response_headers(scenario)), [], [], [])


def llm_socket(folder: Path) -> Path:
    """Tell where the upstream that streams as an LLM's API does listens."""
    return folder / "llm.sock"


def behind(scenario: Scenario, folder: Path, port: int | None) -> dict[str, Any] | None:
    """Give the cluster of what is behind the measured Envoy; None: it answers by itself."""
    if scenario.llm:
        return pipe_cluster("upstream", llm_socket(folder))
    if scenario.upstream:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        return _cluster("upstream", address)
    return None


def measured(
    scenario: Scenario, setup: Setup, upstream_cluster: dict[str, Any] | None
) -> dict[str, Any]:
    """Give the config of the Envoy that is measured."""
    clusters = list(setup.clusters)
    if upstream_cluster is None:
        route = _answer(job.response_headers(scenario))
    else:
        clusters.append(upstream_cluster)
        route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    return whole(route, setup.filters, setup.logs, clusters)


def _answer(headers: dict[str, str]) -> dict[str, Any]:
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": job.BODY}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}} for key, value in headers.items()
        ],
    }


def _cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address}}
    return {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "circuit_breakers": {
            "thresholds": [{"max_requests": 100000, "max_pending_requests": 100000}]
        },
    }


def whole(
    route: dict[str, Any],
    filters: list[dict[str, Any]],
    logs: list[dict[str, Any]],
    clusters: list[dict[str, Any]],
) -> dict[str, Any]:
    """Give the config of an Envoy with one route, which does little by the clock."""
    manager = typed(
        "http",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        access_log=logs,
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
        http_filters=[*filters, typed("router", "filters.http.router.v3.Router")],
    )
    listener = {"name": "l", "address": ANY_PORT, "filter_chains": [{"filters": [manager]}]}
    return {
        "admin": {"address": ANY_PORT},
        # What Envoy does by the clock is no request's: it would count more on a slower machine.
        "stats_flush_interval": "299s",
        "watchdogs": {"main_thread_watchdog": RARELY, "worker_watchdog": RARELY},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }
