# SPDX-License-Identifier: Apache-2.0
"""The order in which the parts of a stream may come to the fake."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_pyfilter import PASS, PAUSE, Decision

from .helpers import fake_with, returns


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["body"], "the {}'s body cannot come before its headers"),
        (["trailers"], "the {}'s trailers cannot come before its headers"),
        (["headers", "headers"], "the {}'s headers have come already"),
        (["headers", "trailers", "body"], "the {}'s body cannot come after its end"),
        (["headers", "trailers", "trailers"], "the {}'s trailers cannot come after its end"),
        (["headers", "last", "body"], "the {}'s body cannot come after its end"),
        (["headers", "last", "trailers"], "the {}'s trailers cannot come after its end"),
        (["only", "body"], "the {}'s body cannot come after its end"),
        (["only", "trailers"], "the {}'s trailers cannot come after its end"),
        (["complete", "headers"], "the stream is complete: nothing comes after that"),
        (["headers", "complete", "body"], "the stream is complete: nothing comes after that"),
        (["headers", "complete", "trailers"], "the stream is complete: nothing comes after that"),
        (["complete", "reply"], "the stream is complete: nothing comes after that"),
        (["complete", "watermark"], "the stream is complete: nothing comes after that"),
    ],
)
def test_wrong_order(side: str, steps: list[str], message: str) -> None:
    """What no Envoy does is a mistake in the test that does it."""
    fake = fake_with()
    headers, body, trailers = (
        getattr(fake, f"{side}_{part}") for part in ("headers", "body", "trailers")
    )
    do: dict[str, Callable[[], object]] = {
        "headers": headers,
        "only": lambda: headers(end_of_stream=True),
        "body": lambda: body(b"a"),
        "last": lambda: body(b"a", end_of_stream=True),
        "trailers": lambda: trailers({"t": "1"}),
        "complete": fake.complete,
        "reply": lambda: fake.local_reply(503),
        "watermark": fake.above_high_watermark,
    }
    for step in steps[:-1]:
        do[step]()
    with pytest.raises(RuntimeError, match=f"^{message.format(side)}$"):
        do[steps[-1]]()


def test_response_before_its_request() -> None:
    """An answer may come before anything of the request did."""
    fake = fake_with()
    fake.response_headers({":status": "408"}, end_of_stream=True)
    fake.request_headers(end_of_stream=True)
    assert (408, True) == (fake.downstream.status, fake.upstream.ended)


@pytest.mark.parametrize(
    ("verdict", "expected"), [(PASS, (200, b"", True)), (PAUSE, (504, b"late", False))]
)
def test_somebody_answers_after_the_response(
    verdict: Decision, expected: tuple[int, bytes, bool]
) -> None:
    """A local reply after a response replaces what is held, and cuts off what has begun."""
    fake = fake_with(on_response_headers=returns(verdict))
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.local_reply(504, body=b"late", details="response_timeout")
    answer = fake.downstream
    assert expected == (answer.status, answer.body, answer.reset)
