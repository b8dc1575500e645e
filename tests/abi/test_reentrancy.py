# SPDX-License-Identifier: Apache-2.0
"""
Streams that end inside our own callbacks, and filters that hold on to what is gone.

Up to Envoy 1.39 ``destroy`` runs inside the callback that ended the stream, with our hook still on
the stack; from 1.40 on it comes after the hook. Both have to leave the same entries.
"""

from __future__ import annotations

import pytest

from .configs import Stream
from .conftest import MakeConfig
from .host import Host

INSIDE = pytest.mark.parametrize("inside", [True, False], ids=["inside", "deferred"])

REPLY = "stream.reply(Reply(403, b'no'))"
GONE_AFTER = """
saw(refusal(lambda: stream.request_headers.get("x-request-id")))
saw(refusal(lambda: stream.reply(Reply(500))))
saw(refusal(lambda: stream.filter_state["k"]))
saw(refusal(lambda: stream.attribute("request.path")))
saw(refusal(stream.resume_request))
saw(refusal(stream.reset))
stream.metadata.keys("x")
"""
ALL_GONE = ["StreamGone"] * 6


def ended_by(stream: Stream, callback: str, *, inside: bool) -> None:
    """Let Envoy complete the stream in a callback, and destroy it there or after the hook."""
    if inside:
        stream.gone_when(callback)
    else:
        stream.when(callback, "complete")


@INSIDE
@pytest.mark.parametrize("how", ["return Reply(403, b'no')", REPLY])
def test_destroyed_by_its_own_reply(
    each_host: Host, scripted: MakeConfig, how: str, *, inside: bool
) -> None:
    """A denied entry and the response's entry; the hook stops the request."""
    config = scripted(each_host, access=True, on_request_headers=how)
    stream = config.stream()
    ended_by(stream, "send_response", inside=inside)
    assert 1 == stream.request_headers()
    assert 403 == stream.call("send_response")["code"]
    entries = config.entries()
    assert ["denied", "response"] == [e["kind"] for e in entries]
    assert 403 == entries[1]["response_code"]


@pytest.mark.parametrize("callback", ["send_response", "reset_stream"])
def test_used_after_it_was_destroyed(host: Host, scripted: MakeConfig, callback: str) -> None:
    """What a hook does with its stream after that raises StreamGone, and is no failure."""
    how = "stream.reply(Reply(403))" if callback == "send_response" else "stream.reset()"
    config = scripted(host, on_request_headers=f"{how}\n{GONE_AFTER}")
    stream = config.stream()
    stream.gone_when(callback)
    assert 1 == stream.request_headers()
    assert ALL_GONE == config.seen()
    assert {} == config.counts()


@pytest.mark.parametrize("callback", ["send_response", "reset_stream"])
def test_verdict_on_a_destroyed_stream(host: Host, scripted: MakeConfig, callback: str) -> None:
    """A second verdict on a stream that is gone stops the hook and calls nobody."""
    how = "stream.reply(Reply(403))" if callback == "send_response" else "stream.reset()"
    for verdict in ("PASS", "PAUSE", "BUFFER"):
        config = scripted(host, on_request_headers=f"{how}\nreturn {verdict}")
        stream = config.stream()
        stream.gone_when(callback)
        assert 1 == stream.request_headers()
        assert [callback] == stream.calls()


def test_raises_after_it_was_destroyed(host: Host, scripted: MakeConfig) -> None:
    """Any other exception is a failed hook: logged, but nobody is left to answer."""
    config = scripted(host, on_request_headers="stream.reset()\nraise ValueError('after')")
    stream = config.stream()
    stream.gone_when("reset_stream")
    assert 1 == stream.request_headers()
    assert ["reset_stream"] == stream.calls()
    assert any("ValueError: after" in line for line in stream.logged())


def test_config_destroyed_with_its_last_stream(host: Host, scripted: MakeConfig) -> None:
    """The config goes inside our callback, too, while the stream's hook is on the stack."""
    config = scripted(
        host,
        access=True,
        on_request_headers="stream.reply(Reply(403))\nsaw('on the stack')",
        on_config_destroy="saw('config')",
    )
    stream = config.stream()
    stream.gone_when("send_response")
    host.line(f"when {stream.name} send_response config_destroy {config.name}")
    config.ended = True
    assert 1 == stream.request_headers()
    assert "config" in config.seen()
    assert ["denied", "response"] == config.kinds()


