# SPDX-License-Identifier: Apache-2.0
"""Statistics of hooks under a clock that stands still: the very lines, objects and counters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .clocked import TICK, size
from .configs import request
from .conftest import Clock, MakeConfig
from .host import Host
from .test_reentrancy import INSIDE

STEPS = (
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
)
RESPONSE = [(":status", 200)]
TYPED_28 = {
    *(
        f"{way}_{part}_{what}"
        for way in ("request", "response")
        for part, names in {
            "header": ("latency_us", "call_status"),
            "trailer": ("latency_us", "call_status"),
            "body": (
                "call_count",
                "total_latency_us",
                "max_latency_us",
                "last_call_status",
            ),
        }.items()
        for what in (*names, "processing_effect")
    ),
    "bytes_sent",
    "bytes_received",
    "failed_open",
    "received_immediate_response",
    "grpc_status_before_first_call",
    "destination",
}
ALWAYS = {
    "bytes_sent": 0,
    "bytes_received": 0,
    "failed_open": False,
    "received_immediate_response": False,
    "grpc_status_before_first_call": 0,
    "destination": "",
    **{
        f"{way}_{part}_processing_effect": 0
        for way in ("request", "response")
        for part in ("header", "body", "trailer")
    },
}


def test_all_six(clocked: Clock) -> None:
    """Each hook is one call, a body one for each chunk; the last status and the sums count."""
    here = clocked(**dict.fromkeys(STEPS, TICK))
    stream = here.stream()
    steps: tuple[tuple[int, Callable[[], int]], ...] = (
        (5, lambda: stream.request_headers(end=False)),
        (7, lambda: stream.request_body("abc", end=False)),
        (11, lambda: stream.request_body("de", end=False)),
        (13, lambda: stream.request_trailers([("t", "u")])),
        (17, lambda: stream.response_headers(RESPONSE, end=False)),
        (19, lambda: stream.response_body("xyz", end=False)),
        (23, lambda: stream.response_body("", end=False)),
        (29, lambda: stream.response_trailers([("v", "w")])),
    )
    for by, step in steps:
        here.tick(stream, by)
        assert 0 == step()
        here.set(here.now + 1000)  # what others do is not ours
    sent = size(request(stream.name)) + 5 + 2 + size(RESPONSE) + 3 + 2
    line = f"rh:5:0,rb:2:18:0,rt:13:0,sh:17:0,sb:2:42:0,st:29:0,bs:{sent},br:0,os:0"
    assert line == here.line(stream)
    counted = {"streams_started": 1, "streams_closed": 1}
    assert {**counted, "stream_msgs_sent": 8, "stream_msgs_received": 8} == here.counted()


def test_object(clocked: Clock) -> None:
    """The object has native's names and types; what no call was made for is not there."""
    here = clocked(**dict.fromkeys(STEPS, TICK))
    stream = here.stream(5)
    stream.request_headers(end=False)
    here.tick(stream, 11)
    stream.request_body("abc", end=False)
    here.tick(stream, 7)
    stream.request_body("de", end=False)
    typed = here.typed(stream)
    assert {
        **ALWAYS,
        "request_header_latency_us": 5,
        "request_header_call_status": 0,
        "request_body_call_count": 2,
        "request_body_total_latency_us": 18,
        "request_body_max_latency_us": 11,
        "request_body_last_call_status": 0,
        "bytes_sent": size(request(stream.name)) + 5,
        "destination": here.destination,
    } == typed
    flags = {"failed_open", "received_immediate_response"}
    assert flags == {name for name, value in typed.items() if isinstance(value, bool)}

    stream = here.stream()
    stream.request_headers(end=False)
    stream.request_body("a", end=False)
    stream.request_trailers([("t", "u")])
    stream.response_headers(RESPONSE, end=False)
    stream.response_body("a", end=False)
    stream.response_trailers([("t", "u")])
    assert TYPED_28 == here.typed(stream).keys()


def test_fields(clocked: Clock) -> None:
    """A field on request is text under a key of its own, a flag 1 or 0; an absent one is not."""
    here = clocked(on_request_headers=TICK)
    stream = here.stream()
    stream.complete()
    state = stream.state()
    assert "K.request_header_latency_us" not in state
    assert ("0", "") == (state["K.failed_open"], state["K.destination"])
    stream.destroy()
    stream = here.stream(5)
    stream.request_headers()
    stream.complete()
    state = stream.state()
    assert ("5", here.destination) == (
        state["K.request_header_latency_us"],
        state["K.destination"],
    )


def test_destination_is_of_1_40(each_host: Host, clocked: Clock) -> None:
    """Neither the line nor the object has one before."""
    here = clocked(each_host, on_request_headers=TICK)
    stream = here.stream(5)
    stream.request_headers()
    stream.complete()
    state = stream.state()
    found = here.destination if each_host.abi == "v0.2.0" else None
    assert (found, found) == (state.get("N/destination"), state.get("K.destination"))
    ending = "" if found is None else f",ds:{found}"
    assert f"rh:5:0,bs:{size(request(stream.name))},br:0,os:0{ending}" == state["K"]


@pytest.mark.parametrize(
    "hooked", ["on_response_headers", "on_stream_complete", "on_config_destroy"]
)
def test_nothing_was_called(clocked: Clock, hooked: str) -> None:
    """The line is there all the same, as is ext_proc's, without a destination."""
    here = clocked(**{hooked: "pass"})
    stream = here.stream()
    stream.request_headers()
    assert "bs:0,br:0,os:0,ds:" == here.line(stream)
    stream = here.stream()
    assert ALWAYS == here.typed(stream)
    assert {} == here.counted()


