# SPDX-License-Identifier: Apache-2.0
"""Where a body, and the limit of its buffer, cannot be changed: Envoy would not survive it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_pyfilter import BUFFER, Reply, Stream

from .helpers import fake_with, raises_in, returns

Change = Callable[[Stream], object]


def limit_to(limit: int) -> Change:
    """Change the limit."""
    return lambda stream: setattr(stream, "buffer_limit", limit)


REQUEST: list[Change] = [
    lambda s: s.request_body.drain(0),
    lambda s: s.request_body.append(b"x"),
    lambda s: s.request_body.replace(b"x"),
]
RESPONSE: list[Change] = [
    lambda s: s.response_body.drain(0),
    lambda s: s.response_body.append(b"x"),
    lambda s: s.response_body.replace(b"x"),
]


@pytest.mark.parametrize("change", REQUEST)
def test_request_in_a_response_hook(change: Change) -> None:
    """The request's body belongs to the request's hooks."""
    text = "the request's body cannot be changed in a hook of the response"
    fake = fake_with(on_response_headers=raises_in(change, RuntimeError, text))
    fake.request_headers(end_of_stream=True)
    fake.response_headers(end_of_stream=True)
    assert not fake.failed_hooks


@pytest.mark.parametrize("change", RESPONSE)
def test_response_in_a_request_hook(change: Change) -> None:
    """The response's body belongs to the response's hooks."""
    text = "the response's body cannot be changed in a hook of the request"
    fake = fake_with(on_request_headers=raises_in(change, RuntimeError, text))
    fake.request_headers(end_of_stream=True)
    assert not fake.failed_hooks


@pytest.mark.parametrize("change", [*REQUEST, *RESPONSE, limit_to(1 << 21)])
@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ("on_local_reply", "not in this hook: leave it to stream.run_on_worker"),
        ("on_downstream_above_high_watermark", "not in this hook: leave it to"),
        ("on_stream_complete", "the stream is over: its bodies cannot be changed"),
    ],
)
def test_in_hooks_that_decide_nothing(hook: str, text: str, change: Change) -> None:
    """Envoy is amid something there."""
    fake = fake_with(**{hook: raises_in(change, RuntimeError, text)})
    fake.request_headers()
    fake.above_high_watermark()
    fake.local_reply(503)
    fake.complete()
    assert not fake.failed_hooks


@pytest.mark.parametrize("change", [*REQUEST, limit_to(1 << 21)])
def test_after_an_answer(change: Change) -> None:
    """What was answered goes nowhere."""

    def hook(stream: Stream, _: bool) -> None:
        stream.reply(Reply(403))
        with pytest.raises(RuntimeError, match="the stream is over"):
            change(stream)

    fake = fake_with(on_request_headers=hook)
    fake.request_headers()
    assert (403, []) == (fake.downstream.status, fake.failed_hooks)


def test_on_the_worker() -> None:
    """Outside of hooks both sides can be changed."""
    fake = fake_with(on_request_headers=returns(BUFFER), on_request_body=returns(BUFFER))
    fake.request_headers()
    fake.request_body(b"ab")
    fake.stream.run_on_worker(lambda stream: stream.request_body.append(b"c"))
    fake.run_scheduled()
    assert b"abc" == fake.stream.request_body.read_buffered()


def test_limit_below_what_is_buffered() -> None:
    """Envoy would answer within the call."""
    fake = fake_with(on_request_headers=returns(BUFFER), on_request_body=returns(BUFFER))
    fake.request_headers()
    fake.request_body(b"abc")
    with pytest.raises(ValueError, match="3 bytes are buffered already: the limit cannot be 2"):
        fake.stream.buffer_limit = 2
    for limit in (3, 0):
        fake.stream.buffer_limit = limit
        assert limit == fake.stream.buffer_limit
