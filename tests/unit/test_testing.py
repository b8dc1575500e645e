# SPDX-License-Identifier: Apache-2.0
"""The fakes that filters are tested with."""

from __future__ import annotations

import threading

import msgspec
import pytest
from envoy_pyfilter import (
    BUFFER,
    PASS,
    PAUSE,
    AccessConfig,
    AccessFilter,
    Decision,
    LocalReply,
    Reply,
    Stream,
)
from envoy_pyfilter.testing import FakeStream, run_stream

from .helpers import fake_with, filter_with, raises, returns


def test_whole_exchange() -> None:
    """A request and its response go through with all their parts."""
    order: list[str] = []
    names = (
        "on_request_headers",
        "on_request_body",
        "on_request_trailers",
        "on_response_headers",
        "on_response_body",
        "on_response_trailers",
        "on_stream_complete",
    )
    fake = run_stream(
        filter_with(**{name: lambda *_, name=name: order.append(name) for name in names}),
        request_headers={":method": "POST", "x-a": "1"},
        request_body=b"ab",
        request_trailers={"x-b": "2"},
        response_headers={":status": "201"},
        response_body=[b"cd", b"ef"],
        response_trailers={"x-c": "3"},
    )
    assert [*names[:5], *names[4:]] == order
    assert (b"POST", b"/", b"1", b"ab", b"2", True) == (
        fake.upstream.header(":method"),
        fake.upstream.header(":path"),
        fake.upstream.header("X-A"),
        fake.upstream.body,
        fake.upstream.trailer("x-b"),
        fake.upstream.ended,
    )
    assert (201, [b"cd", b"ef"], b"3", True) == (
        fake.downstream.status,
        fake.downstream.chunks,
        fake.downstream.trailer("x-c"),
        fake.downstream.ended,
    )


def test_answered_exchange() -> None:
    """A filter that answers keeps the upstream out of it; the stream is complete all the same."""
    ended: list[str | int | bool | None] = []
    fake = run_stream(
        filter_with(
            on_request_headers=returns(Reply(403)),
            on_stream_complete=lambda s: ended.append(s.attribute("response.code")),
        ),
        response_headers={":status": "200"},
    )
    assert (403, None, [403]) == (fake.downstream.status, fake.upstream.headers, ended)


def test_pause_in_an_exchange() -> None:
    """Another thread resumes what a hook pauses."""

    def hook(stream: Stream, _: bool) -> Decision:
        threading.Thread(target=stream.resume_request).start()
        return PAUSE

    fake = run_stream(filter_with(on_request_headers=hook), request_body=[b"a", b"b"])
    assert (b"ab", 200) == (fake.upstream.body, fake.downstream.status)


def test_pause_that_nobody_ends() -> None:
    """A pause that nobody ends fails the test that made it."""
    with pytest.raises(TimeoutError, match="nobody woke the stream"):
        run_stream(filter_with(on_response_headers=returns(PAUSE)), timeout=0.01)


@pytest.mark.parametrize("body", [b"", (), []])
def test_exchange_without_bodies(body: bytes | tuple[bytes, ...]) -> None:
    """Without a body the headers end both sides."""
    ends: list[bool] = []
    fake = run_stream(
        filter_with(on_request_headers=lambda _, end: ends.append(end)), request_body=body
    )
    assert ([True], True, True) == (ends, fake.upstream.ended, fake.downstream.ended)


@pytest.mark.parametrize(
    ("grpc", "reply", "expected"),
    [
        (False, Reply(403, "no"), (403, b"text/plain", b"no", None)),
        (False, Reply(403, "{}", {"content-type": "a/b"}), (403, b"a/b", b"{}", None)),
        (False, Reply(403), (403, None, b"", None)),
        (True, Reply(403, "no"), (200, b"application/grpc", b"", b"7")),
    ],
)
def test_local_replies_as_envoy_makes_them(
    grpc: bool,
    reply: Reply,
    expected: tuple[object, ...],
) -> None:
    """A reply comes out as a client of Envoy gets it."""
    fake = fake_with(on_request_headers=returns(reply))
    fake.request_headers({"content-type": "application/grpc"} if grpc else ())
    answer = fake.downstream
    assert expected == (
        answer.status,
        answer.header("content-type"),
        answer.body,
        answer.header("grpc-status"),
    )


def test_reply_without_grpc_status_succeeds() -> None:
    """What Envoy makes of a bare reply to a gRPC client is a success; the fake does the same."""
    fake = fake_with()
    fake.request_headers({"content-type": "application/grpc"})
    fake.reply(403, [], b"no", b"")
    assert (200, b"0", b"no") == (
        fake.downstream.status,
        fake.downstream.header("grpc-status"),
        fake.downstream.header("grpc-message"),
    )


