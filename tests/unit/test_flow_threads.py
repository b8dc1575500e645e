# SPDX-License-Identifier: Apache-2.0
"""Resuming, and the ways from other threads to a stream's worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest
from envoy_pyfilter import BUFFER, PAUSE, Config, Reply, Stream, StreamGone, WrongThread
from envoy_pyfilter.testing import FakeStream, run_stream

from .helpers import ALLOW, fake_with, filter_with, raises, returns, stream_with

T = TypeVar("T")


def elsewhere(call: Callable[[], T]) -> T:
    """Call on another thread; return or raise what it does."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 (raised again below)
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]


@pytest.mark.parametrize("side", ["request", "response"])
def test_resume_on_the_worker(side: str) -> None:
    """A held side goes on at once; a second resume does nothing."""
    host, stream = stream_with(**{f"on_{side}_headers": returns(PAUSE)})
    getattr(stream, f"_{side}_headers")(False)
    getattr(stream, f"resume_{side}")()
    getattr(stream, f"resume_{side}")()
    assert [f"resume_{side}"] == host.calls


@pytest.mark.parametrize("side", ["request", "response"])
def test_resume_of_what_is_not_held(side: str) -> None:
    """Envoy is not told to go on where nothing stands still."""
    host, stream = stream_with()
    getattr(stream, f"_{side}_headers")(False)
    getattr(stream, f"resume_{side}")()
    assert [] == host.calls


@pytest.mark.parametrize("side", ["request", "response"])
def test_resume_from_another_thread(side: str) -> None:
    """A resume from elsewhere happens on the worker, by the scheduler."""
    host, stream = stream_with(**{f"on_{side}_headers": returns(PAUSE)})
    getattr(stream, f"_{side}_headers")(False)
    elsewhere(getattr(stream, f"resume_{side}"))
    assert [] == host.calls
    stream._scheduled(host.events.get_nowait())
    assert [f"resume_{side}"] == host.calls


@pytest.mark.parametrize(("phase", "passed"), [("headers", 0), ("body", 0)])
def test_resume_before_the_pause_on_the_worker(phase: str, passed: int) -> None:
    """A hook that resumes before it returns PAUSE does not pause."""

    def hook(stream: Stream, *_: object) -> object:
        stream.resume_request()
        return PAUSE

    host, stream = stream_with(**{f"on_request_{phase}": hook})
    assert passed == getattr(stream, f"_request_{phase}")(False)
    assert [] == host.calls
    assert passed == getattr(stream, f"_request_{phase}")(False)


def test_resume_before_the_pause_from_another_thread() -> None:
    """A resume that comes before the hook returned PAUSE is not lost."""

    def hook(stream: Stream, _: bool) -> object:
        elsewhere(stream.resume_request)
        return PAUSE

    fake = fake_with(on_request_headers=hook)
    assert 1 == fake.request_headers(end_of_stream=True)
    fake.run_scheduled(timeout=0)
    assert fake.upstream.ended


def test_early_resume_without_a_pause() -> None:
    """A resume whose hook passed after all does nothing."""

    def hook(stream: Stream, _: bool) -> None:
        elsewhere(stream.resume_request)

    host, stream = stream_with(on_request_headers=hook)
    assert 0 == stream._request_headers(True)
    stream._scheduled(host.events.get_nowait())
    assert [] == host.calls


def test_resume_in_a_later_hook_of_the_same_side() -> None:
    """A later chunk's hook may end the pause that an earlier one began."""
    verdicts = iter([PAUSE, None])

    def hook(stream: Stream, end: bool) -> object:
        if end:
            stream.resume_request()
        return next(verdicts)

    fake = fake_with(on_request_body=hook)
    fake.request_headers()
    assert [2, 0] == [fake.request_body(b"a"), fake.request_body(b"b", end_of_stream=True)]
    assert (b"ab", True) == (fake.upstream.body, fake.upstream.ended)


def test_resume_in_a_hook_of_the_other_side() -> None:
    """The response's hook may let the request go on."""
    fake = fake_with(
        on_request_body=returns(PAUSE), on_response_headers=lambda s, _: s.resume_request()
    )
    fake.request_headers()
    fake.request_body(b"a", end_of_stream=True)
    fake.response_headers()
    assert b"a" == fake.upstream.body


@pytest.mark.parametrize("held", [PAUSE, BUFFER])
def test_reply_from_another_thread(held: object) -> None:
    """A held request is answered from elsewhere."""
    fake = fake_with(on_request_headers=returns(held))
    fake.request_headers()
    elsewhere(lambda: fake.stream.reply(Reply(403, "no")))
    assert [] == fake.replies
    fake.run_scheduled(timeout=0)
    assert (403, b"no") == (fake.downstream.status, fake.downstream.body)


