# SPDX-License-Identifier: Apache-2.0
"""Hooks that go wrong: settled once, by the policy, and never the end of Envoy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from envoy_pyfilter import BUFFER, PAUSE, Config, PyFilterError, Reply, Stream
from envoy_pyfilter.testing import FakeHost, FakeStream

from .helpers import ALLOW, fake_with, filter_with, raises, returns, stream_with
from .test_flow_verdicts import KINDS, PHASES, STATUSES

DENY = Config()


def deeper(depth: int) -> int:
    """Call itself, with as many arguments as parameters: 3.13.0 lets others eat all memory."""
    return deeper(depth + 1)


def endless(*_: object) -> Any:
    """Never come back."""
    return deeper(0)


ERRORS: dict[str, Callable[..., Any]] = {
    "Exception": raises(ValueError("mine")),
    "SystemExit": raises(SystemExit(1)),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "RecursionError": endless,
    "MemoryError": raises(MemoryError()),
    "GeneratorExit": raises(GeneratorExit()),
    "StopIteration": raises(StopIteration()),
    "PyFilterError": raises(PyFilterError("mine")),
    "wrong number": returns(0),
    "wrong type": returns("pass"),
    "wrong bool": returns(True),
    "class for instance": returns(Reply),
    "wrong arguments": lambda: None,
}
EVENTS: dict[str, Callable[[Stream], object]] = {
    **PHASES,
    "on_local_reply": lambda s: s._local_reply(503, b"", False),
    "on_stream_complete": Stream._stream_complete,
    "on_downstream_above_high_watermark": Stream._above_high_watermark,
    "on_downstream_below_low_watermark": Stream._below_low_watermark,
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("hook", EVENTS)
def test_each_failure_is_logged_and_counted_once(
    hook: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a hook raises or returns: one traceback, one count, and never again."""
    called: list[str] = []
    hooks = {name: lambda *_, name=name: called.append(name) for name in EVENTS}
    host, stream = stream_with(**{**hooks, hook: ERRORS[error]})
    EVENTS[hook](stream)
    for enter in EVENTS.values():
        enter(stream)

    assert ([hook], [], True) == (host.failed_hooks, called, stream.failed)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"{hook} of Scripted raised" == record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[2] is not None


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("phase", PHASES)
def test_deny(phase: str, error: str) -> None:
    """Under deny a failed hook answers 500 and stops, and nothing passes after it."""
    host, stream = stream_with(DENY, **{phase: ERRORS[error]})
    assert STATUSES[KINDS[phase]]["Reply"] == PHASES[phase](stream)
    (reply,) = host.replies
    assert (500, b"", [], b"python_filter_failed") == (
        reply.status,
        reply.body,
        reply.headers,
        reply.details,
    )
    requests = [enter(stream) for name, enter in PHASES.items() if "request" in name]
    assert [1, 3, 1] == requests


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("phase", PHASES)
def test_allow(phase: str, error: str) -> None:
    """Under allow the stream goes on as if the filter were not there."""
    host, stream = stream_with(ALLOW, **{phase: ERRORS[error]})
    assert 0 == PHASES[phase](stream)
    assert [0] * len(PHASES) == [enter(stream) for enter in PHASES.values()]
    assert [] == host.calls


def test_deny_for_grpc() -> None:
    """A gRPC client gets grpc-status 13."""
    fake = fake_with(on_request_headers=raises(ValueError()))
    fake.request_headers({"content-type": "application/grpc"})
    assert (200, b"13") == (fake.downstream.status, fake.downstream.header("grpc-status"))


@pytest.mark.parametrize(
    "hook",
    [
        "on_local_reply",
        "on_stream_complete",
        "on_downstream_above_high_watermark",
        "on_downstream_below_low_watermark",
    ],
)
def test_events_answer_nothing(hook: str) -> None:
    """Where there is nothing to decide, a failure is logged and counted, no more."""
    host, stream = stream_with(DENY, **{hook: raises(ValueError())})
    EVENTS[hook](stream)
    assert ([], [hook]) == (host.calls, host.failed_hooks)


