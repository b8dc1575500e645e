# SPDX-License-Identifier: Apache-2.0
"""Hooks that raise whatever there is to raise, also while their stream ends."""

from __future__ import annotations

import pytest

from .conftest import MakeConfig
from .host import Host
from .test_reentrancy import INSIDE, ended_by


@INSIDE
@pytest.mark.parametrize("policy", ["deny", "allow"])
def test_failed_hook_whose_answer_ends_the_stream(
    host: Host, scripted: MakeConfig, policy: str, *, inside: bool
) -> None:
    """Under ``deny`` the 500 can destroy the stream; under ``allow`` the request passes."""
    config = scripted(
        host, access=True, config={"on_error": policy}, on_request_headers="raise SystemExit(3)"
    )
    stream = config.stream()
    ended_by(stream, "send_response", inside=inside and policy == "deny")
    status = stream.request_headers()
    if policy == "deny":
        assert (1, 500) == (status, stream.call("send_response")["code"])
        assert ["denied", "response"] == config.kinds()
    else:
        assert (0, []) == (status, stream.calls())
        assert ["request", "response"] == config.kinds()
    assert 1 == config.counts()["hook_errors"]


@pytest.mark.parametrize(
    "error", ["SystemExit", "KeyboardInterrupt", "MemoryError", "GeneratorExit"]
)
def test_exceptions_that_would_end_a_program(host: Host, scripted: MakeConfig, error: str) -> None:
    """They are failures of a hook like any other, in every hook."""
    hooks = [
        "on_request_headers",
        "on_response_headers",
        "on_local_reply",
        "on_stream_complete",
        "on_downstream_above_high_watermark",
    ]
    for hook in hooks:
        config = scripted(host, **{hook: f"raise {error}"})
        stream = config.stream()
        stream.request_headers()
        stream.hook("above")
        stream.local_reply(503)
        stream.response_headers()
        stream.finish()
        assert {"hook_errors": 1} == config.counts()


def test_recursion_without_end(host: Host, scripted: MakeConfig) -> None:
    """A RecursionError in a hook, under a sanitizer's large frames."""
    config = scripted(host, on_request_headers="self.on_request_headers(stream, end_of_stream)")
    stream = config.stream()
    assert 1 == stream.request_headers()
    assert {"hook_errors": 1} == config.counts()
