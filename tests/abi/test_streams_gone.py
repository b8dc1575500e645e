# SPDX-License-Identifier: Apache-2.0
"""Filters that hold on to a stream too long, use it from other threads, or wait for it."""

from __future__ import annotations

from .conftest import MakeConfig
from .host import Host


def test_kept_too_long(host: Host, scripted: MakeConfig) -> None:
    """A stream kept in another hook or thread after its end answers StreamGone."""
    config = scripted(
        host,
        on_request_headers="""
            old = kept.get("stream")
            if old is not None:
                saw(refusal(lambda: old.request_headers.get("x")))
                saw(refusal(lambda: old.reply(Reply(500))))
                saw(refusal(old.resume_request))
                thread = in_thread(lambda: saw(refusal(old.resume_response)))
                thread.join()
                thread = in_thread(lambda: saw(refusal(lambda: old.request_body.read())))
                thread.join()
            kept["stream"] = stream
        """,
    )
    for _ in range(2):
        config.stream().exchange()
    assert ["StreamGone"] * 5 == config.seen()


def test_wrong_thread(host: Host, scripted: MakeConfig) -> None:
    """From another thread only a few calls are allowed; none of the others reaches Envoy."""
    config = scripted(
        host,
        on_request_headers="""
            def ask():
                saw(refusal(lambda: stream.request_headers.get("x")))
                saw(refusal(lambda: stream.filter_state.get("x")))
                saw(refusal(lambda: stream.attribute("request.path")))
                saw(refusal(lambda: stream.record.note("a", "b")))
                saw(refusal(stream.clear_route_cache))
            in_thread(ask).join()
        """,
    )
    config.stream().exchange()
    assert ["WrongThread"] * 5 == config.seen()


def test_woken_after_its_end(host: Host, scripted: MakeConfig) -> None:
    """A wake-up that is under way when the stream ends does nothing, and leaves nothing."""
    config = scripted(
        host,
        on_request_headers="""
            kept["late"] = stream
            stream.keep_reachable()
            in_thread(lambda: stream.run_on_worker(lambda s: saw("ran"))).join()
        """,
        on_config_destroy="saw(refusal(lambda: kept['late'].run_on_worker(print)))",
    )
    stream = config.stream()
    stream.request_headers()
    stream.finish()
    config.end()
    assert ["StreamGone"] == config.seen()
    assert 0 == host.left()["schedulers"]


def test_late_task_that_ends_the_stream(host: Host, scripted: MakeConfig) -> None:
    """Two tasks wait; the first one's reply destroys the stream; the second never runs."""
    config = scripted(
        host,
        access=True,
        on_request_headers="""
            stream.run_on_worker(lambda s: s.reply(Reply(429)))
            stream.run_on_worker(lambda s: saw("never"))
            return PAUSE
        """,
    )
    stream = config.stream()
    stream.gone_when("send_response")
    assert 1 == stream.request_headers()
    stream.hook("pump", 1)
    assert [] == config.seen()
    assert ["denied", "response"] == config.kinds()
    assert 0 == host.left()["schedulers"]


def test_pause_that_nobody_ends(host: Host, scripted: MakeConfig) -> None:
    """The client leaves while the request is paused: its entries are written at the end."""
    config = scripted(host, access=True, on_request_headers="return PAUSE")
    stream = config.stream()
    assert 1 == stream.request_headers()
    assert {} == config.counts()
    stream.finish()
    assert ["request", "response"] == config.kinds()
    assert 0 == host.left()["schedulers"]


def test_nothing_of_the_streams_is_left(host: Host, scripted: MakeConfig) -> None:
    """Streams that passed, were denied or waited leave no Stream object behind."""
    config = scripted(
        host,
        on_request_headers="""
            if stream.request_headers.get("x-end") == b"1":
                return Reply(403)
            if stream.request_headers.get("x-end") == b"2":
                return PAUSE
        """,
        on_config_destroy="""
            import gc
            from envoy_pyfilter import Stream
            gc.collect()
            streams = [one for one in gc.get_objects() if isinstance(one, Stream)]
            saw(sum(one.filter is self for one in streams))
        """,
    )
    for number in range(30):
        stream = config.stream()
        if number % 3 == 1:
            stream.gone_when("send_response")
        stream.request_headers(((":method", "GET"), ("x-end", number % 3)))
        if not stream.ended:
            stream.finish()
    config.end()
    assert [0] == config.seen()
