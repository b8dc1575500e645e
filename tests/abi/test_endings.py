# SPDX-License-Identifier: Apache-2.0
"""
Every way a stream can end, as the hooks that Envoy calls, and the entries that are due.

``docs/endings.md`` has the same endings on a real Envoy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from .configs import RESPONSE_HEADERS, Stream, request
from .conftest import MakeConfig, SharedHosts
from .host import Host, Pairs

Step = Callable[[Stream], object]
Entry = tuple[str, int | None]  # kind, response code

DETAILS = 16  # the ABI's number of the attribute response.code_details
REQUEST: Entry = ("request", None)
CILIUM = {"compat": "cilium"}


def status(code: int, *more: tuple[str, str]) -> Pairs:
    """Give the headers of a response."""
    return ((":status", str(code)), *more)


def asks(method: str = "GET", *, end: bool = True) -> Step:
    """Let the request's headers arrive."""
    return lambda s: s.request_headers([(":method", method), *request(s.name)[1:]], end=end)


def sends(data: str, *, end: bool = True) -> Step:
    """Let a piece of the request's body arrive."""
    return lambda s: s.request_body(data, end=end)


def answers(code: int = 200, *more: tuple[str, str], end: bool = False) -> Step:
    """Let the response's headers pass."""
    return lambda s: s.response_headers(status(code, *more), end=end)


def gives(data: str, *, end: bool = False) -> Step:
    """Let a piece of the response's body pass."""
    return lambda s: s.response_body(data, end=end)


def trailers(*pairs: tuple[str, str]) -> Step:
    """Let the response's trailers pass."""
    return lambda s: s.response_trailers(pairs)


def replies(code: int, *, reset: bool = False) -> Step:
    """Let Envoy tell of a local reply."""
    return lambda s: s.local_reply(code, "some_details", reset=reset)


def holds(code: int, *more: tuple[str, str]) -> Step:
    """Let Envoy have response headers that our hook did not see."""
    return lambda s: s.map(RESPONSE_HEADERS, status(code, *more))


def ends(details: str) -> Step:
    """Let Envoy know why the stream ends."""
    return lambda s: s.attribute(DETAILS, details)


def arrives(*pairs: tuple[str, str]) -> Step:
    """Let Envoy have request headers that our hook did not see."""
    return lambda s: s.map(0, [*request(s.name), *pairs])


@dataclass(frozen=True, slots=True)
class Ending:
    """What the hooks see before the stream is complete; the entries due, and those of Cilium."""

    steps: tuple[Step, ...]
    entries: tuple[Entry, ...]
    cilium: tuple[Entry, ...] | None = None  # None: the same


LEAVES = ends("downstream_remote_disconnect")
REDIRECTS = ends("internal_redirect")


def answered(code: int) -> tuple[Entry, ...]:
    """Give the entries of a stream that was answered."""
    return (REQUEST, ("response", code))