def test_local_reply_hook_inside_send_response(host: Host, scripted: MakeConfig) -> None:
    """Our own reply runs our own local reply hook, before the headers are in the map."""
    config = scripted(
        host,
        access=True,
        on_request_headers="return Reply(403, b'no', details='too many  blanks')",
        on_local_reply="saw(reply.status, reply.details, list(stream.response_headers))",
    )
    stream = config.stream()
    assert 1 == stream.request_headers()
    assert [(403, "too_many_blanks", [])] == config.seen()
    stream.finish()
    assert ["denied", "response"] == config.kinds()


def test_local_reply_hook_that_replies(host: Host, scripted: MakeConfig) -> None:
    """A second answer from within the first is refused, and Envoy hears of one reply."""
    config = scripted(
        host,
        on_request_headers="return Reply(403)",
        on_local_reply="saw(refusal(lambda: stream.reply(Reply(500))))",
    )
    stream = config.stream()
    assert 1 == stream.request_headers()
    assert ["RuntimeError"] == config.seen()
    assert ["send_response"] == stream.calls()


def test_local_reply_hook_that_raises(host: Host, scripted: MakeConfig) -> None:
    """The reply goes out all the same; the failure is counted once."""
    config = scripted(
        host, access=True, on_request_headers="return Reply(403)", on_local_reply="raise OSError"
    )
    stream = config.stream()
    assert 1 == stream.request_headers()
    stream.finish()
    assert 1 == config.counts()["hook_errors"]
    assert ["denied", "response"] == config.kinds()


def test_continue_that_ends_the_stream(host: Host, scripted: MakeConfig) -> None:
    """resume_request from a wake-up; what goes on can complete and destroy the stream at once."""
    config = scripted(
        host,
        access=True,
        on_request_headers="in_thread(stream.resume_request)\nreturn PAUSE",
        on_stream_complete="saw('complete')",
    )
    stream = config.stream()
    stream.gone_when("continue_decoding")
    assert 1 == stream.request_headers()
    stream.hook("pump", 1)
    assert ["continue_decoding"] == stream.calls()
    assert ["complete"] == config.seen()
    assert ["request", "response"] == config.kinds()
    assert 0 == host.left()["schedulers"]


def test_response_that_runs_inside_continue(host: Host, scripted: MakeConfig) -> None:
    """The upstream's whole answer can come before ``continue_decoding`` returns."""
    config = scripted(
        host,
        access=True,
        on_request_headers="in_thread(stream.resume_request)\nreturn PAUSE",
        on_response_headers="saw('response', stream.response_headers.get(':status'))",
    )
    stream = config.stream()
    stream.when("continue_decoding", "response_headers 1 :status=204", "complete", "destroy")
    stream.ended = True
    assert 1 == stream.request_headers()
    stream.hook("pump", 1)
    assert [("response", b"204")] == config.seen()
    assert ["request", "response"] == config.kinds()


@INSIDE
def test_streamed_reply_whose_last_piece_ends_the_stream(
    host: Host, scripted: MakeConfig, *, inside: bool
) -> None:
    """send_response_data with the end can complete and destroy the stream."""
    config = scripted(
        host,
        access=True,
        on_request_headers="""
            stream.start_response(200, [("x-a", "1")])
            stream.send_response_data(b"one", end_of_stream=False)
            stream.send_response_data(b"two", end_of_stream=True)
            saw(refusal(lambda: stream.send_response_data(b"three")))
        """,
    )
    stream = config.stream()
    last = ["complete", "destroy"] if inside else ["complete"]
    for command in last:  # not in the first call: in the one after that
        line = f"when {stream.name} send_response_data"
        host.line(f"{line} {line} {command} {stream.name}")
    stream.ended = inside
    assert 1 == stream.request_headers()
    calls = ["send_response_headers", "send_response_data", "send_response_data"]
    assert calls == stream.calls()
    assert ["StreamGone" if inside else "RuntimeError"] == config.seen()
    assert ["denied", "response"] == config.kinds()


