# SPDX-License-Identifier: Apache-2.0
"""
Envoy configuration that the command makes: one filter, or a whole bootstrap around it.

All of it is plain data; nothing here starts anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import yaml

Dict = dict[str, Any]

_TYPE = "type.googleapis.com/"
_HTTP = _TYPE + "envoy.extensions.filters.http."
FILTER_TYPE = _HTTP + "dynamic_modules.v3.DynamicModuleFilter"
ROUTE_TYPE = FILTER_TYPE + "PerRoute"
LOGGER_TYPE = _TYPE + "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog"
STRUCT_TYPE = _TYPE + "google.protobuf.Struct"
MANAGER_TYPE = (
    _TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
MODULE = "envoy_pyfilter"


@dataclass(frozen=True, slots=True, kw_only=True)
class PyFilter:
    """
    One of our filters: the value of ``filter_name`` and of its Struct.

    *unset*: dotted keys that *config* could have, but whose default is no value.
    """

    name: str
    config: Dict = field(default_factory=dict)
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a bootstrap is made from; a port 0 lets the system choose one."""

    filters: list[PyFilter]
    upstream: tuple[str, int]
    loggers: list[PyFilter] = field(default_factory=list)
    port: int = 0
    admin_port: int = 0
    demo: bool = False
    access_log: str | None = None  # the format of Envoy's own, on stderr


def py_filter(wanted: PyFilter) -> Dict:
    """Give the entry of ``http_filters`` for one of our filters."""
    return {
        "name": "envoy.filters.http.dynamic_modules",
        "typed_config": {
            "@type": FILTER_TYPE,
            "dynamic_module_config": {"name": MODULE, "do_not_close": True},
            "filter_name": wanted.name,
            "filter_config": {"@type": STRUCT_TYPE, "value": wanted.config},
        },
    }


def py_logger(wanted: PyFilter) -> Dict:
    """Give the entry of ``access_log`` for our access logger."""
    return {
        "name": "envoy.access_loggers.dynamic_modules",
        "typed_config": {
            "@type": LOGGER_TYPE,
            "dynamic_module_config": {"name": MODULE, "do_not_close": True},
            "logger_name": wanted.name,
            "logger_config": {"@type": STRUCT_TYPE, "value": wanted.config},
        },
    }


def _late_change() -> Dict:
    """
    Envoy's ``header_mutation``, to stand before our filter.

    A response passes the filters from the last to the first, so this one changes it after our
    response hook has run.
    """
    header = {"key": "x-demo", "value": "changed after the access filter's response hook"}
    change = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": _HTTP + "header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": [change, {"remove": "x-demo-internal"}]},
        },
    }


def _address(host: str, port: int) -> Dict:
    return {"socket_address": {"address": host, "port_value": port}}


def _access_log(text: str) -> Dict:
    """Envoy's own access log on stderr, one line for each request."""
    return {
        "name": "envoy.access_loggers.stderr",
        "typed_config": {
            "@type": _TYPE + "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            "log_format": {"text_format_source": {"inline_string": f"{text}\n"}},
        },
    }


def _listener(wanted: Wanted) -> Dict:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": _HTTP + "router.v3.Router"},
    }
    ours = [py_filter(one) for one in wanted.filters]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    manager: Dict = {
        "@type": MANAGER_TYPE,
        "stat_prefix": "ingress",
        "codec_type": "AUTO",
        "route_config": {
            "name": "local",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [*([_late_change()] if wanted.demo else []), *ours, router],
    }
    logs = [py_logger(one) for one in wanted.loggers]
    if wanted.access_log is not None:
        logs.append(_access_log(wanted.access_log))
    if logs:
        manager["access_log"] = logs
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": "ingress",
        "address": _address("127.0.0.1", wanted.port),
        "enable_reuse_port": False,  # else two Envoys at one port share its connections
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    }


def is_address(host: str) -> bool:
    """Tell an IP address from a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _cluster(host: str, port: int) -> Dict:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "name": "upstream",
        # A logical host tries all addresses of its name for each connection, as curl does: servers
        # often listen on one of ::1 and 127.0.0.1. STRICT_DNS would balance over them.
        "type": "STATIC" if is_address(host) else "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def bootstrap(wanted: Wanted) -> Dict:
    """Give a whole bootstrap: admin, one listener on loopback, one upstream."""
    return {
        "admin": {"address": _address("127.0.0.1", wanted.admin_port)},
        "static_resources": {
            "listeners": [_listener(wanted)],
            "clusters": [_cluster(*wanted.upstream)],
        },
    }


def as_yaml(value: object) -> str:
    """Write *value* as YAML, keys in the order in which they stand."""
    text: str = yaml.safe_dump(value, sort_keys=False, width=100)
    return text
