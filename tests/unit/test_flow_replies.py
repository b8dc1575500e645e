# SPDX-License-Identifier: Apache-2.0
"""Replies, whole and in pieces, resets, and what comes after them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_pyfilter import PAUSE, Reply, ResetReason, Stream, StreamGone
from envoy_pyfilter.testing import FakeStream, SentReply

from .helpers import fake_with, filter_with, returns, stream_with
from .test_flow_verdicts import KINDS, PHASES, STATUSES

GRPC = {"content-type": "application/grpc+proto"}


def test_reply_as_envoy_gets_it() -> None:
    """A reply is handed over with encoded headers and body, details without blanks."""
    reply = Reply(429, "slöw", {"Retry-After": "5"}, details="too many requests")
    host, stream = stream_with(on_request_headers=returns(reply))
    stream._request_headers(True)
    assert [
        SentReply(
            status=429,
            headers=[(b"retry-after", b"5")],
            body="slöw".encode(),
            details=b"too_many_requests",
        )
    ] == host.replies


def test_client_gets_the_reply() -> None:
    """The client gets the reply and the upstream nothing."""
    fake = fake_with(on_request_headers=returns(Reply(403, b"no", {"x-why": "rule"})))
    fake.request_headers(end_of_stream=True)
    assert (403, b"no", b"rule") == (
        fake.downstream.status,
        fake.downstream.body,
        fake.downstream.header("x-why"),
    )
    assert fake.upstream.headers is None


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (Reply(403, "no way"), b"7", b"no way"),
        (Reply(403, "x", grpc_status=9, grpc_message="é"), b"9", b"%C3%A9"),
        (Reply(503), b"14", None),
    ],
)
def test_grpc_client_is_denied(reply: Reply, status: bytes, message: bytes | None) -> None:
    """A gRPC client gets an error, not Envoy's grpc-status 0, and no body."""
    fake = fake_with(on_request_headers=returns(reply))
    fake.request_headers(GRPC)
    assert (200, status, message, b"") == (
        fake.downstream.status,
        fake.downstream.header("grpc-status"),
        fake.downstream.header("grpc-message"),
        fake.downstream.body,
    )


@pytest.mark.parametrize("phase", PHASES)
def test_reply_in_each_phase(phase: str) -> None:
    """A reply by call stops like one that is returned, whatever the hook returns then."""
    for verdict in (None, PAUSE):

        def hook(stream: Stream, *_: object, verdict: object = verdict) -> object:
            stream.reply(Reply(403))
            return verdict

        host, stream = stream_with(**{phase: hook})
        assert STATUSES[KINDS[phase]]["Reply"] == PHASES[phase](stream)
        assert [403] == [reply.status for reply in host.replies]


def test_own_reply_shows_in_local_reply() -> None:
    """The filter's own local-reply hook runs within its reply."""
    order: list[object] = []

    def on_request_headers(stream: Stream, _: bool) -> None:
        stream.reply(Reply(403, details="mine"))
        order.append("replied")

    fake = fake_with(
        on_request_headers=on_request_headers,
        on_local_reply=lambda _, reply: order.append((reply.status, reply.details)),
    )
    fake.request_headers()
    assert [(403, "mine"), "replied"] == order


def test_hooks_after_a_reply() -> None:
    """After a reply the filter sees nothing but the end; its own reply passes."""
    called: list[str] = []
    hooks = {name: lambda *_, name=name: called.append(name) for name in PHASES}
    _, stream = stream_with(
        **{**hooks, "on_request_headers": returns(Reply(403))},
        on_stream_complete=lambda _: called.append("complete"),
    )
    statuses = [enter(stream) for enter in PHASES.values()]
    stream._stream_complete()
    assert ([1, 3, 1, 0, 0, 0], ["complete"]) == (statuses, called)


def replies_twice(stream: Stream, _: bool) -> Reply:
    """Reply by call and by return."""
    stream.reply(Reply(403))
    return Reply(404)


