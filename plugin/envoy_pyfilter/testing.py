# SPDX-License-Identifier: Apache-2.0
"""
Test a filter without Envoy.

``run_stream`` takes one request and its response through a filter:

    stream = run_stream(MyFilter(MyFilter.Config()), request_headers={":path": "/admin"})
    assert 403 == stream.downstream.status

``FakeStream`` does so step by step, so that a test can look between the steps. ``FakeHost`` is the
proxy's side alone, for those who call a ``Stream`` themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._fake_host import FakeHost
from ._fake_parts import FakeMetrics, FakeScheduler, SentReply
from ._fake_proxy import Message, Way
from ._fake_stream import REQUEST, RESPONSE, FakeStream, with_defaults
from ._host import NoteKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._text import HeaderPairs
    from .filter import Filter


def run_stream(  # noqa: PLR0913 (a test names what it needs)
    filter: Filter,  # noqa: A002 (the word for it)
    *,
    request_headers: HeaderPairs = (),
    request_body: bytes | Iterable[bytes] = (),
    request_trailers: HeaderPairs | None = None,
    response_headers: HeaderPairs = (),
    response_body: bytes | Iterable[bytes] = (),
    response_trailers: HeaderPairs | None = None,
    timeout: float = 5.0,
    **host: Any,
) -> FakeStream:
    """
    Take one request and its response through *filter*, to the end of the stream.

    Bodies are one chunk or several. The upstream answers once it has the whole request; if the
    filter answers first, it never gets to it. What the filter pauses, another thread must resume
    within *timeout* seconds (``TimeoutError``). *host* goes to ``FakeStream``.
    """
    fake = FakeStream(filter, **host)
    _send(fake._request, with_defaults(request_headers, REQUEST), request_body, request_trailers)
    _wait(fake, fake._request, timeout)
    if not fake.answered and not fake._response.closed:
        pairs = with_defaults(response_headers, RESPONSE)
        fake.attributes.setdefault("response.code", int(dict(pairs)[b":status"]))
        _send(fake._response, pairs, response_body, response_trailers)
        _wait(fake, fake._response, timeout)
    fake.complete()
    return fake


def _send(
    way: Way,
    headers: list[tuple[bytes, bytes]],
    body: bytes | Iterable[bytes],
    trailers: HeaderPairs | None,
) -> None:
    chunks = [body] if isinstance(body, bytes) and body else list(body or ())
    way.headers(headers, end=not chunks and trailers is None)
    for place, chunk in enumerate(chunks, 1):
        way.data(chunk, end=place == len(chunks) and trailers is None)
    if trailers is not None:
        way.trailers(with_defaults(trailers, ()))


def _wait(fake: FakeStream, way: Way, timeout: float) -> None:
    while not (way.closed or way.out.ended):
        fake.run_scheduled(timeout)
    while not fake.completed and not fake.events.empty():
        fake.run_scheduled(timeout)


__all__ = [
    "FakeHost",
    "FakeMetrics",
    "FakeScheduler",
    "FakeStream",
    "Message",
    "NoteKind",
    "SentReply",
    "run_stream",
]
