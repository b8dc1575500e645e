# SPDX-License-Identifier: Apache-2.0
"""Answers whose status or method allows no body: nothing of one gets to the connection."""

from __future__ import annotations

import pytest
from envoy_pyfilter import Reply, Stream

from .helpers import Hook, fake_with, raises_in, returns

HEAD = {":method": "HEAD"}


def in_pieces(status: int, *, data: bytes = b"x", trailers: bool = False) -> Hook:
    """Make a hook that answers in pieces."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(status, {"x-kind": "pieces"})
        stream.send_response_data(data)
        if trailers:
            stream.send_response_trailers({"x-end": "1"})
        else:
            stream.send_response_data(b"", end_of_stream=True)
        with pytest.raises(RuntimeError, match="no answer in pieces"):
            stream.send_response_data(b"late")

    return hook


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize(("status", "data"), [(200, b"x"), (204, b""), (304, b"")])
def test_pieces_to_head(status: int, data: bytes, trailers: bool) -> None:
    """HEAD gets the headers, and the filter may do as for GET."""
    fake = fake_with(on_request_headers=in_pieces(status, data=data, trailers=trailers))
    assert 1 == fake.request_headers(HEAD, end_of_stream=True)
    assert (status, b"pieces", b"", None, True, []) == (
        fake.downstream.status,
        fake.downstream.header("x-kind"),
        fake.downstream.body,
        fake.downstream.trailers,
        fake.downstream.ended,
        fake.failed_hooks,
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304])
def test_data_after_a_status_without_body(status: int, method: str) -> None:
    """Data where none can be is a mistake; what was sent before is a whole answer."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(status)
        stream.send_response_data(b"")
        stream.send_response_data(b"x")

    fake = fake_with(on_request_headers=hook)
    fake.request_headers({":method": method}, end_of_stream=True)
    assert (status, b"", True, False, ["on_request_headers"]) == (
        fake.downstream.status,
        fake.downstream.body,
        fake.downstream.ended,
        fake.downstream.reset,
        fake.failed_hooks,
    )


def test_the_error_names_the_status() -> None:
    """The filter is told what is wrong."""
    wrong = raises_in(
        lambda s: s.send_response_data(b"x"), ValueError, "a reply with status 204 has no body"
    )

    def hook(stream: Stream, end: bool) -> None:
        stream.start_response(204)
        wrong(stream, end)

    fake = fake_with(on_request_headers=hook)
    fake.request_headers(end_of_stream=True)
    assert [] == fake.failed_hooks


def test_reply_to_head() -> None:
    """A whole reply to HEAD says how long the body would be."""
    fake = fake_with(on_request_headers=returns(Reply(403, b"no")))
    fake.request_headers(HEAD, end_of_stream=True)
    assert (403, b"2", b"") == (
        fake.downstream.status,
        fake.downstream.header("content-length"),
        fake.downstream.body,
    )


@pytest.mark.parametrize("status", [204, 304])
def test_replies_without_body(status: int) -> None:
    """Such a reply is fine without a body."""
    fake = fake_with(on_request_headers=returns(Reply(status)))
    fake.request_headers(end_of_stream=True)
    assert (status, b"") == (fake.downstream.status, fake.downstream.body)