def test_a_second_reply_is_a_failure() -> None:
    """The first reply counts; the second is a mistake that is counted and logged."""
    host, stream = stream_with(on_request_headers=replies_twice)
    assert 1 == stream._request_headers(False)
    assert ([403], ["on_request_headers"]) == (
        [reply.status for reply in host.replies],
        host.failed_hooks,
    )


ANSWERS: list[Callable[[Stream], object]] = [
    lambda s: s.reply(Reply(404)),
    lambda s: s.start_response(200),
    lambda s: s.send_response_data(b"x"),
    lambda s: s.send_response_trailers({}),
    lambda s: s.reset(),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_nothing_answers_after_a_reply(answer: Callable[[Stream], object]) -> None:
    """What comes after a whole reply says what is wrong."""
    problems: list[str] = []

    def hook(stream: Stream, _: bool) -> None:
        stream.reply(Reply(403))
        with pytest.raises(RuntimeError) as problem:
            answer(stream)
        problems.append(str(problem.value))

    host, stream = stream_with(on_request_headers=hook)
    stream._request_headers(False)
    assert 1 == len(host.calls)
    assert [] == host.failed_hooks
    assert problems[0].startswith(("the stream has been answered", "no answer in pieces"))


@pytest.mark.parametrize("answer", [ANSWERS[0], ANSWERS[1], ANSWERS[4]])
def test_nothing_answers_a_complete_stream(answer: Callable[[Stream], object]) -> None:
    """At stream complete nobody is left to answer."""
    host, stream = stream_with(on_stream_complete=answer)
    stream._stream_complete()
    assert ([], ["on_stream_complete"]) == (host.calls, host.failed_hooks)


def test_reply_in_pieces() -> None:
    """Headers, data and trailers go out one after the other; the request goes no further."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(207, {"x-kind": "pieces"})
        stream.send_response_data(b"one ")
        stream.send_response_data(b"two")
        stream.send_response_trailers({"x-sum": "7"})

    fake = fake_with(on_request_headers=hook)
    assert 1 == fake.request_headers()
    assert (207, b"pieces", b"one two", b"7", True) == (
        fake.downstream.status,
        fake.downstream.header("x-kind"),
        fake.downstream.body,
        fake.downstream.trailer("x-sum"),
        fake.downstream.ended,
    )
    assert fake.upstream.headers is None


def test_streamed_echo() -> None:
    """While an answer in pieces is under way, the request's body is still seen."""

    def echo(stream: Stream, end: bool) -> None:
        stream.send_response_data(stream.request_body.read(), end_of_stream=end)

    fake = fake_with(
        on_request_headers=lambda stream, _: stream.start_response(200), on_request_body=echo
    )
    fake.request_headers()
    assert [3, 3] == [fake.request_body(b"ab"), fake.request_body(b"cd", end_of_stream=True)]
    assert (b"abcd", True, b"") == (
        fake.downstream.body,
        fake.downstream.ended,
        fake.upstream.body,
    )


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (
            lambda s: s.start_response(204, end_of_stream=True),
            "reply_headers [(b':status', b'204')] True",
        ),
        (lambda s: s.reset(), "reset 0 "),
        (
            lambda s: s.reset(ResetReason.LOCAL_REFUSED_STREAM, "go away"),
            "reset 1 go_away",
        ),
    ],
)
def test_as_envoy_gets_it(call: Callable[[Stream], None], sent: str) -> None:
    """What is asked for is handed over, and the hook stops."""
    host, stream = stream_with(on_request_headers=lambda stream, _: call(stream))
    assert 1 == stream._request_headers(False)
    assert [sent] == host.calls


def test_reset_of_an_answer_in_pieces() -> None:
    """An answer that cannot be ended is cut off."""

    def hook(stream: Stream, _: bool) -> None:
        stream.start_response(200)
        stream.reset()

    fake = fake_with(on_request_headers=hook)
    fake.request_headers()
    assert (False, True) == (fake.downstream.ended, fake.downstream.reset)