def test_reply_before_the_pause_from_another_thread() -> None:
    """A reply that comes before the hook returned is not lost, whatever the hook returns."""
    for verdict in (PAUSE, None):

        def hook(stream: Stream, _: bool, verdict: object = verdict) -> object:
            elsewhere(lambda: stream.reply(Reply(403)))
            return verdict

        fake = fake_with(on_request_headers=hook)
        fake.request_headers()
        fake.run_scheduled(timeout=0)
        assert 403 == fake.downstream.status


def test_late_reply_is_dropped() -> None:
    """Of two threads' replies the first counts, and a late resume does nothing."""
    fake = fake_with(on_request_headers=returns(PAUSE))
    fake.request_headers()
    elsewhere(lambda: fake.stream.reply(Reply(403)))
    elsewhere(lambda: fake.stream.reply(Reply(404)))
    elsewhere(fake.stream.resume_request)
    fake.run_scheduled(timeout=0)
    assert ([403], [], None) == (
        [reply.status for reply in fake.replies],
        fake.failed_hooks,
        fake.upstream.headers,
    )


def test_run_on_worker() -> None:
    """A function from elsewhere gets the stream on its worker, in order."""
    seen: list[object] = []
    fake = fake_with(on_request_headers=returns(PAUSE))
    fake.request_headers({"a": "b"})
    elsewhere(lambda: fake.stream.run_on_worker(lambda s: seen.append(s.request_headers["a"])))
    elsewhere(lambda: fake.stream.run_on_worker(lambda _: seen.append(threading.get_ident())))
    assert [] == seen
    fake.run_scheduled(timeout=0)
    assert [b"b", threading.get_ident()] == seen


def test_run_on_worker_from_the_worker() -> None:
    """In a hook it means: after this hook."""
    order: list[str] = []

    def hook(stream: Stream, _: bool) -> None:
        stream.run_on_worker(lambda _: order.append("later"))
        order.append("hook")

    fake = fake_with(on_request_headers=hook)
    fake.request_headers()
    fake.run_scheduled(timeout=0)
    assert ["hook", "later"] == order


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.run_on_worker(print),
        lambda s: s.resume_request(),
        lambda s: s.reply(Reply(403)),
    ],
)
def test_no_way_to_the_worker(call: Callable[[Stream], object]) -> None:
    """Without a pause and after the hook there is no way, and the caller is told."""
    fake = fake_with()
    fake.request_headers()
    with pytest.raises(RuntimeError, match=r"keep_reachable"):
        elsewhere(lambda: call(fake.stream))
    fake.stream._above_high_watermark()
    assert (0, []) == (fake.events.qsize(), fake.calls)


def test_keep_reachable() -> None:
    """A stream that asked for it can be reached though nothing is held."""
    seen: list[str] = []
    fake = fake_with(on_request_headers=lambda stream, _: stream.keep_reachable())
    fake.request_headers()
    elsewhere(lambda: fake.stream.run_on_worker(lambda _: seen.append("here")))
    fake.run_scheduled(timeout=0)
    assert (["here"], 1) == (seen, len(fake.schedulers))


def test_one_scheduler_for_each_stream() -> None:
    """However often a stream pauses, it has one scheduler, given back at the end."""
    fake = fake_with(on_request_body=returns(PAUSE), on_response_headers=returns(PAUSE))
    fake.request_headers()
    fake.request_body(b"a")
    fake.stream.resume_request()
    fake.request_body(b"b")
    fake.response_headers()
    fake.stream.keep_reachable()
    (scheduler,) = fake.schedulers
    assert not scheduler.deleted
    fake.complete()
    assert scheduler.deleted


def test_streams_that_do_not_need_a_scheduler_have_none() -> None:
    """A stream that nobody holds costs no scheduler."""
    fake = run_stream(filter_with(on_request_headers=returns(None)), request_body=b"a")
    assert [] == fake.schedulers


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.run_on_worker(print),
        lambda s: s.resume_request(),
        lambda s: s.reply(Reply(403)),
    ],
)
@pytest.mark.parametrize("held", [True, False])
def test_gone_for_other_threads(call: Callable[[Stream], object], held: bool) -> None:
    """After the end other threads get StreamGone, and Envoy's scheduler is not touched."""
    fake = fake_with(on_request_headers=returns(PAUSE if held else None))
    fake.request_headers()
    fake.complete()
    with pytest.raises(StreamGone):
        elsewhere(lambda: call(fake.stream))


def test_tasks_of_a_stream_that_ended() -> None:
    """What was left for a stream is dropped when it ends."""
    seen: list[str] = []
    fake = fake_with(on_request_headers=returns(PAUSE))
    fake.request_headers()
    elsewhere(lambda: fake.stream.run_on_worker(lambda _: seen.append("here")))
    fake.complete()
    fake.stream._scheduled(fake.events.get_nowait())
    assert [] == seen


