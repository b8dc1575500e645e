# SPDX-License-Identifier: Apache-2.0
"""What Envoy hears for each verdict, in each phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_pyfilter import BUFFER, PASS, PAUSE, Decision, LocalReply, Reply, Stream
from envoy_pyfilter._flow.steps import PAUSED, envoys
from envoy_pyfilter.testing import FakeStream

from .helpers import fake_with, filter_with, raises, returns, stream_with

Enter = Callable[[Stream], int]
PHASES: dict[str, Enter] = {
    "on_request_headers": lambda s: s._request_headers(False),
    "on_request_body": lambda s: s._request_body(False),
    "on_request_trailers": lambda s: s._request_trailers(),
    "on_response_headers": lambda s: s._response_headers(False),
    "on_response_body": lambda s: s._response_body(False),
    "on_response_trailers": lambda s: s._response_trailers(),
}
AT_END: dict[str, Enter] = {
    "on_request_headers": lambda s: s._request_headers(True),
    "on_request_body": lambda s: s._request_body(True),
    "on_response_headers": lambda s: s._response_headers(True),
    "on_response_body": lambda s: s._response_body(True),
}
KINDS = {name: name.rpartition("_")[2] for name in PHASES}
STATUSES: dict[str, dict[str, int]] = {
    "headers": {"PASS": 0, "BUFFER": 1, "PAUSE": 1, "Reply": 1},
    "body": {"PASS": 0, "BUFFER": 1, "PAUSE": 2, "Reply": 3},
    "trailers": {"PASS": 0, "BUFFER": 0, "PAUSE": 1, "Reply": 1},
}
VERDICTS: dict[str, Decision | Reply] = {
    "PASS": PASS,
    "BUFFER": BUFFER,
    "PAUSE": PAUSE,
    "Reply": Reply(403),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_status(phase: str, verdict: str) -> None:
    """Each verdict has its status in each phase."""
    _, stream = stream_with(**{phase: returns(VERDICTS[verdict])})
    status = PHASES[phase](stream)
    assert STATUSES[KINDS[phase]][verdict] == envoys(status)
    assert (verdict == "PAUSE") is bool(status & PAUSED)  # C is told, too


@pytest.mark.parametrize("phase", PHASES)
def test_none_is_pass(phase: str) -> None:
    """A hook that says nothing lets things pass, as does one that is not there."""
    for hooks in ({phase: returns(None)}, {}):
        _, stream = stream_with(**hooks)
        assert 0 == PHASES[phase](stream)


@pytest.mark.parametrize("phase", AT_END)
def test_nothing_is_left_to_buffer_at_the_end(phase: str) -> None:
    """BUFFER at the end of the stream passes: Envoy would hold it for ever."""
    _, stream = stream_with(**{phase: returns(BUFFER)})
    assert 0 == AT_END[phase](stream)


@pytest.mark.parametrize("phase", PHASES)
def test_hooks_get_the_stream_and_the_end(phase: str) -> None:
    """A hook gets its stream, and whether the side ends with it."""
    seen: list[tuple[object, ...]] = []
    _, stream = stream_with(**{phase: lambda *event: seen.append(event)})
    PHASES[phase](stream)
    end = () if phase.endswith("trailers") else (False,)
    assert [(stream, *end)] == seen


def test_local_reply_is_shown() -> None:
    """The hook of local replies sees who answers what; Envoy goes on."""
    seen: list[tuple[object, ...]] = []
    _, stream = stream_with(on_local_reply=lambda *event: seen.append(event))
    assert 0 == stream._local_reply(503, b"no_healthy_upstream", True)
    reply = LocalReply(status=503, details="no_healthy_upstream", reset_imminent=True)
    assert [(stream, reply)] == seen


@pytest.mark.parametrize(
    ("hook", "enter"),
    [
        ("on_stream_complete", Stream._stream_complete),
        ("on_downstream_above_high_watermark", Stream._above_high_watermark),
        ("on_downstream_below_low_watermark", Stream._below_low_watermark),
    ],
)
def test_plain_events(hook: str, enter: Callable[[Stream], None]) -> None:
    """Events without a verdict get the stream."""
    seen: list[object] = []
    _, stream = stream_with(**{hook: seen.append})
    enter(stream)
    assert [stream] == seen


def buffered() -> FakeStream:
    """Give a stream whose filter buffers both bodies."""

    def until_end(_: Stream, end: bool) -> Decision:
        return PASS if end else BUFFER

    return fake_with(
        on_request_headers=returns(BUFFER),
        on_request_body=until_end,
        on_response_headers=returns(BUFFER),
        on_response_body=until_end,
    )


def test_buffered_body_goes_on_whole() -> None:
    """Headers and body are held until the body's hook has seen the end."""
    fake = buffered()
    assert 1 == fake.request_headers()
    assert 1 == fake.request_body(b"ab")
    assert (None, b"") == (fake.upstream.headers, fake.upstream.body)
    assert 0 == fake.request_body(b"cd", end_of_stream=True)
    assert (b"/", [b"abcd"], True) == (
        fake.upstream.header(":path"),
        fake.upstream.chunks,
        fake.upstream.ended,
    )


def test_pass_before_the_end_lets_go() -> None:
    """PASS releases what was buffered, and the rest streams by."""
    verdicts = iter([BUFFER, BUFFER, PASS, None])
    fake = fake_with(
        on_request_headers=lambda *_: next(verdicts), on_request_body=lambda *_: next(verdicts)
    )
    fake.request_headers()
    fake.request_body(b"a")
    fake.request_body(b"b")
    fake.request_body(b"c", end_of_stream=True)
    assert [b"ab", b"c"] == fake.upstream.chunks


