# SPDX-License-Identifier: Apache-2.0
"""What never gets to a request hook, and what only HTTP/3 has: 22 to 24."""

from __future__ import annotations

from . import endings_steps as do
from .endings_row import WEBSOCKETS, Ending, http

RESET_BY_CODEC = dict.fromkeys(
    ("HTTP/2", "HTTP/3"), "the codec resets the stream before there is a filter"
)
NO_LINES = dict.fromkeys(("HTTP/2", "HTTP/3"), "its messages are no lines of text")

REFUSED = {
    "no_host_header": Ending(
        number=22,
        does="a request without Host",
        client=do.sends_raw(b"GET / HTTP/1.1\r\nx-request-id: row\r\n\r\n"),
        status=400,
        cannot=RESET_BY_CODEC,
    ),
    "no_authority": Ending(
        number=22,
        does="a request without :authority",
        logged={"entries"},
        client=do.asks(authority=b""),
        entries=(),
        status=0,
        cannot={"HTTP/1.1": "see no_host_header"},
    ),
    "header_too_large": Ending(
        number=22,
        does="more headers than Envoy takes, on HTTP/1.1",
        client=do.sends_raw(
            b"GET / HTTP/1.1\r\nhost: e2e.test\r\nx-a: " + b"x" * 70_000 + b"\r\n\r\n"
        ),
        entries=("response",),
        status=431,
        cannot=RESET_BY_CODEC,
    ),
    "headers_too_large": Ending(
        number=22,
        does="more headers than Envoy takes, on the later protocols",
        logged={"entries"},
        client=do.asks(headers=[(b"x-%d" % i, b"x" * 4000) for i in range(20)]),
        entries=(),
        status=0,
        cannot={"HTTP/1.1": "see header_too_large"},
    ),
    "low_version": Ending(
        number=22,
        does="HTTP/1.0, which the listener does not take",
        client=do.sends_raw(b"GET / HTTP/1.0\r\nhost: e2e.test\r\n\r\n"),
        entries=("response",),
        status=426,
        cannot=NO_LINES,
    ),
    "garbage": Ending(
        number=22,
        does="bytes that are no HTTP/1.1",
        client=do.sends_raw(b"garbage\r\n\r\n"),
        entries=("response",),
        status=400,
        cannot=NO_LINES,
    ),
    "byte_in_path": Ending(
        number=22,
        does="a byte that no path may have",
        client=do.sends_raw(b"GET /\x01 HTTP/1.1\r\nhost: e2e.test\r\n\r\n"),
        entries=("response",),
        status=400,
        cannot=RESET_BY_CODEC,
    ),
    "byte_in_host": Ending(
        number=22,
        does="a byte that no host may have",
        client=do.sends_raw(b"GET / HTTP/1.1\r\nhost: e2e<test\r\n\r\n"),
        entries=("response",),
        status=400,
        cannot=RESET_BY_CODEC,
    ),
    "unknown_upgrade": Ending(
        number=22,
        does="an upgrade that the listener does not know",
        client=do.unknown_upgrade,
        listener=http(**WEBSOCKETS),
        status=403,
    ),
    "bad_path": Ending(
        number=22,
        does="a path that is refused as unsafe",
        client=do.asks(path=b"/a%2fb"),
        listener=http(path_with_escaped_slashes_action="REJECT_REQUEST"),
        status=400,
    ),
    "overload": Ending(
        number=23,
        does="Envoy refuses all requests, having too little of something",
        logged={"entries"},
        client=do.asks(),
        own_envoy={"overloaded": True},
        entries=(),
        status=503,
    ),
    "quic_takes_it_all": Ending(
        number=24,
        does="the response is complete for Envoy though the client has stalled",
        client=do.stalls,
        cannot=dict.fromkeys(
            ("HTTP/1.1", "HTTP/2"), "Envoy itself waits for the client: see slow_reader"
        ),
    ),
}
