# SPDX-License-Identifier: Apache-2.0
"""
Envoy's configuration as plain dicts: bootstrap, listener, routes, filters, access log.

Nothing here starts anything; ``envoy.py`` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .http3 import Certificate, free_port

Dict = dict[str, Any]

HERE = Path(__file__).parent
_TYPE = "type.googleapis.com/envoy."

# What Envoy's own access log says of each stream. It is the oracle: our entries are compared with
# it, never the other way round. Keys are those of our entry where there is one for the value.
ORACLE: dict[str, str] = {
    "request_id": "%REQ(X-REQUEST-ID)%",
    "start_time_unix_nano": "%START_TIME(%s%9f)%",
    "protocol": "%PROTOCOL%",
    "method": "%REQ(:METHOD)%",
    "scheme": "%REQ(:SCHEME)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "response_code": "%RESPONSE_CODE%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "route_name": "%ROUTE_NAME%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "emit_time_unix_nano": "%EMIT_TIME(%s%9f)%",
}


def typed(name: str, kind: str, **fields: Any) -> Dict:
    """Give a named extension with its typed config; *kind* is the type below ``envoy.``."""
    return {"name": name, "typed_config": {"@type": _TYPE + kind, **fields}}


def struct(value: Dict) -> Dict:
    """Wrap *value* as a ``google.protobuf.Struct`` in an Any."""
    return {"@type": "type.googleapis.com/google.protobuf.Struct", "value": value}


def module_config() -> Dict:
    """Name our module as a user would."""
    return {"name": "envoy_pyfilter", "do_not_close": True}


def py_filter(name: str, config: Dict | None = None, *, raw: Dict | None = None) -> Dict:
    """Our filter: *config* as a Struct, or *raw* as the whole ``filter_config`` Any."""
    given = raw if raw is not None else None if config is None else struct(config)
    return typed(
        "envoy.filters.http.dynamic_modules",
        "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        dynamic_module_config=module_config(),
        filter_name=name,
        **({} if given is None else {"filter_config": given}),
    )


def py_route(name: str, config: Dict) -> Dict:
    """
    Our per-route config, for ``typed_per_filter_config``.

    Envoy loads it before the filters, so it has to say where the tests' classes are.
    """
    return {
        "envoy.filters.http.dynamic_modules": {
            "@type": _TYPE
            + "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
            "dynamic_module_config": module_config(),
            "filter_name": name,
            "filter_config": struct({"python_path": [str(HERE)], **config}),
        }
    }


def py_logger(config: Dict | None = None, *, name: str = "access", **fields: Any) -> Dict:
    """Our access logger; *fields* stand beside its typed config, like Envoy's ``filter``."""
    given = {} if config is None else {"logger_config": struct(config)}
    return fields | typed(
        "envoy.access_loggers.dynamic_modules",
        "extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
        dynamic_module_config=module_config(),
        logger_name=name,
        **given,
    )


def header_mutation(*, response: dict[str, str]) -> Dict:
    """Envoy's filter that overwrites response headers."""
    changes = [
        {
            "append": {
                "header": {"key": key, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        }
        for key, value in response.items()
    ]
    return typed(
        "envoy.filters.http.header_mutation",
        "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": changes},
    )


def lua(source: str) -> Dict:
    """Envoy's Lua filter with this source."""
    return typed(
        "envoy.filters.http.lua",
        "extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": source},
    )


def buffer(limit: int) -> Dict:
    """Envoy's filter that holds a request until its body is complete."""
    return typed(
        "envoy.filters.http.buffer",
        "extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=limit,
    )


def set_metadata(namespace: str, value: Dict) -> Dict:
    """Envoy's filter that sets dynamic metadata."""
    return typed(
        "envoy.filters.http.set_metadata",
        "extensions.filters.http.set_metadata.v3.Config",
        metadata=[{"metadata_namespace": namespace, "value": value}],
    )


def fault(**fields: Any) -> Dict:
    """Envoy's filter that delays or answers; a fault without a percentage hits every request."""
    percent = {"percentage": {"numerator": 100}}
    return typed(
        "envoy.filters.http.fault",
        "extensions.filters.http.fault.v3.HTTPFault",
        **{kind: {**config, **percent} for kind, config in fields.items()},
    )


def set_filter_state(key: str, value: str) -> Dict:
    """Envoy's filter that sets filter state: *key* is a known one, which says what object it is."""
    state = {"object_key": key, "format_string": {"text_format_source": {"inline_string": value}}}
    return typed(
        "envoy.filters.http.set_filter_state",
        "extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers=[state],
    )


def router() -> Dict:
    """Envoy's last filter."""
    return typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")


def route(prefix: str = "/", **fields: Any) -> Dict:
    """One route; to the upstream unless *fields* say otherwise."""
    if not {"direct_response", "redirect", "route"} & fields.keys():
        fields["route"] = {"cluster": "upstream", "timeout": "30s"}
    return {"match": {"prefix": prefix}, **fields}


