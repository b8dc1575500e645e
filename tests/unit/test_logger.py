# SPDX-License-Identifier: Apache-2.0
"""The access logger's config to a plan, and the exact words for what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from envoy_pyfilter import _logger
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.fields import LOGGER_FIELDS

if TYPE_CHECKING:
    from envoy_pyfilter.plan_spec import PlanSpec


def plan(config: dict[str, Any], name: str = "access") -> PlanSpec:
    """Compile a plan as Envoy would have it."""
    return _logger.load(name, json.dumps(config).encode(), validating=False)


def refusal(config: dict[str, Any], name: str = "access") -> str:
    """Return the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        plan(config, name)
    return str(caught.value)


def test_defaults() -> None:
    """Without a config, all that a logger can tell goes to standard output."""
    made = _logger.load("access", b"", validating=False)
    assert (True, "access", LOGGER_FIELDS) == (made.of_logger, made.instance, made.fields)
    assert ["/dev/stdout"] == [sink.path for sink in made.sinks]
    assert (False, ()) == (made.log_request, made.state)


def test_the_log_of_a_filter_that_says_the_same() -> None:
    """Keys that only a filter has choices for may have the value that a logger has."""
    log = {
        "request": False,
        "response_at": "stream_complete",
        "tunnel_at": "stream_complete",
        "compat": "none",
        "aborted": True,
        "redirected": True,
        "fields": ["access_log_type", "path"],
        "request_headers": {"include": ["X-*"], "redact": ["x-key"]},
        "trailers": False,
    }
    made = plan({"instance": "i", "log": log})
    assert ("i", ("path", "access_log_type"), False) == (made.instance, made.fields, made.trailers)
    assert ("x-*",) == made.request_headers.include
    assert "x-key" in made.request_headers.redact


CILIUM = {"type": "cilium", "socket": "@x"}
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"log": {"request": True}},
        (
            "log.request: an access logger writes no entry of the request, got true; "
            "expected false, or no such key"
        ),
    ),
    (
        {"log": {"response_at": "end_of_stream"}},
        (
            'log.response_at: an access logger writes when Envoy logs, got "end_of_stream"; '
            'expected "stream_complete", or no such key'
        ),
    ),
    (
        {"log": {"tunnel_at": "handshake"}},
        (
            'log.tunnel_at: an access logger writes when Envoy logs, got "handshake"; '
            'expected "stream_complete", or no such key'
        ),
    ),
    (
        {"log": {"compat": "cilium"}},
        (
            "log.compat: the filter of Envoy's access log says which streams are logged, "
            'got "cilium"; expected "none", or no such key'
        ),
    ),
    (
        {"log": {"aborted": False}},
        (
            "log.aborted: the filter of Envoy's access log says which streams are logged, "
            "got false; expected true, or no such key"
        ),
    ),
    (
        {"log": {"redirected": False}},
        (
            "log.redirected: the filter of Envoy's access log says which streams are logged, "
            "got false; expected true, or no such key"
        ),
    ),
    ({"log": {"fields": ["denied"]}}, "log.fields[0]: only an access filter can tell denied"),
    (
        {"log": {"fields": ["downstream_tls_versio"]}},
        (
            "log.fields[0]: unknown field downstream_tls_versio; "
            "did you mean downstream_tls_version?"
        ),
    ),
    (
        {"log": {"fields": ["tls_ja3"]}},
        "log.fields[0]: unknown field tls_ja3; did you mean tls_ja3_fingerprint?",
    ),
    (
        {"state": {"a": "b"}},
        (
            "state: an access logger cannot write filter state; "
            "expected it in the access filter's config"
        ),
    ),
    (
        {"on_error": "deny"},
        "on_error: unknown key; known: instance, python_path, log, sinks, state, metrics",
    ),
    ({"log": 1}, "log: wrong type, got 1; expected a mapping"),
    (
        {"instance": "a b"},
        (
            'instance: not allowed, got "a b"; '
            "expected 1 to 128 letters, digits, underscores, dots or dashes"
        ),
    ),
    (
        {"sinks": [{**CILIUM, "policy_name": "%NOTE(a)%"}]},
        "sinks[0].policy_name: an access logger cannot tell %NOTE(a)%",
    ),
    (
        {"sinks": [{**CILIUM, "proxy_id": "%FILTER_STATE(a.b)%"}]},
        "sinks[0].proxy_id: an access logger cannot tell %FILTER_STATE(a.b)%",
    ),
    (
        {"sinks": [{**CILIUM, "policy_name": "%FIELD(failed_hook)%"}]},
        "sinks[0].policy_name: an access logger cannot tell %FIELD(failed_hook)%",
    ),
]


@pytest.mark.parametrize(("config", "message"), BAD)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    """It names the logger, the key, the value and what was expected."""
    assert f"access logger: {message}" == refusal(config)


def test_other_names() -> None:
    """There is no other logger."""
    expected = (
        'access logger: logger_name: no access logger has this name, got "x:Y"; expected access'
    )
    assert expected == refusal({}, "x:Y")


def test_what_is_no_struct() -> None:
    """Envoy was given another message."""
    with pytest.raises(ConfigError, match=r"^access logger: logger_config must be a google"):
        _logger.load("access", b"text", validating=False)


def test_sinks(tmp_path: Path) -> None:
    """They are those of the access filter, with their errors."""
    file = {"type": "file", "path": str(tmp_path / "none" / "x")}
    assert refusal({"sinks": [file]}).startswith("access logger: sinks[0].path: there is no folder")