def test_pause_is_not_ended_by_later_hooks() -> None:
    """After a pause in the body later chunks are seen and held; only a resume lets go."""
    verdicts = iter([PAUSE, None, BUFFER])
    fake = fake_with(on_request_body=lambda *_: next(verdicts))
    fake.request_headers()
    assert [2, 2, 2] == [fake.request_body(b"x") for _ in range(3)]
    assert 1 == fake.request_trailers({"t": "1"})
    assert b"" == fake.upstream.body
    fake.stream.resume_request()
    assert (b"xxx", b"1", True) == (
        fake.upstream.body,
        fake.upstream.trailer("t"),
        fake.upstream.ended,
    )


def test_pause_at_the_headers_calls_nobody() -> None:
    """After a pause at the headers no hook runs until the resume; then the body comes at once."""
    bodies: list[tuple[bytes, bytes, bool]] = []

    def on_request_body(stream: Stream, end: bool) -> None:
        body = stream.request_body
        bodies.append((body.read(), body.complete, end))

    fake = fake_with(on_request_headers=returns(PAUSE), on_request_body=on_request_body)
    assert 1 == fake.request_headers()
    assert 2 == fake.request_body(b"a")
    assert 2 == fake.request_body(b"b", end_of_stream=True)
    assert [] == bodies
    fake.stream.resume_request()
    assert [(b"ab", b"ab", True)] == bodies
    assert (b"ab", True) == (fake.upstream.body, fake.upstream.ended)


@pytest.mark.parametrize(
    ("verdicts", "resumes"),
    [
        ({"body": PAUSE}, 1),
        ({"trailers": PAUSE}, 1),
        ({"body": PAUSE, "trailers": PAUSE}, 1),
        ({"body": BUFFER}, 0),
    ],
)
def test_pause_again_after_a_pause_at_the_headers(
    verdicts: dict[str, Decision], resumes: int
) -> None:
    """Hooks that had to wait may pause again, and Envoy is resumed once, at the very end."""
    order: list[str] = []

    def hook(name: str) -> Callable[..., Decision | None]:
        def run(*_: object) -> Decision | None:
            order.append(name)
            return verdicts.get(name)

        return run

    fake = fake_with(
        on_request_headers=returns(PAUSE),
        on_request_body=hook("body"),
        on_request_trailers=hook("trailers"),
    )
    fake.request_headers()
    fake.request_body(b"ab")
    fake.request_trailers({"t": "1"})
    fake.stream.resume_request()
    assert ["body", "trailers"] == order
    for _ in range(resumes):
        assert ([], None) == (fake.calls, fake.upstream.headers)
        fake.stream.resume_request()
    assert (["resume_request"], b"ab", b"1", True) == (
        fake.calls,
        fake.upstream.body,
        fake.upstream.trailer("t"),
        fake.upstream.ended,
    )


def test_reply_by_a_hook_that_had_to_wait() -> None:
    """A body that waited can be refused; its trailers' hook is not asked any more."""
    fake = fake_with(
        on_request_headers=returns(PAUSE),
        on_request_body=returns(Reply(413)),
        on_request_trailers=raises(AssertionError()),
    )
    fake.request_headers()
    fake.request_body(b"ab")
    fake.request_trailers({"t": "1"})
    fake.stream.resume_request()
    assert (413, None, ["reply"]) == (fake.downstream.status, fake.upstream.headers, fake.calls)


def test_chunks_after_a_body_that_waited() -> None:
    """When the body's hook has buffered what waited, later chunks come to it as usual."""
    seen: list[tuple[bytes, bool]] = []

    def on_request_body(stream: Stream, end: bool) -> Decision:
        seen.append((stream.request_body.complete, end))
        return PASS if end else BUFFER

    fake = fake_with(on_request_headers=returns(PAUSE), on_request_body=on_request_body)
    fake.request_headers()
    fake.request_body(b"ab")
    fake.stream.resume_request()
    fake.request_body(b"cd", end_of_stream=True)
    assert [(b"ab", False), (b"abcd", True)] == seen
    assert (b"abcd", True, []) == (fake.upstream.body, fake.upstream.ended, fake.calls)


def test_two_sides_are_held_apart() -> None:
    """Resuming the request does nothing to the response."""
    fake = fake_with(on_request_headers=returns(PAUSE), on_response_headers=returns(PAUSE))
    fake.request_headers(end_of_stream=True)
    fake.stream.resume_response()
    assert fake.upstream.headers is None
    fake.stream.resume_request()
    fake.response_headers(end_of_stream=True)
    fake.stream.resume_request()
    assert fake.downstream.headers is None
    fake.stream.resume_response()
    assert 200 == fake.downstream.status


@pytest.mark.parametrize("held", [BUFFER, PAUSE])
def test_a_held_body_is_changed_as_a_whole(held: Decision) -> None:
    """What the filter holds can be replaced when the end is there."""

    def on_request_body(stream: Stream, end: bool) -> Decision:
        if not end:
            return held
        stream.request_body.replace(stream.request_body.complete.upper())
        stream.resume_request()
        return PASS

    fake = fake_with(on_request_body=on_request_body)
    fake.request_headers()
    for chunk in (b"ab", b"cd"):
        fake.request_body(chunk)
    fake.request_body(b"ef", end_of_stream=True)
    assert (b"ABCDEF", True) == (fake.upstream.body, fake.upstream.ended)


def test_filters_share_nothing_but_themselves() -> None:
    """State of a stream is the stream's."""
    one = filter_with(on_request_headers=lambda s, _: s.data.setdefault("seen", s))
    first, second = FakeStream(one), FakeStream(one)
    first.request_headers()
    assert ({"seen": first.stream}, {}) == (first.stream.data, second.stream.data)
