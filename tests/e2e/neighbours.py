# SPDX-License-Identifier: Apache-2.0
"""Filters and settings of Envoy, and filters of ours, that stand around the one under test."""

from __future__ import annotations

from pathlib import Path

from .bootstrap import HERE, Dict, py_filter, typed
from .site import class_name


def python(**hooks: str) -> Dict:
    """Another filter of ours, in Python, which does what the hooks' texts say."""
    config: Dict = {"instance": "other", "python_path": [str(HERE)], "hooks": hooks}
    return py_filter(class_name("Scripted", hooks), config)


def rbac() -> Dict:
    """Envoy's filter that refuses, here everybody."""
    anything = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    return typed(
        "envoy.filters.http.rbac",
        "extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "DENY", "policies": {"all": anything}},
    )


def grpc_bridge() -> Dict:
    """Envoy's filter that adds ``grpc-status`` trailers to the response of a plain upstream."""
    return typed(
        "envoy.filters.http.grpc_http1_reverse_bridge",
        "extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig",
        content_type="application/x-protobuf",
    )


def recreating(uri: str) -> Dict:
    """Envoy's filter that sends a stream whose answer is 404 to *uri*, for a 299."""
    answer = typed(
        "redirect",
        "extensions.http.custom_response.redirect_policy.v3.RedirectPolicy",
        uri=uri,
        status_code=299,
    )
    status = typed("status", "type.matcher.v3.HttpResponseStatusCodeMatchInput")
    on_404 = {"single_predicate": {"input": status, "value_match": {"exact": "404"}}}
    matchers = [{"predicate": on_404, "on_match": {"action": answer}}]
    return typed(
        "envoy.filters.http.custom_response",
        "extensions.filters.http.custom_response.v3.CustomResponse",
        custom_response_matcher={"matcher_list": {"matchers": matchers}},
    )


def overloaded(pressure: Path) -> Dict:
    """Refuse all requests while the file *pressure* says 1, looked at when Envoy starts."""
    monitor = typed(
        "envoy.resource_monitors.injected_resource",
        "extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig",
        filename=str(pressure),
    )
    trigger = {"name": monitor["name"], "threshold": {"value": 0.9}}
    action = {"name": "envoy.overload_actions.stop_accepting_requests", "triggers": [trigger]}
    return {"refresh_interval": "0.01s", "resource_monitors": [monitor], "actions": [action]}
