# SPDX-License-Identifier: Apache-2.0
"""What a stream gives to its filter."""

from __future__ import annotations

import gc
import weakref

import msgspec
import pytest
from envoy_pyfilter import PAUSE, Config, Filter, Stream
from envoy_pyfilter._host import HeaderMap, NoteKind
from envoy_pyfilter.testing import FakeStream

from .helpers import fake_with, filter_with, returns, stream_with


@pytest.mark.parametrize(
    ("name", "header_map"),
    [
        ("request_headers", HeaderMap.REQUEST_HEADERS),
        ("request_trailers", HeaderMap.REQUEST_TRAILERS),
        ("response_headers", HeaderMap.RESPONSE_HEADERS),
        ("response_trailers", HeaderMap.RESPONSE_TRAILERS),
    ],
)
def test_each_map(name: str, header_map: HeaderMap) -> None:
    """Each of the four maps is its own."""
    host, stream = stream_with()
    host.maps = {header_map: [(b"a", b"1")]}
    names = ("request_headers", "request_trailers", "response_headers", "response_trailers")
    found = {other: getattr(stream, other).items() for other in names}
    assert {other: [(b"a", b"1")] if other == name else [] for other in names} == found


def test_maps_are_read_anew_in_each_hook() -> None:
    """What other filters changed between two hooks is seen."""
    seen: list[bytes | None] = []
    fake = fake_with(
        on_request_headers=lambda s, _: seen.append(s.request_headers.get("a")),
        on_stream_complete=lambda s: seen.append(s.request_headers.get("a")),
    )
    fake.request_headers({"a": "1"})
    fake.set_header(HeaderMap.REQUEST_HEADERS, b"a", b"2")
    fake.complete()
    assert [b"1", b"2"] == seen


def test_maps_are_read_anew_after_a_reply() -> None:
    """The reply's headers are there when the reply was sent."""
    fake = fake_with()
    fake.request_headers()
    assert 0 == len(fake.stream.response_headers)
    fake.stream.start_response(204, end_of_stream=True)
    assert b"204" == fake.stream.response_headers[":status"]


def test_route_config() -> None:
    """The route's config is what the class's RouteConfig was decoded into."""

    class Route(msgspec.Struct):
        limit: int

    class Routed(Filter):
        RouteConfig = Route

    stream = FakeStream(Routed(Config()), route_config=Route(5)).stream
    assert (5, None) == (stream.route_config.limit, fake_with().stream.route_config)


def test_small_things() -> None:
    """Worker, buffer limit, flags."""
    fake = FakeStream(filter_with(), worker_index=3, buffer_limit=10)
    stream = fake.stream
    assert (3, 10) == (stream.worker_index, stream.buffer_limit)
    stream.buffer_limit = 20
    stream.add_custom_flag("RL")
    assert (20, [b"RL"]) == (stream.buffer_limit, fake.custom_flags)


@pytest.mark.parametrize("call", ["clear_route_cache", "clear_route_cluster_cache"])
def test_route_caches(call: str) -> None:
    """While the request's headers are here its route can be chosen anew, not after that."""

    def hook(stream: Stream, _: bool) -> object:
        getattr(stream, call)()
        return PAUSE

    fake = fake_with(on_request_headers=hook, on_response_headers=lambda s, _: getattr(s, call)())
    fake.request_headers()
    getattr(fake.stream, call)()
    fake.stream.resume_request()
    assert [call, call, "resume_request"] == fake.calls
    with pytest.raises(RuntimeError, match="its route is chosen"):
        getattr(fake.stream, call)()
    fake.response_headers()
    assert ["on_response_headers"] == fake.failed_hooks


def test_record() -> None:
    """Notes go to the record."""
    fake = fake_with(on_stream_complete=lambda s: s.record.note("score", 7))
    fake.complete()
    assert {"score": b"7"} == fake.noted()
    assert {} == fake.noted(NoteKind.REJECT)


def test_filter_and_state() -> None:
    """A stream knows its filter, and starts empty and unharmed."""
    one = filter_with()
    stream = FakeStream(one).stream
    assert (one, {}, False) == (stream.filter, stream.data, stream.failed)


def test_no_new_attributes() -> None:
    """A misspelt attribute is an error, not a new one."""
    with pytest.raises(AttributeError):
        fake_with().stream.buffer_limits = 5  # type: ignore[attr-defined]


def test_nothing_keeps_an_ended_stream() -> None:
    """A stream is freed at once when Envoy and the filter have let go of it."""
    host, stream = stream_with(on_request_headers=returns(PAUSE))
    stream._request_headers(False)
    assert (b"", b"/") == (stream.request_body.read(), stream.request_headers[":path"])
    stream._destroyed()
    kept = weakref.ref(stream.filter)
    gc.collect()
    gc.disable()
    try:
        del host, stream
        assert kept() is None
    finally:
        gc.enable()