# The number is that of the ending in the list that docs/endings.md goes by.
ENDINGS: dict[str, Ending] = {
    "1 headers only": Ending((asks(), answers(204, end=True)), answered(204)),
    "2 body": Ending((asks(), answers(), gives("a"), gives("b", end=True)), answered(200)),
    "3 trailers": Ending((asks(), answers(), gives("a"), trailers(("x-t", "1"))), answered(200)),
    "4 trailers added late": Ending((asks(), answers(), gives("a", end=True)), answered(200)),
    "5 body added late": Ending((asks(), answers(end=True), holds(200)), answered(200)),
    "6 an inner filter held the response for ever": Ending(
        (asks(), holds(200, ("x-up", "1")), LEAVES), answered(0), (REQUEST,)
    ),
    "6 and overflowed": Ending((asks(), holds(500), replies(500)), answered(500)),
    "7 an outer filter changed it": Ending(
        (asks(), answers(200, end=True), holds(503)), answered(503)
    ),
    "8 client left before the response": Ending((asks(), LEAVES), answered(0), (REQUEST,)),
    "8 in its request": Ending(
        (asks("POST", end=False), sends("x", end=False), LEAVES), answered(0), (REQUEST,)
    ),
    "9 client left in the response": Ending((asks(), answers(), gives("a"), LEAVES), answered(200)),
    "10 upstream refused": Ending((asks(), replies(503), answers(503, end=True)), answered(503)),
    "11 upstream reset in the response": Ending((asks(), answers(), gives("a")), answered(200)),
    "12 local reply": Ending((asks(), replies(403), answers(403, end=True)), answered(403)),
    "13 local reply in place of a response": Ending(
        (asks(), answers(), holds(500), replies(500)), answered(500)
    ),
    "14 local reply after the headers": Ending(
        (asks(), answers(), replies(500, reset=True)), answered(200)
    ),
    "14 local reply that became a reset": Ending(
        (asks(), replies(500, reset=True)), answered(0), (REQUEST,)
    ),
    "15 timeout before the request": Ending(
        (arrives(), replies(408), answers(408, end=True)), answered(408)
    ),
    "15 timeout of the route": Ending((asks(), replies(504), answers(504)), answered(504)),
    "16 an interim response": Ending(
        (asks("POST", end=False), sends("x"), answers(200, end=True)), answered(200)
    ),
    "17 upgrade": Ending((asks(end=False), answers(101), sends("x"), gives("y")), answered(101)),
    "17 CONNECT": Ending((asks("CONNECT", end=False), answers(200), gives("y")), answered(200)),
    "17 CONNECT refused": Ending(
        (asks("CONNECT", end=False), answers(403, end=True)), answered(403)
    ),
    "18 gRPC": Ending(
        (asks("POST"), answers(), gives("m"), trailers(("grpc-status", "0"))), answered(200)
    ),
    "18 gRPC, trailers only": Ending(
        (asks("POST"), answers(200, ("grpc-status", "7"), end=True)), answered(200)
    ),
    "19 internal redirect": Ending((asks(), holds(302), REDIRECTS), answered(302), (REQUEST,)),
    "19 recreated": Ending((asks(), REDIRECTS), answered(0), (REQUEST,)),
    "19 recreated after the response": Ending((asks(), answers(401), REDIRECTS), answered(401)),
    "20 connection closed": Ending((asks(), answers(), gives("a"), LEAVES), answered(200)),
    "21 slow reader": Ending((asks(), answers(), gives("a", end=True)), answered(200)),
    "22 codec's refusal": Ending((replies(400), answers(400, end=True)), (("response", 400),)),
    "22 with a request": Ending((arrives(), answers(400, end=True)), answered(400)),
    "23 nothing at all": Ending((), (("response", 0),), ()),
    "24 HTTP/3": Ending((asks(), answers(), gives("a", end=True)), answered(200)),
}
LANES: dict[str, dict[str, Any]] = {
    "default": {},
    "end_of_stream": {"response_at": "end_of_stream"},
    "handshake": {"tunnel_at": "handshake"},
    "cilium": CILIUM,
    "cilium, end_of_stream": {**CILIUM, "response_at": "end_of_stream"},
    "cilium, with all entries": {**CILIUM, "aborted": True, "redirected": True},
}
EARLY = {"7 an outer filter changed it": 200}  # what end_of_stream has seen


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", ENDINGS)
def test_what_is_due(host: Host, access: MakeConfig, name: str, lane: str) -> None:
    """The entries of an ending, in their order, with their status."""
    ending, log = ENDINGS[name], LANES[lane]
    config = access(host, log=log)
    stream = config.stream()
    for step in ending.steps:
        step(stream)
    if "302" in str(ending.entries):
        stream.attribute(15, 302)  # Envoy notes the status of a response that it drops
    stream.finish()

    entries = config.entries()
    expected = ending.entries
    if ending.cilium is not None and log == {**CILIUM, **log} and "aborted" not in log:
        expected = ending.cilium
    if "response_at" in log and name in EARLY:
        expected = answered(EARLY[name])
    assert list(expected) == [(entry["kind"], entry.get("response_code")) for entry in entries]
    times = [entry["time_unix_nano"] for entry in entries]
    assert sorted(times) == times


