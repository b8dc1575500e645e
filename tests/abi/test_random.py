# SPDX-License-Identifier: Apache-2.0
"""
Random lives of streams, legal and odd, several at a time: what is due is written once.

A model says what is due; it knows the rules of docs/entry.md and nothing of the code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .configs import REQUEST_HEADERS, RESPONSE_HEADERS, Config, Stream, request
from .conftest import SharedHosts
from .host import Event, Host, Pairs

SETTINGS = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
ENDS = ("complete", "above", "below", "wake", "map", "no_map", "recreated", "clock", "destroy")
STEPS = (
    "request_headers",
    "connect",
    "request_body",
    "request_trailers",
    "response_headers",
    "switches",
    "response_body",
    "response_trailers",
    "local_reply",
    *ENDS,
)
ORDINARY = ("request_headers", "request_body", "response_headers", "response_body", "complete")
CLIENT = 24  # the ABI's number of the attribute source.address, which is in all entries
DETAILS = 16  # of response.code_details

step = st.tuples(st.integers(0, 2), st.sampled_from(STEPS), st.booleans())
ordinary = st.tuples(st.integers(0, 2), st.sampled_from(ORDINARY), st.booleans())
lives = st.lists(st.one_of(step, ordinary), max_size=24)
lanes = st.fixed_dictionaries(
    {
        "request": st.booleans(),
        "response_at": st.sampled_from(["stream_complete", "end_of_stream"]),
        "trailers": st.booleans(),
        "compat": st.sampled_from(["none", "cilium"]),
    },
    optional={
        "aborted": st.booleans(),
        "tunnel_at": st.sampled_from(["stream_complete", "handshake"]),
        "redirected": st.booleans(),
    },
)
Lane = dict[str, Any]


@dataclass(slots=True)
class Model:
    """What is due for one stream of the access filter, in order."""

    lane: Lane
    release: str
    method: str = ""  # empty: there are no request headers
    status: int = 0  # 0: there are no response headers
    begun: bool = False
    seen: bool = False
    recreated: bool = False
    redirect_header: bool = False
    request_over: bool = False
    response_over: bool = False
    written: list[str] = field(default_factory=list)

    def _setting(self, name: str) -> bool:
        cilium = self.lane["compat"] == "cilium"
        if name == "tunnel_at":
            return bool(self.lane.get(name, "handshake" if cilium else "") == "handshake")
        return bool(self.lane.get(name, not cilium))

    def step(self, what: str, *, end: bool) -> None:
        """Follow one step of the stream's life."""
        if what in ("request_headers", "connect", "request_body", "request_trailers"):
            if what in ("request_headers", "connect"):
                self.method = "CONNECT" if what == "connect" else "GET"
                self.redirect_header = False
            self._request(there=True)
        elif what in ("map", "no_map"):
            self.status = 200 if what == "map" else 0
        elif what == "recreated":
            self.recreated = self.redirect_header = True
            self.method = "GET"
        elif what == "local_reply":
            self.seen = True
        elif what in ("response_headers", "switches", "response_body", "response_trailers"):
            self._response(what, end=end or what == "response_trailers")
        elif what == "complete":
            self._complete()

    def _response(self, what: str, *, end: bool) -> None:
        self.seen = True
        self.status = {"response_headers": 200, "switches": 101}.get(what, self.status)
        tunnel = self.status == 101 or (self.status == 200 and self.method == "CONNECT")
        if tunnel and not self.begun and self._setting("tunnel_at"):
            self._answer()
        self.begun = True
        if end and self.status and self.lane["response_at"] == "end_of_stream":
            self._answer()

    def _complete(self) -> None:
        self._request(there=bool(self.method))
        self.request_over = True
        recreated = self.recreated
        if self.release == "1.38":  # it does not tell the details
            recreated = self.redirect_header and self.status > 0
        nothing = "aborted" if self.seen or not recreated else "redirected"
        if (self.seen and self.status) or self._setting(nothing):
            self._answer()
        self.response_over = True

    def _request(self, *, there: bool) -> None:
        if there and self.lane["request"] and not self.request_over:
            self.request_over = True
            self.written.append("request")

    def _answer(self) -> None:
        self._request(there=bool(self.method))
        self.request_over = True
        if not self.response_over:
            self.written.append("response")
        self.response_over = True