def test_deny_after_a_failed_watermark() -> None:
    """Under deny nothing passes a filter that has failed, wherever that was."""
    host, stream = stream_with(DENY, on_downstream_above_high_watermark=raises(ValueError()))
    stream._above_high_watermark()
    assert 1 == stream._request_headers(False)
    assert [500] == [reply.status for reply in host.replies]


def test_others_reply_passes_a_failed_filter() -> None:
    """Somebody else's local reply is not replaced because our hook for it failed."""
    host, stream = stream_with(DENY, on_local_reply=raises(ValueError()))
    stream._local_reply(503, b"", False)
    assert (0, []) == (stream._response_headers(True), host.calls)


def test_others_reply_on_a_denied_way() -> None:
    """An answer of Envoy's passes a filter that failed in a watermark hook before."""
    host, stream = stream_with(DENY, on_downstream_above_high_watermark=raises(ValueError()))
    stream._above_high_watermark()
    stream._local_reply(504, b"", False)
    assert (0, []) == (stream._response_headers(True), host.calls)


@pytest.mark.parametrize("held", [BUFFER, PAUSE])
@pytest.mark.parametrize("side", ["request", "response"])
def test_allow_lets_go_of_what_was_held(held: object, side: str) -> None:
    """Under allow what the failed filter held goes on, on its own side."""
    verdicts = iter([held, held])

    def on_body(*_: object) -> object:
        return next(verdicts)  # StopIteration at the third

    fake = fake_with(ALLOW, **{f"on_{side}_body": on_body})
    fake.request_headers(end_of_stream=side == "response")
    if side == "response":
        fake.response_headers()
    send = fake.request_body if side == "request" else fake.response_body
    out = fake.upstream if side == "request" else fake.downstream
    send(b"a")
    send(b"b")
    assert b"" == out.body
    send(b"c")
    assert b"abc" == out.body


@pytest.mark.parametrize(("config", "status", "body"), [(DENY, 500, b""), (ALLOW, None, b"ab")])
def test_failure_of_a_hook_that_had_to_wait(
    config: Config, status: int | None, body: bytes
) -> None:
    """The policy holds for hooks that run when a pause ends, too."""
    fake = fake_with(
        config,
        on_request_headers=returns(PAUSE),
        on_request_body=raises(ValueError()),
        on_request_trailers=raises(AssertionError("entered again")),
    )
    fake.request_headers()
    fake.request_body(b"ab")
    fake.request_trailers({"t": "1"})
    fake.stream.resume_request()
    assert (status, body, ["on_request_body"]) == (
        fake.downstream.status,
        fake.upstream.body,
        fake.failed_hooks,
    )


def test_allow_lets_go_of_the_other_side() -> None:
    """A failure in the response's hook lets a held request go on, too."""
    fake = fake_with(
        ALLOW, on_request_body=returns(PAUSE), on_response_headers=raises(ValueError())
    )
    fake.request_headers()
    fake.request_body(b"held", end_of_stream=True)
    fake.response_headers(end_of_stream=True)
    assert (b"held", 200) == (fake.upstream.body, fake.downstream.status)


@pytest.mark.parametrize("config", [DENY, ALLOW])
def test_failure_after_an_own_reply(config: Config) -> None:
    """A hook that replies and then raises has replied: no second answer, no traffic."""

    def hook(stream: Stream, _: bool) -> None:
        stream.reply(Reply(403))
        raise ValueError("too late")

    fake = fake_with(config, on_request_headers=hook)
    assert 1 == fake.request_headers()
    assert ([403], ["on_request_headers"], None) == (
        [reply.status for reply in fake.replies],
        fake.failed_hooks,
        fake.upstream.headers,
    )