@pytest.mark.parametrize("name", [name for name in ENDINGS if name.startswith("17")])
def test_tunnels_at_the_handshake(host: Host, access: MakeConfig, name: str) -> None:
    """A tunnel's entry is there as soon as it begins, and no other comes; a refusal is none."""
    config = access(host, log={"tunnel_at": "handshake"})
    stream = config.stream()
    for step in ENDINGS[name].steps[:2]:
        step(stream)
    assert ("refused" not in name) == ("entries_response" in config.counts())
    stream.finish()
    assert ["request", "response"] == config.kinds()


def test_a_request_after_its_response(host: Host, access: MakeConfig) -> None:
    """No order of the hooks brings a request's entry behind the response's."""
    config = access(host, log={"response_at": "end_of_stream"})
    stream = config.stream()
    answers(200, end=True)(stream)
    asks()(stream)
    stream.finish()
    assert ["response"] == config.kinds()


def test_a_tunnel_that_was_held(host: Host, scripted: MakeConfig) -> None:
    """The handshake is when the response goes on, not when a hook of ours holds it."""
    config = scripted(
        host,
        access=True,
        config={"log": {"tunnel_at": "handshake"}},
        on_response_headers="in_thread(stream.resume_response)\nreturn PAUSE",
    )
    stream = config.stream()
    asks(end=False)(stream)
    answers(101)(stream)
    assert {"entries_request": 1} == config.counts()
    stream.hook("pump", 1)
    assert {"entries_request": 1, "entries_response": 1} == config.counts()
    stream.finish()
    assert ["request", "response"] == config.kinds()


def test_the_clock_was_set_back(host: Host, access: MakeConfig) -> None:
    """A response's entry is never older than its request's; the duration knows no clock."""
    config = access(host)
    stream = config.stream()
    asks()(stream)
    host("set", "clock_back", 60)
    try:
        stream.finish()
    finally:
        host("set", "clock_back", 0)
    first, last = config.entries()
    assert first["time_unix_nano"] == last["time_unix_nano"] == last["start_time_unix_nano"]
    assert 0 < last["duration_us"] < 20_000_000


def test_what_nobody_got(host: Host, access: MakeConfig) -> None:
    """Headers of a response that an inner filter kept are in no entry; the rest is told."""
    config = access(host, state={"state": "%RESP(x-up)%"})
    stream = config.stream()
    for step in (asks(), holds(200, ("x-up", "1"), ("grpc-status", "3")), LEAVES):
        step(stream)
    stream.complete()
    assert "-" == stream.state()["state"]
    entry = config.entries()[-1]
    assert ("response", "downstream_remote_disconnect") == (
        entry["kind"],
        entry["response_code_details"],
    )
    assert not {"response_headers", "response_trailers", "grpc_status"} & entry.keys()


@pytest.mark.parametrize("release", ["1.38", "1.39", "1.40"])
@pytest.mark.parametrize("aborted", [True, False])
def test_redirect_or_abortion(
    shared_hosts: SharedHosts, access: MakeConfig, release: str, *, aborted: bool
) -> None:
    """Each of two settings is for one of them; 1.38 goes by the header that a redirect adds."""
    config = access(shared_hosts.get(release), log={"aborted": aborted, "redirected": not aborted})
    for details in (LEAVES, REDIRECTS):
        stream = config.stream()
        asks()(stream)
        holds(302)(stream)
        if details is REDIRECTS:
            arrives(("x-envoy-original-url", "http://example.org/"))(stream)
        if release != "1.38":
            details(stream)
        stream.finish()
    responses = [entry for entry in config.entries() if entry["kind"] == "response"]
    assert [aborted] == ["response_headers" not in entry for entry in responses]