def test_somebody_else_answers() -> None:
    """A local reply of Envoy's runs its hook, then those of the response."""
    order: list[object] = []
    fake = fake_with(
        on_local_reply=lambda _, reply: order.append(reply),
        on_response_headers=lambda s, end: order.append((s.response_headers[":status"], end)),
        on_response_body=lambda s, end: order.append((s.response_body.read(), end)),
    )
    fake.request_headers()
    fake.local_reply(503, {"x-a": "1"}, b"no upstream", "no_healthy_upstream")
    reply = LocalReply(status=503, details="no_healthy_upstream", reset_imminent=False)
    assert [reply, (b"503", False), (b"no upstream", True)] == order
    assert (503, b"1", b"no upstream") == (
        fake.downstream.status,
        fake.downstream.header("x-a"),
        fake.downstream.body,
    )


def test_request_outgrows_its_buffer() -> None:
    """A request that is buffered beyond the limit is answered with 413."""
    fake = FakeStream(
        filter_with(on_request_headers=returns(BUFFER), on_request_body=returns(BUFFER)),
        buffer_limit=3,
    )
    fake.request_headers()
    fake.request_body(b"abc")
    assert not fake.replies
    assert not fake.answered
    fake.request_body(b"d")
    assert (413, None) == (fake.downstream.status, fake.upstream.headers)


def test_response_outgrows_its_buffer() -> None:
    """A response that is buffered beyond the limit is replaced by 500."""
    fake = FakeStream(
        filter_with(on_response_headers=returns(BUFFER), on_response_body=returns(BUFFER)),
        buffer_limit=3,
    )
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.response_body(b"abcd")
    assert 500 == fake.downstream.status


def test_answer_after_the_response_began() -> None:
    """Once the client has headers, an answer can only cut the response off."""
    fake = fake_with(on_response_body=returns(Reply(502)))
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.response_body(b"ab")
    assert (200, b"", True) == (
        fake.downstream.status,
        fake.downstream.body,
        fake.downstream.reset,
    )


def test_pause_while_the_trailers_wait() -> None:
    """What comes after a pause at the headers waits, trailers too, and comes in order."""
    order: list[str] = []
    fake = fake_with(
        on_response_headers=returns(PAUSE),
        on_response_body=lambda s, end: order.append(f"{s.response_body.complete!r} {end}"),
        on_response_trailers=lambda s: order.append(repr(s.response_trailers.items())),
    )
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.response_body(b"ab")
    fake.response_trailers({"t": "1"})
    fake.stream.resume_response()
    assert ["b'ab' False", "[(b't', b'1')]"] == order
    assert (b"ab", b"1", True) == (
        fake.downstream.body,
        fake.downstream.trailer("t"),
        fake.downstream.ended,
    )


def test_buffer_again_after_a_pause() -> None:
    """A body that came at once after a pause may be held once more."""
    verdicts = iter([BUFFER, PASS])
    fake = fake_with(on_request_headers=returns(PAUSE), on_request_body=lambda *_: next(verdicts))
    fake.request_headers()
    fake.request_body(b"ab")
    fake.stream.resume_request()
    assert b"" == fake.upstream.body
    fake.request_body(b"cd", end_of_stream=True)
    assert (b"abcd", True) == (fake.upstream.body, fake.upstream.ended)


def test_held() -> None:
    """A test can ask whether the filter holds something."""
    fake = fake_with(on_request_headers=returns(PAUSE))
    fake.request_headers()
    assert fake.held
    fake.stream.resume_request()
    assert not fake.held


def test_unknown_metric() -> None:
    """A metric that the class does not declare is a mistake in the test."""
    with pytest.raises(LookupError, match="Scripted declares no metric hits"):
        fake_with().metric("hits")


def test_complete_once() -> None:
    """A stream ends once."""
    ended: list[Stream] = []
    fake = fake_with(on_stream_complete=ended.append)
    fake.complete()
    fake.complete()
    assert [fake.stream] == ended


def test_completed_without_a_request() -> None:
    """A stream may end before anything came."""
    fake = fake_with(on_stream_complete=lambda s: s.data.update(headers=s.request_headers.items()))
    fake.complete()
    assert {"headers": []} == fake.stream.data


def test_failing_filter_in_an_exchange() -> None:
    """A failing hook shows as it does on Envoy."""
    fake = run_stream(filter_with(on_request_headers=raises(ValueError())))
    assert (500, ["on_request_headers"]) == (fake.downstream.status, fake.failed_hooks)


def test_metrics_are_taken() -> None:
    """A filter whose config has metrics runs, and what it notes for them can be seen."""

    class Sized(AccessFilter):
        def on_request_headers(self, stream: Stream, end_of_stream: bool) -> None:  # noqa: ARG002
            stream.record.note("size", 5)

    metric = {"name": "sizes_total", "type": "counter", "value": "%NOTE(size)%"}
    fake = run_stream(Sized(msgspec.convert({"metrics": [metric]}, AccessConfig)))
    assert {"size": b"5"} == fake.noted()
