# SPDX-License-Identifier: Apache-2.0
"""
The seam itself fails: for want of memory Python cannot make a ``Stream``, or settle a failure.

C then answers in Python's place, by the same policy. A first stream plants the failure: the next
calls of one function of the seam raise MemoryError. The end of the config takes it away again.
"""

from __future__ import annotations

from typing import Any

import pytest

from .configs import Config, request
from .conftest import MakeConfig
from .host import Host

PLANT = """
    import envoy_pyfilter._hooks as seam
    from envoy_pyfilter.stream import Stream as whole
    name, count = stream.request_headers.get("x-break", b"").decode(), [{count}]
    if name:
        owner = seam if name == "_entered" else whole
        real = getattr(owner, name)
        def broken(*arguments):
            if count[0]:
                count[0] -= 1
                raise MemoryError
            return real(*arguments)
        setattr(owner, name, broken)
        kept["restore"] = owner, name, real
"""


def planted(
    scripted: MakeConfig,
    host: Host,
    name: str,
    *,
    count: int = 1,
    policy: str = "deny",
    **more: Any,
) -> Config:
    """Load a filter that wants all hooks, and let the next *count* calls of *name* fail."""
    hooks = dict.fromkeys(
        (
            "on_request_body",
            "on_request_trailers",
            "on_response_headers",
            "on_response_body",
            "on_response_trailers",
            "on_local_reply",
            "on_stream_complete",
            "on_downstream_above_high_watermark",
        ),
        "pass",
    )
    config = scripted(
        host,
        access=True,
        config={"on_error": policy, **more},
        on_request_headers=PLANT.format(count=count),
        on_config_destroy="setattr(*kept.pop('restore'))",
        **hooks,
    )
    stream = config.stream()
    stream.request_headers(request("plant", ("x-break", name)))
    stream.destroy()
    return config


def entries(config: Config) -> list[tuple[str, str]]:
    """Return kind and failed hook of the entries, but for the planting stream's."""
    found = [e for e in config.entries() if e.get("request_id") != "plant"]
    return [(e["kind"], e.get("failed_hook", "")) for e in found]


@pytest.mark.parametrize("name", ["_entered", "_request_headers"])
def test_request_is_denied(host: Host, scripted: MakeConfig, name: str) -> None:
    """Under ``deny`` the client gets a 500, and the record says why."""
    config = planted(scripted, host, name)
    stream = config.stream()
    assert 1 == stream.request_headers()
    reply = stream.call("send_response")
    assert (500, "pyfilter_seam_failed", []) == (reply["code"], reply["details"], reply["headers"])
    stream.finish()
    assert 1 == config.counts()["hook_errors"]
    assert [("denied", "seam"), ("response", "seam")] == entries(config)


@pytest.mark.parametrize("name", ["_entered", "_request_headers"])
def test_request_is_allowed(host: Host, scripted: MakeConfig, name: str) -> None:
    """Under ``allow`` it passes, and the record says that a hook failed."""
    config = planted(scripted, host, name, policy="allow")
    stream = config.stream()
    assert 0 == stream.request_headers()
    assert [] == stream.calls()
    stream.response_headers()
    stream.finish()
    assert 1 == config.counts()["hook_errors"]
    assert [("request", "seam"), ("response", "seam")] == entries(config)


def test_grpc_request_is_denied(host: Host, scripted: MakeConfig) -> None:
    """A gRPC client reads the status that says so."""
    config = planted(scripted, host, "_entered")
    stream = config.stream()
    assert 1 == stream.request_headers(request("a", ("content-type", "application/grpc+proto")))
    assert [["grpc-status", "13"]] == stream.call("send_response")["headers"]


def test_never_a_stream_again(host: Host, scripted: MakeConfig) -> None:
    """Every hook fails to make one: each request is denied, nothing crashes at any end."""
    config = planted(scripted, host, "_entered", count=1000)
    for inside in (True, False):
        stream = config.stream()
        if inside:
            stream.gone_when("send_response")
        assert 1 == stream.request_headers()
        if not inside:
            stream.hook("above")
            stream.finish()
    assert [("denied", "seam"), ("response", "seam")] * 2 == entries(config)


def test_response_is_denied(host: Host, scripted: MakeConfig) -> None:
    """Before the response has begun it becomes a 500; the request's entry was written already."""
    config = planted(scripted, host, "_response_headers")
    stream = config.stream()
    assert 0 == stream.request_headers()
    assert 1 == stream.response_headers(end=False)
    assert 500 == stream.call("send_response")["code"]
    stream.finish()
    assert ["request", "response"] == [kind for kind, _ in entries(config)]


@pytest.mark.parametrize("name", ["_response_body", "_response_trailers"])
def test_response_that_has_begun_is_reset(host: Host, scripted: MakeConfig, name: str) -> None:
    """Its headers are on their way: what is left is to break it off."""
    config = planted(scripted, host, name)
    stream = config.stream()
    stream.request_headers()
    assert 0 == stream.response_headers(end=False)
    if name == "_response_body":
        assert 3 == stream.response_body("x")
    else:
        assert 1 == stream.response_trailers((("a", "b"),))
    assert ["reset_stream"] == stream.calls()
    stream.finish()
    assert ["request", "response"] == [kind for kind, _ in entries(config)]


@pytest.mark.parametrize("name", ["_local_reply", "_stream_complete", "_above_high_watermark"])
def test_hooks_that_decide_nothing(host: Host, scripted: MakeConfig, name: str) -> None:
    """They go on as if nothing had happened."""
    config = planted(scripted, host, name)
    stream = config.stream()
    stream.request_headers()
    stream.hook("above")
    stream.local_reply(503)
    stream.response_headers()
    stream.finish()
    assert ["request", "response"] == [kind for kind, _ in entries(config)]


@pytest.mark.parametrize("count", [1, 5])
def test_end_that_fails(host: Host, scripted: MakeConfig, count: int) -> None:
    """The end of a stream fails once, or each time: Envoy is never asked again, nothing crashes."""
    config = planted(scripted, host, "_destroyed", count=count)
    for _ in range(2):
        stream = config.stream()
        stream.request_headers()
        stream.finish()
    assert [("request", ""), ("response", "")] * 2 == entries(config)
