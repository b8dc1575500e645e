# SPDX-License-Identifier: Apache-2.0
"""Parts of Envoy's configuration with operators in them, and what they are resolved to."""

from __future__ import annotations

from typing import Any

from envoy_pyfilter._operator.rewrite import Options, changes

Dict = dict[str, Any]
TYPE = "type.googleapis.com/envoy.extensions."
P = "envoy.filters.http.ext_proc/"
K = [f"{P}envoyextensionpolicy/default/policy-for-route-{n}/extproc/0" for n in (1, 2)]
ON = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
OFF = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}


def op(argument: str) -> str:
    """Write the operator."""
    return f"%EG_EXT_FILTER_STATE({argument})%"


def fs(key: str, rest: str) -> str:
    """Write Envoy's command."""
    return f"%FILTER_STATE({key}:{rest})%"


def ext_proc(name: str, alias: str = "", **fields: Any) -> Dict:
    """Give a native ext_proc, with an alias of its own."""
    config: Dict = {"@type": f"{TYPE}filters.http.ext_proc.v3.ExternalProcessor"}
    if alias:
        config["filter_metadata"] = {"alias": alias}
    return {"name": name, "typed_config": config, **fields}


def file_log(**log_format: Any) -> Dict:
    """Give a file log."""
    config = {"@type": f"{TYPE}access_loggers.file.v3.FileAccessLog", "log_format": log_format}
    return {"name": "envoy.access_loggers.file", "typed_config": config}


def text_log(text: str) -> Dict:
    """Give a file log with this text."""
    return file_log(text_format_source={"inline_string": text})


def manager(filters: list[Dict], **fields: Any) -> Dict:
    """Give a connection manager."""
    kind = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {"@type": f"{TYPE}{kind}", "http_filters": filters, **fields}


def listener(one: Dict, **fields: Any) -> Dict:
    """Give a listener."""
    return {"filter_chains": [{"filters": [{"name": "http", "typed_config": one}]}], **fields}


def resolved(value: Any, **options: Any) -> tuple[list[str], list[str]]:
    """Give the new texts in order, and the warnings."""
    made = changes(value, Options(**options))
    return list(made.texts.values()), [notice.text for _, notice in made.notices]


def logged(filters: list[Dict], text: str, **options: Any) -> tuple[list[str], list[str]]:
    """Resolve a connection manager's log."""
    return resolved(listener(manager(filters, access_log=[text_log(text)])), **options)


def headers(text: str) -> list[Dict]:
    """Give a header to add."""
    return [{"header": {"key": "x", "value": text}}]


def routes(*all_: Dict, **fields: Any) -> Dict:
    """Give a route configuration."""
    return {"virtual_hosts": [{"name": "h", "routes": list(all_)}], **fields}