def test_task_that_ends_the_stream() -> None:
    """When a task ends the stream, those behind it are dropped."""
    seen: list[str] = []
    fake = FakeStream(filter_with(on_request_headers=returns(PAUSE)), ends_inside_calls=True)
    fake.request_headers()
    elsewhere(lambda: fake.stream.run_on_worker(lambda s: s.reset()))
    elsewhere(lambda: fake.stream.run_on_worker(lambda _: seen.append("here")))
    fake.run_scheduled(timeout=0)
    assert ([], True, []) == (seen, fake.completed, fake.failed_hooks)


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.request_headers.items(),
        lambda s: s.request_body.read(),
        lambda s: s.attribute("request.path"),
        lambda s: s.worker_index,
        lambda s: s.reset(),
        lambda s: s.start_response(200),
        lambda s: s.keep_reachable(),
        lambda s: s.record.note("a", "b"),
    ],
)
def test_wrong_thread(use: Callable[[Stream], object]) -> None:
    """The rest of a stream is its worker's alone."""
    fake = fake_with()
    fake.request_headers()
    with pytest.raises(WrongThread):
        elsewhere(lambda: use(fake.stream))
    assert (0, []) == (fake.request_body(b"a"), fake.calls)


@pytest.mark.parametrize(
    ("config", "replies", "calls"),
    [(Config(), [500], ["reply"]), (ALLOW, [], ["resume_request"])],
)
def test_function_that_raises(config: Config, replies: list[int], calls: list[str]) -> None:
    """A function on the worker fails like a hook: under allow what was held goes on."""
    fake = fake_with(config, on_request_headers=returns(PAUSE))
    fake.request_headers(end_of_stream=True)
    elsewhere(lambda: fake.stream.run_on_worker(raises(ValueError())))
    elsewhere(lambda: fake.stream.run_on_worker(raises(AssertionError("entered again"))))
    fake.run_scheduled(timeout=0)
    assert (replies, calls, ["run_on_worker"]) == (
        [reply.status for reply in fake.replies],
        fake.calls,
        fake.failed_hooks,
    )


def test_resume_of_a_failed_stream_denies() -> None:
    """Under deny a held stream that has failed meanwhile is answered, not resumed."""
    fake = fake_with(
        on_request_headers=returns(PAUSE), on_downstream_above_high_watermark=raises(ValueError())
    )
    fake.request_headers()
    fake.above_high_watermark()
    elsewhere(fake.stream.resume_request)
    fake.run_scheduled(timeout=0)
    assert (500, None) == (fake.downstream.status, fake.upstream.headers)


EVENTS: list[tuple[str, Callable[[Stream], object]]] = [
    ("on_downstream_above_high_watermark", Stream._above_high_watermark),
    ("on_downstream_below_low_watermark", Stream._below_low_watermark),
    ("on_local_reply", lambda s: s._local_reply(503, b"", False)),
]


@pytest.mark.parametrize(("hook", "enter"), EVENTS)
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda s: s.resume_request(), "resume_request"),
        (lambda s: s.reply(Reply(403)), "reply"),
        (lambda s: s.run_on_worker(lambda w: w.reset()), "reset 0 "),
    ],
)
def test_asked_for_while_envoy_is_amid_something(
    hook: str,
    enter: Callable[[Stream], object],
    call: Callable[[Stream], object],
    told: str,
) -> None:
    """Within a hook that decides nothing Envoy is told nothing, but right after it."""
    hooks = {hook: lambda stream, *_: call(stream)}
    host, stream = stream_with(on_request_headers=returns(PAUSE), **hooks)
    stream._request_headers(False)
    enter(stream)
    assert ([], []) == (host.calls, host.failed_hooks)
    stream._scheduled(host.events.get_nowait())
    assert [told] == host.calls


@pytest.mark.parametrize(("hook", "enter"), EVENTS)
@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.reset(),
        lambda s: s.start_response(200),
        lambda s: s.send_response_data(b"x"),
        lambda s: s.send_response_trailers({}),
    ],
)
def test_refused_while_envoy_is_amid_something(
    hook: str, enter: Callable[[Stream], object], call: Callable[[Stream], object]
) -> None:
    """What cannot wait is refused there."""
    problems: list[str] = []

    def refused(stream: Stream, *_: object) -> None:
        with pytest.raises(RuntimeError) as problem:
            call(stream)
        problems.append(str(problem.value))

    host, stream = stream_with(**{hook: refused})
    enter(stream)
    assert (["not in this hook: leave it to stream.run_on_worker"], []) == (problems, host.calls)


def test_many_threads() -> None:
    """No task is lost or run twice, however many threads leave them while hooks run."""
    count, threads = 200, 4
    seen: list[int] = []
    fake = fake_with(on_request_headers=returns(PAUSE), on_request_body=returns(PAUSE))
    fake.request_headers()

    def note(number: int, _: Stream) -> None:
        seen.append(number)

    def leave(first: int) -> None:
        for number in range(first, count, threads):
            fake.stream.run_on_worker(partial(note, number))

    running = [threading.Thread(target=leave, args=(first,)) for first in range(threads)]
    for thread in running:
        thread.start()
    while len(seen) < count:
        fake.run_scheduled()
    for thread in running:
        thread.join()
    assert list(range(count)) == sorted(seen)