def test_bad_pieces_send_nothing() -> None:
    """Headers that are none are refused before anything is sent."""
    host, stream = stream_with(
        on_request_headers=lambda stream, _: stream.start_response(200, {"a b": "c"})
    )
    stream._request_headers(False)
    assert (["reply"], [500]) == (host.calls, [reply.status for reply in host.replies])


# --- up to Envoy 1.39 the stream ends within the reply ---

ENDS: list[Callable[[Stream], None]] = [
    lambda s: s.reply(Reply(403)),
    lambda s: s.reset(),
    lambda s: s.start_response(200, end_of_stream=True),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "after",
    [
        lambda _: None,
        lambda s: s.request_headers.get("a"),
        lambda s: s.request_body.read(),
        lambda s: s.attribute("request.path"),
        lambda s: s.reply(Reply(404)),
        lambda s: s.reset(),
        lambda s: s.resume_request(),
        lambda s: s.run_on_worker(print),
        lambda s: s.keep_reachable(),
    ],
)
def test_stream_that_ends_within_its_hook(
    end: Callable[[Stream], None],
    after: Callable[[Stream], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the hook does after the end raises StreamGone, which is nobody's failure."""
    order: list[str] = []

    def hook(stream: Stream, _: bool) -> None:
        end(stream)
        order.append("ended")
        after(stream)
        order.append("nothing was wrong")

    filter_ = filter_with(
        on_request_headers=hook, on_stream_complete=lambda _: order.append("complete")
    )
    fake = FakeStream(filter_, ends_inside_calls=True)
    assert 1 == fake.request_headers()
    assert ["complete", "ended"] == order[:2]
    assert [] == fake.failed_hooks
    assert [] == [record for record in caplog.records if record.levelname != "DEBUG"]


def test_own_failure_after_the_end_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Another exception than StreamGone is a failure, ended stream or not."""

    def hook(stream: Stream, _: bool) -> None:
        stream.reply(Reply(403))
        raise LookupError("mine")

    fake = FakeStream(filter_with(on_request_headers=hook), ends_inside_calls=True)
    assert 1 == fake.request_headers()
    assert (["on_request_headers"], 1) == (fake.failed_hooks, len(caplog.records))


def test_stream_gone_of_another_stream_counts() -> None:
    """StreamGone from a stream that was kept too long is the filter's failure."""
    old = fake_with()
    old.complete()
    fake = fake_with(on_request_headers=lambda *_: old.stream.request_headers.get("a"))
    fake.request_headers()
    assert (["on_request_headers"], 500) == (fake.failed_hooks, fake.downstream.status)


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.request_headers.get("a"),
        lambda s: s.request_headers.set("a", "b"),
        lambda s: s.response_body.read(),
        lambda s: s.response_body.append(b"x"),
        lambda s: s.attribute("request.path"),
        lambda s: s.filter_state.get("a"),
        lambda s: s.metadata.get("a", "b"),
        lambda s: s.metadata.set("a", "b", "c"),
        lambda s: s.route_metadata.namespaces(),
        lambda s: s.route_config,
        lambda s: s.worker_index,
        lambda s: s.buffer_limit,
        lambda s: s.reply(Reply(403)),
        lambda s: s.start_response(200),
        lambda s: s.send_response_data(b""),
        lambda s: s.send_response_trailers({}),
        lambda s: s.reset(),
        lambda s: s.resume_request(),
        lambda s: s.resume_response(),
        lambda s: s.run_on_worker(print),
        lambda s: s.keep_reachable(),
        lambda s: s.clear_route_cache(),
        lambda s: s.clear_route_cluster_cache(),
        lambda s: s.add_custom_flag("A"),
        lambda s: s.record.note("a", "b"),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_stream_kept_too_long(use: Callable[[Stream], object], held: bool) -> None:
    """After its end every use of a stream raises StreamGone."""
    fake = fake_with(on_request_headers=returns(PAUSE if held else None))
    fake.request_headers({"a": "b"})
    assert b"b" == fake.stream.request_headers.get("a")
    fake.complete()
    with pytest.raises(StreamGone):
        use(fake.stream)