@pytest.mark.parametrize("config", [DENY, ALLOW])
def test_failure_in_an_answer_in_pieces(config: Config) -> None:
    """A half answer that nobody will end is cut off."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(200)
        stream.send_response_data(b"half")
        raise ValueError("no more")

    fake = fake_with(config, on_request_headers=hook)
    assert 1 == fake.request_headers()
    assert (True, False, None) == (
        fake.downstream.reset,
        fake.downstream.ended,
        fake.upstream.headers,
    )


@pytest.mark.parametrize(("config", "status", "upstream"), [(DENY, 1, False), (ALLOW, 1, False)])
def test_inner_hook_that_fails(config: Config, status: int, upstream: bool) -> None:
    """When the local-reply hook fails within our reply, the reply stands."""
    fake = fake_with(
        config,
        on_request_headers=returns(Reply(403)),
        on_local_reply=raises(ValueError()),
    )
    assert status == fake.request_headers()
    assert (403, upstream, ["on_local_reply"]) == (
        fake.downstream.status,
        fake.upstream.headers is not None,
        fake.failed_hooks,
    )


def test_outer_hook_of_a_failed_one() -> None:
    """A hook that comes back to a stream that failed meanwhile decides nothing any more."""
    for config, status, replies in ((DENY, 1, [500]), (ALLOW, 0, [])):

        def hook(stream: Stream, _: bool) -> object:
            stream._above_high_watermark()
            return PAUSE

        host, stream = stream_with(
            config,
            on_request_headers=hook,
            on_downstream_above_high_watermark=raises(ValueError()),
        )
        assert status == stream._request_headers(False)
        assert replies == [reply.status for reply in host.replies]


def test_logging_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that fails does not make things worse."""
    monkeypatch.setattr(logging.Logger, "log", raises(MemoryError()))
    host, stream = stream_with(DENY, on_request_headers=raises(ValueError()))
    assert 1 == stream._request_headers(False)
    assert [500] == [reply.status for reply in host.replies]


def test_exception_that_cannot_be_printed(caplog: pytest.LogCaptureFixture) -> None:
    """An exception may be as broken as it likes."""

    class Broken(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    host, stream = stream_with(DENY, on_request_headers=raises(Broken()))
    assert 1 == stream._request_headers(False)
    assert [500] == [reply.status for reply in host.replies]
    assert 1 == len(caplog.records)


@pytest.mark.parametrize("broken", ["hook_failed", "reply", "header_values"])
def test_proxy_that_fails(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """When the proxy cannot even count or reply, the stream is cut off, not let through."""
    monkeypatch.setattr(FakeHost, broken, raises(MemoryError()))
    host, stream = stream_with(DENY, on_request_headers=raises(ValueError()))
    assert 1 == stream._request_headers(False)
    assert (
        ["reply"] if broken == "hook_failed" else ["reset 0 python_filter_failed"]
    ) == host.calls
    assert 3 == stream._request_body(False)


def test_complete_stream_is_not_answered() -> None:
    """A hook that runs into the stream's end within itself has nobody to deny."""

    def hook(stream: Stream, _: bool) -> None:
        stream._stream_complete()
        raise ValueError("late")

    host, stream = stream_with(DENY, on_request_body=hook)
    assert 3 == stream._request_body(False)
    assert [] == host.calls


def test_next_stream_is_untouched() -> None:
    """A failure is one stream's; the filter serves the next."""

    def hook(stream: Stream, _: bool) -> None:
        if stream.request_headers.get("x-bad"):
            raise ValueError

    one = filter_with(on_request_headers=hook)
    bad, good = FakeStream(one), FakeStream(one)
    bad.request_headers({"x-bad": "1"})
    good.request_headers()
    assert (500, True) == (bad.downstream.status, good.upstream.headers is not None)


def test_failure_that_would_let_too_much_go() -> None:
    """A held response that has outgrown its limit is reset: Envoy would not survive its going."""

    def hook(stream: Stream, _: bool) -> object:
        if stream.response_body.buffered_size:
            raise ValueError
        return BUFFER

    fake = FakeStream(filter_with(ALLOW, on_response_body=hook), buffer_limit=3)
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.response_body(b"ab")
    fake.response_body(b"cd")
    assert ["reset 0 response_payload_too_large"] == fake.calls
    assert (200, b"", True) == (
        fake.downstream.status,
        fake.downstream.body,
        fake.downstream.reset,
    )