def take(stream: Stream, what: str, *, end: bool, asked: Pairs = ()) -> None:
    """Let a stream take one step; its request has the headers *asked*, too."""
    connect = [(":method", "CONNECT"), *request(stream.name, *asked)[2:]]
    steps = {
        "request_headers": lambda: stream.request_headers(request(stream.name, *asked), end=end),
        "connect": lambda: stream.request_headers(connect, end=end),
        "request_body": lambda: stream.request_body("x" * end, end=end),
        "request_trailers": lambda: stream.request_trailers((("x-t", None),)),
        "response_headers": lambda: stream.response_headers(_answer(stream), end=end),
        "switches": lambda: stream.response_headers(_answer(stream, 101), end=end),
        "response_body": lambda: stream.response_body(b"y" if end else None, end=end),
        "response_trailers": lambda: stream.response_trailers((("x-t", "1"),)),
        "local_reply": lambda: stream.local_reply(503, None if end else "details", reset=end),
        "complete": stream.complete,
        "above": lambda: stream.hook("above"),
        "below": lambda: stream.hook("below"),
        "wake": lambda: stream.hook("wake", 1),
        "map": lambda: stream.map(RESPONSE_HEADERS, _answer(stream)),
        "no_map": lambda: stream.map(RESPONSE_HEADERS, ()),
        "recreated": lambda: recreate(stream, asked),
        "clock": lambda: set_clock_back(stream.host, 3600 * end),
        "destroy": stream.destroy,
    }
    steps[what]()


def recreate(stream: Stream, asked: Pairs) -> None:
    """Let Envoy know of a redirect, as each release does."""
    stream.attribute(DETAILS, "internal_redirect")
    url = ("x-envoy-original-url", "http://example.org/")
    stream.map(REQUEST_HEADERS, request(stream.name, *asked, url))


def set_clock_back(host: Host, seconds: int) -> None:
    """Set the wall clock of a host back by so much, all in all."""
    host("set", "clock_back", seconds)


def _answer(stream: Stream, status: int = 200) -> list[tuple[str, str]]:
    return [(":status", str(status)), ("x-stream", stream.name)]


def named(stream: Stream) -> Stream:
    """Let all entries of a stream bear its name, whatever headers it has."""
    stream.attribute(CLIENT, stream.name)
    return stream


def check_entries(entries: list[Event], expected: dict[str, list[str]]) -> None:
    """Compare the kinds of each stream's entries, in their order; times go up."""
    found: dict[str, list[Event]] = {}
    for entry in entries:
        found.setdefault(entry["downstream_remote_address"], []).append(entry)
    kinds = {name: [entry["kind"] for entry in written] for name, written in found.items()}
    assert {name: written for name, written in expected.items() if written} == kinds
    for written in found.values():
        times = [entry["time_unix_nano"] for entry in written]
        assert sorted(times) == times


def live(config: Config, life: list[tuple[int, str, bool]]) -> dict[str, list[tuple[str, bool]]]:
    """Run the steps; what each stream really lived through, with the end that all come to."""
    streams: dict[int, Stream] = {}
    lived: dict[str, list[tuple[str, bool]]] = {}
    for number, what, end in life:
        if number not in streams:
            streams[number] = named(config.stream(worker=number % 2))
        stream = streams[number]
        if not stream.ended:
            lived.setdefault(stream.name, []).append((what, end))
            take(stream, what, end=end)
    for stream in streams.values():
        if not stream.ended:
            lived.setdefault(stream.name, []).append(("complete", False))
    return lived


@SETTINGS
@given(life=lives, lane=lanes, release=st.sampled_from(["1.38", "1.40"]))
def test_what_is_due_is_written_once(
    shared_hosts: SharedHosts, life: list[tuple[int, str, bool]], lane: Lane, release: str
) -> None:
    """The access filter's entries are the model's, for any lives in any order."""
    host = shared_hosts.get(release)
    set_clock_back(host, 0)
    config = Config.access(host, log=lane)
    expected = {}
    for name, steps in live(config, life).items():
        model = Model(lane, release)
        for what, end in steps:
            model.step(what, end=end)
        expected[name] = model.written
    check_entries(config.entries(), expected)
    set_clock_back(host, 0)