def test_streamed_reply_destroyed_at_its_first_piece(host: Host, scripted: MakeConfig) -> None:
    """The client left while the reply was being written."""
    config = scripted(
        host,
        access=True,
        on_request_headers="""
            stream.start_response(200)
            stream.send_response_data(b"one")
            saw(refusal(lambda: stream.send_response_data(b"two", end_of_stream=True)))
            saw(refusal(lambda: stream.send_response_trailers([("a", "b")])))
        """,
    )
    stream = config.stream()
    stream.gone_when("send_response_data")
    assert 1 == stream.request_headers()
    assert ["StreamGone", "StreamGone"] == config.seen()
    assert ["denied", "response"] == config.kinds()


def test_streamed_reply_that_runs_our_response_hooks(host: Host, scripted: MakeConfig) -> None:
    """1.38 shows the sender its own streamed reply: the filter is not asked about it."""
    config = scripted(
        host,
        access=True,
        on_request_headers="stream.start_response(200, end_of_stream=True)",
        on_response_headers="saw('never')",
    )
    stream = config.stream()
    stream.when("send_response_headers", "response_headers 1 :status=200")
    assert 1 == stream.request_headers()
    stream.finish()
    assert [] == config.seen()
    assert ["denied", "response"] == config.kinds()


def test_new_stream_inside_the_end_of_the_old(host: Host, scripted: MakeConfig) -> None:
    """Recreated: the old stream completes, a new one runs, then the old one is destroyed."""
    config = scripted(
        host, access=True, on_request_headers="saw('hook')\nstream.clear_route_cache()"
    )
    stream = config.stream()
    new = Stream(config, host.name("s"))
    stream.when("clear_route_cache", "complete")
    for command in (
        f"new {new.name} {config.name}",
        f"request_headers {new.name} 1 :method=GET",
        f"response_headers {new.name} 1 :status=200",
        f"complete {new.name}",
        f"destroy {new.name}",
        f"destroy {stream.name}",
    ):
        host.line(f"when {stream.name} clear_route_cache @0 {command}")
    stream.ended = True
    stream.request_headers()
    assert ["hook", "hook"] == config.seen()
    assert ["request", "response", "request", "response"] == config.kinds()


def test_denied_after_its_entry_was_written(host: Host, scripted: MakeConfig) -> None:
    """The request passed, then its body was refused: the response's entry says so."""
    config = scripted(host, access=True, on_request_body="return Reply(413)")
    stream = config.stream()
    assert 0 == stream.request_headers(end=False)
    assert 3 == stream.request_body("too long")
    stream.finish()
    first, last = config.entries()
    assert ("request", "response", True) == (first["kind"], last["kind"], last["denied"])


def test_buffered_request_that_is_denied(host: Host, scripted: MakeConfig) -> None:
    """Headers held back, body collected, then denied: one denied entry, no request entry."""
    config = scripted(
        host,
        access=True,
        on_request_headers="return BUFFER",
        on_request_body="""
            if not end_of_stream:
                return BUFFER
            saw(stream.request_body.complete)
            return Reply(400)
        """,
    )
    stream = config.stream()
    assert 1 == stream.request_headers(end=False)
    assert 1 == stream.request_body("one ", end=False)
    assert 1 == stream.request_body(None, end=False)
    assert 3 == stream.request_body("two", end=True)
    assert [b"one two"] == config.seen()
    stream.finish()
    assert ["denied", "response"] == config.kinds()


def test_notes_on_a_stream_that_ends_at_once(host: Host, scripted: MakeConfig) -> None:
    """Notes belong to C's stream: they are freed with it, wherever that happens."""
    config = scripted(
        host,
        access=True,
        on_request_headers="""
            stream.record.note("user", "a")
            stream.record.note("user", "b")
            stream.record.reject("x-a", "1")
            stream.reply(Reply(403))
            saw(refusal(lambda: stream.record.note("late", "c")))
        """,
    )
    stream = config.stream()
    stream.gone_when("send_response")
    assert 1 == stream.request_headers()
    assert ["StreamGone"] == config.seen()
    for entry in config.entries():
        assert {"user": "b"} == entry["notes"]
        assert [["x-a", "1"]] == entry["rejected"]
