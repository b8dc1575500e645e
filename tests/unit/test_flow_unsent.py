# SPDX-License-Identifier: Apache-2.0
"""Answers that cannot be sent: nothing fails open, and nobody waits for an answer in vain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from envoy_pyfilter import PAUSE, Reply, Stream

from .helpers import ALLOW, Hook, fake_with, returns, stream_with
from .test_flow_verdicts import KINDS, PHASES, STATUSES

if TYPE_CHECKING:
    from envoy_pyfilter.testing import FakeHost

ANY: Any = None


def untold(**fields: object) -> Reply:
    """Make a reply that turns out bad only when it is sent."""
    reply = Reply(403, b"no")
    for name, value in fields.items():
        object.__setattr__(reply, name, value)
    return reply


BAD: dict[str, Hook] = {
    "details that are none": lambda *_: Reply(403, details=b"not_allowed"),  # type: ignore[arg-type]
    "details of a sent reply": lambda *_: untold(details=b"not_allowed"),
    "body of a sent reply": lambda *_: untold(body=5),
    "headers of a sent reply": lambda *_: untold(headers=[("a\r\nb", "c")]),
    "reply by call": lambda stream, *_: stream.reply(untold(details=None)),
    "no reply": lambda stream, *_: stream.reply(403),
    "reset with bad details": lambda stream, *_: stream.reset(details=5),
    "reset with a bad reason": lambda stream, *_: stream.reset("x"),
    "start of an answer": lambda stream, *_: stream.start_response("x"),
    "status of an answer": lambda stream, *_: stream.start_response(99),
}
ENVOY: dict[str, tuple[str, Hook]] = {
    "reply": ("reply", returns(Reply(403))),
    "start of an answer": ("reply_headers", lambda stream, *_: stream.start_response(200)),
    "whole answer": (
        "reply_headers",
        lambda stream, *_: stream.start_response(200, end_of_stream=True),
    ),
    "reset": ("reset", lambda stream, *_: stream.reset()),
}


@pytest.mark.parametrize("bad", BAD)
def test_deny_of_a_request(bad: str) -> None:
    """Under deny the client gets 500 and the upstream nothing."""
    fake = fake_with(on_request_headers=BAD[bad])
    assert 1 == fake.request_headers()
    assert (500, True, None, ["on_request_headers"]) == (
        fake.downstream.status,
        fake.downstream.ended,
        fake.upstream.headers,
        fake.failed_hooks,
    )


@pytest.mark.parametrize("bad", BAD)
def test_deny_of_a_response(bad: str) -> None:
    """Under deny the upstream's response does not pass."""
    fake = fake_with(on_response_headers=BAD[bad])
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    if not fake.completed and not fake.answered:
        fake.response_body(b"secret", end_of_stream=True)
    assert (500, b"", ["on_response_headers"]) == (
        fake.downstream.status,
        fake.downstream.body,
        fake.failed_hooks,
    )


@pytest.mark.parametrize("bad", BAD)
def test_allow(bad: str) -> None:
    """Under allow the stream goes on as if the filter were not there."""
    fake = fake_with(ALLOW, on_request_body=BAD[bad])
    fake.request_headers()
    assert 0 == fake.request_body(b"a", end_of_stream=True)
    fake.response_headers(end_of_stream=True)
    assert (b"a", 200, ["on_request_body"]) == (
        fake.upstream.body,
        fake.downstream.status,
        fake.failed_hooks,
    )


def test_allow_lets_go_of_the_other_side() -> None:
    """What was held when the answer could not be sent goes on, too."""
    fake = fake_with(
        ALLOW,
        on_request_headers=returns(PAUSE),
        on_response_headers=BAD["details of a sent reply"],
    )
    fake.request_headers(end_of_stream=True)
    fake.response_headers(end_of_stream=True)
    assert (True, 200) == (fake.upstream.ended, fake.downstream.status)


@pytest.mark.parametrize("name", ENVOY)
@pytest.mark.parametrize("phase", PHASES)
def test_a_call_that_raises(phase: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host's own call raises, nothing was told: the policy is still done."""
    call, hook = ENVOY[name]
    host, stream = stream_with(**{phase: hook})
    if name in ("start of an answer", "whole answer") and phase.startswith("on_response"):
        return  # a response is here: refused before any call
    _fails_once(host, call, monkeypatch)
    assert STATUSES[KINDS[phase]]["Reply"] == PHASES[phase](stream)
    assert [500] == [reply.status for reply in host.replies]


def test_a_piece_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose last piece could not be sent is cut off."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(200)
        _fails_once(fake, "reply_data", monkeypatch)
        stream.send_response_data(b"x", end_of_stream=True)

    fake = fake_with(on_request_headers=hook)
    assert 1 == fake.request_headers()
    assert (False, True) == (fake.downstream.ended, fake.downstream.reset)


@pytest.mark.parametrize("data", ["text", 5, None, [65]])
def test_a_piece_that_is_none(data: Any) -> None:
    """A piece is bytes; the answer is cut off where it is not."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(200)
        stream.send_response_data(data, end_of_stream=True)

    fake = fake_with(on_request_headers=hook)
    assert 1 == fake.request_headers()
    assert (False, True) == (fake.downstream.ended, fake.downstream.reset)


def test_a_refused_answer_may_be_followed_by_a_good_one() -> None:
    """A filter that catches the error can answer still."""

    def hook(stream: Stream, _: bool) -> Reply:
        with pytest.raises(TypeError):
            stream.reset(details=ANY)
        return Reply(403)

    fake = fake_with(on_request_headers=hook)
    fake.request_headers()
    assert (403, []) == (fake.downstream.status, fake.failed_hooks)


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_can_be_said(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the 500 nor a reset can be sent, C gets -1, by which it refuses itself."""
    host, stream = stream_with(**{phase: returns(5)})
    for call in ("reply", "reset"):
        monkeypatch.setattr(host, call, _raise)
    assert -1 == PHASES[phase](stream)


def test_nothing_can_be_said_by_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task has no status, so the next hook refuses; until then the stream is held."""
    fake = fake_with(on_request_headers=returns(PAUSE))
    fake.request_headers()
    with monkeypatch.context() as broken:
        for call in ("reply", "reset"):
            broken.setattr(fake, call, _raise)
        fake.stream.run_on_worker(lambda _: _raise())
        fake.run_scheduled()
    assert fake.upstream.headers is None
    fake.request_body(b"a", end_of_stream=True)
    assert (500, None) == (fake.downstream.status, fake.upstream.headers)


def _raise(*_: object, **__: object) -> None:
    raise MemoryError


def _fails_once(host: FakeHost, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good: Callable[..., None] = getattr(host, name)

    def call(*_: object, **__: object) -> None:
        monkeypatch.setattr(host, name, good)
        raise MemoryError

    monkeypatch.setattr(host, name, call)