def test_no_hook_at_all(host: Host, access: MakeConfig) -> None:
    """A filter without hooks keeps them, too, and its own state can be made of them."""
    config = access(host, statistics={"key": "K"}, state={"copy": "[%FILTER_STATE(K:PLAIN)%]"})
    stream = config.stream()
    stream.request_headers()
    stream.complete()
    assert ("bs:0,br:0,os:0,ds:", "[bs:0,br:0,os:0,ds:]") == tuple(
        stream.state()[key] for key in ("K", "copy")
    )


BUFFER_ALL = f"{TICK}\nreturn None if end_of_stream else BUFFER"


def test_buffered_body_is_one_call(clocked: Clock) -> None:
    """It takes as long as its hooks, not as long as the client; the headers' call has ended."""
    here = clocked(on_request_headers=f"{TICK}\nreturn BUFFER", on_request_body=BUFFER_ALL)
    stream = here.stream(5)
    stream.request_headers(end=False)
    here.tick(stream, 7)
    stream.request_body("abc", end=False)
    here.set(here.now + 1000)
    here.tick(stream, 11)
    stream.request_body("de", end=True)
    sent = size(request(stream.name)) + 5
    assert f"rh:5:0,rb:1:18:0,bs:{sent},br:0,os:0" == here.line(stream)
    assert 2 == here.counted()["stream_msgs_sent"] == here.counted()["stream_msgs_received"]


def test_buffered_body_that_did_not_come_whole(clocked: Clock) -> None:
    """The filter never said anything about it."""
    here = clocked(on_request_body=BUFFER_ALL)
    stream = here.stream(7)
    stream.request_headers(end=False)
    stream.request_body("abc", end=False)
    assert "bs:0,br:0,os:0,ds:" == here.line(stream)
    assert {"streams_started": 1, "streams_closed": 1} == here.counted()


RESUMING = "in_thread(stream.resume_request)\nreturn PAUSE"


def test_pause_lasts_until_the_resume(clocked: Clock) -> None:
    """That is when the filter answers."""
    here = clocked(on_request_headers=RESUMING)
    stream = here.stream()
    assert 1 == stream.request_headers()
    here.set(here.now + 250)
    stream.hook("pump", 1)
    assert f"rh:250:0,bs:{size(request(stream.name))},br:0,os:0" == here.line(stream)


def test_pause_without_end(clocked: Clock) -> None:
    """A client that leaves meanwhile: there was no answer."""
    here = clocked(on_request_headers="return PAUSE")
    stream = here.stream()
    stream.request_headers()
    assert "bs:0,br:0,os:0,ds:" == here.line(stream)
    counted = {"streams_started": 1, "streams_closed": 1, "stream_msgs_sent": 1}
    assert counted == here.counted()


def test_hooks_that_had_to_wait(clocked: Clock) -> None:
    """They are called when they run, not when what they are about came."""
    here = clocked(on_request_headers=RESUMING, on_request_body=TICK, on_request_trailers=TICK)
    stream = here.stream()
    stream.request_headers(end=False)
    here.set(here.now + 40)
    assert 2 == stream.request_body("abc", end=False)
    assert 1 == stream.request_trailers([("t", "u")])
    here.set(here.now + 60)
    here.tick(stream, 7)
    stream.hook("pump", 1)
    assert here.line(stream).startswith("rh:100:0,rb:1:7:0,rt:0:0,")


@INSIDE
def test_reply(each_host: Host, clocked: Clock, *, inside: bool) -> None:
    """The hook's call ends well before the client gets the answer, which may end the stream."""
    how = f"{TICK}\nreturn Reply(403, b'no', [('x', 'y')])"
    here = clocked(each_host, on_request_headers=how, on_response_headers="pass")
    stream = here.stream(5)
    stream.when("send_response", "complete", "print")
    if inside:
        stream.when("send_response", "destroy")
        stream.ended = True
    stream.request_headers()
    seen = [e["value"] for e in stream.events if e.get("key") == "K"]
    sent = size(request(stream.name))
    assert [f"rh:5:0,bs:{sent},br:4,os:0"] == [
        line.removesuffix(f",ds:{here.destination}") for line in seen
    ]
    (flag,) = (e["value"] for e in stream.events if e.get("key") == "received_immediate_response")
    assert flag is True
    assert 1 == here.counted()["immediate_responses_sent"] == here.counted()["streams_closed"]


def test_reply_in_pieces(clocked: Clock) -> None:
    """All of its bytes were taken from the hooks, which still see the request's body."""
    how = "stream.start_response(200, [('x', 'y')])\nstream.send_response_data(b'12345')"
    here = clocked(
        on_request_headers=how,
        on_request_body="stream.send_response_trailers([('z', 'z')])",
        on_response_headers="pass",
    )
    stream = here.stream()
    stream.request_headers(end=False)
    stream.response_headers()
    stream.request_body("abc")
    typed = here.typed(stream)
    assert size([(":status", 200), ("x", "y"), ("z", "z")]) + 5 == typed["bytes_received"]
    assert (1, True) == (typed["request_body_call_count"], typed["received_immediate_response"])
    assert "response_header_latency_us" not in typed
    assert 1 == here.counted()["immediate_responses_sent"]