def direct(prefix: str = "/", *, status: int = 200, body: str = "direct", **fields: Any) -> Dict:
    """One route that Envoy answers itself."""
    answer = {"status": status, "body": {"inline_string": body}}
    return route(prefix, direct_response=answer, **fields)


def file_log(path: Path, extra: dict[str, str] | None = None) -> Dict:
    """Envoy's own access log: the oracle's fields and *extra* ones, as JSON lines."""
    return typed(
        "envoy.access_loggers.file",
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=str(path),
        log_format={"json_format": {**ORACLE, **(extra or {})}},
    )


def listener(
    name: str,
    *,
    filters: list[Dict],
    routes: list[Dict] | None = None,
    access_log: list[Dict] | None = None,
    http: Dict | None = None,
    virtual_host: Dict | None = None,
    top: Dict | None = None,
    route_config: Dict | None = None,
    quic: Certificate | None = None,
) -> Dict:
    """
    One listener on an ephemeral port of loopback: HTTP/1.1 and HTTP/2, or with *quic* HTTP/3.

    *http* is merged into the connection manager, *virtual_host* into the only virtual host, *top*
    into the listener itself, *route_config* into the routes' whole.
    """
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="AUTO" if quic is None else "HTTP3",
        http_protocol_options={"enable_trailers": True},
        # The client's request id is the one that joins its answer, our entry and Envoy's line.
        preserve_external_request_id=True,
        # How long Envoy waits for a client to close; a test's client waits for Envoy.
        delayed_close_timeout="0.05s",
        route_config={
            "name": name,
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": routes if routes is not None else [route()],
                    **(virtual_host or {}),
                }
            ],
            **(route_config or {}),
        },
        http_filters=[*filters, router()],
        access_log=access_log or [],
        **(http or {}),
    )
    chain: Dict = {"filters": [manager]}
    address: Dict = {"address": "127.0.0.1", "port_value": 0}
    if quic is not None:
        chain["transport_socket"] = quic_socket(quic)
        address |= {"protocol": "UDP", "port_value": free_port()}
        window = {"quic_protocol_options": {"initial_stream_window_size": 65535}}
        top = {"udp_listener_config": {"quic_options": window}, **(top or {})}
    return {
        "@type": _TYPE + "config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": address},
        "filter_chains": [chain],
        **(top or {}),
    }


def quic_socket(certificate: Certificate) -> Dict:
    """QUIC's half of a listener for HTTP/3."""
    files = {
        "certificate_chain": {"filename": str(certificate.chain)},
        "private_key": {"filename": str(certificate.key)},
    }
    return typed(
        "envoy.transport_sockets.quic",
        "extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
        downstream_tls_context={"common_tls_context": {"tls_certificates": [files]}},
    )


def cluster(
    name: str,
    port: int = 0,
    *,
    pipe: Path | None = None,
    http1: bool = False,
    common: Dict | None = None,
    **fields: Any,
) -> Dict:
    """
    Give a cluster of one host that gets the protocol that the client spoke, or *http1*.

    After HTTP/3 it gets HTTP/2. The host is a port of loopback, or a UNIX socket; *common* are
    HTTP options of both protocols.
    """
    address: Dict = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    if pipe is not None:
        address = {"pipe": {"path": str(pipe)}}
    endpoint: Dict = {
        "endpoint": {"address": address},
        "metadata": {"filter_metadata": {"e2e": {"of": "host"}}},
    }
    version1: Dict = {"http_protocol_options": {"enable_trailers": True}}
    options: Dict = {"use_downstream_protocol_config": {**version1, "http2_protocol_options": {}}}
    if http1:
        options = {"explicit_http_config": version1}
    if common is not None:
        options["common_http_protocol_options"] = common
    return {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                **options,
            }
        },
        "metadata": {"filter_metadata": {"e2e": {"of": "cluster"}}},
        **fields,
    }


def bootstrap(
    listeners_file: Path,
    clusters: list[Dict],
    runtime: Dict | None = None,
    overload: Dict | None = None,
    stats: str = "",
) -> Dict:
    """
    Give a bootstrap whose listeners come from a file that Envoy watches.

    *runtime* holds its keys, *overload* is its overload manager, *stats* a pattern of the only
    stats that are kept.
    """
    layer = {"name": "e2e", "static_layer": runtime or {}}
    return {
        "node": {"id": "e2e", "cluster": "e2e"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_flush_on_admin": True,
        **({"stats_config": only_stats(stats)} if stats else {}),
        "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(listeners_file)}}},
        "static_resources": {"clusters": clusters},
        "layered_runtime": {"layers": [layer]},
        **({} if overload is None else {"overload_manager": overload}),
    }


def only_stats(pattern: str) -> Dict:
    """Keep the stats whose whole names match."""
    patterns = [{"safe_regex": {"regex": pattern}}]
    return {"stats_matcher": {"inclusion_list": {"patterns": patterns}}}
