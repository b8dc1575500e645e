# SPDX-License-Identifier: Apache-2.0
"""One stream through one filter, step by step. Public as ``envoy_pyfilter.testing.FakeStream``."""

from __future__ import annotations

import queue
import weakref
from typing import TYPE_CHECKING, Final, TypeAlias

from ._fake_host import FakeHost, spaces
from ._fake_parts import FakeMetrics
from ._fake_proxy import Message, State, Way, local_reply
from ._host import HeaderMap, MetadataSource, MetadataValue, NoteKind
from ._text import HeaderPairs, Text, header_name, header_value, utf8
from .filter import Filter
from .metrics import declared
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._host import Pairs

Values: TypeAlias = "Mapping[str, Mapping[str, MetadataValue]]"

REQUEST: Final = (
    (b":method", b"GET"),
    (b":path", b"/"),
    (b":scheme", b"http"),
    (b":authority", b"example.com"),
)
RESPONSE: Final = ((b":status", b"200"),)
_METRICS: Final[weakref.WeakKeyDictionary[Filter, FakeMetrics]] = weakref.WeakKeyDictionary()


class FakeStream(FakeHost):
    """
    One stream through one filter, driven by a test.

    ``request_headers``, ``request_body`` and so on are what comes in; ``upstream`` is what the
    upstream got of the request, ``downstream`` what the client got of the response. ``stream`` is
    what the filter's hooks get. All of it belongs to the thread that made it. ``RuntimeError`` when
    the steps come in an order that Envoy never has, such as trailers before headers. A response may
    come before its request.

    *ends_inside_calls* makes the stream end inside the filter's own reply or reset, as Envoy up to
    1.39 does; without it, it ends after the hook, as from 1.40 on.
    """

    def __init__(  # noqa: PLR0913 (a test names what it needs)
        self,
        filter: Filter,  # noqa: A002 (the word for it)
        *,
        attributes: Mapping[str, str | int | bool] | None = None,
        filter_state: Mapping[str, Text] | None = None,
        metadata: Values | None = None,
        route_metadata: Values | None = None,
        cluster_metadata: Values | None = None,
        host_metadata: Values | None = None,
        route_config: object | None = None,
        buffer_limit: int = 1 << 20,
        worker_index: int = 0,
        ends_inside_calls: bool = False,
    ) -> None:
        if not isinstance(filter, Filter):
            raise TypeError(f"a stream needs an instance of a Filter, got {filter!r}")
        super().__init__()
        self.attributes = dict(attributes or {})
        self.state = {utf8(key): utf8(value) for key, value in (filter_state or {}).items()}
        self.spaces[MetadataSource.DYNAMIC] = spaces(metadata)
        self.spaces[MetadataSource.ROUTE] = spaces(route_metadata)
        self.spaces[MetadataSource.CLUSTER] = spaces(cluster_metadata)
        self.spaces[MetadataSource.HOST] = spaces(host_metadata)
        self.route = route_config
        self.limit = buffer_limit
        self.worker = worker_index
        self.metrics = _define_metrics(filter)
        self.filter = filter
        self.stream = Stream(self, filter)
        self.upstream = Message()
        self.downstream = Message()
        self.completed = False
        self._ends_inside_calls = ends_inside_calls
        self._request = Way(self, self.stream, self.upstream, request=True)
        self._response = Way(self, self.stream, self.downstream, request=False)
        self._request.on_over_limit(
            lambda: self.local_reply(
                413, body=b"Payload Too Large", details="request_payload_too_large"
            )
        )
        self._response.on_over_limit(
            lambda: self._answer(500, [], b"Internal Server Error", b"response_payload_too_large")
        )

    # --- what comes in ---

    def request_headers(self, headers: HeaderPairs = (), *, end_of_stream: bool = False) -> int:
        """
        Let a request's headers come in; return the filter's status.

        ``GET http://example.com/`` unless *headers* say otherwise.
        """
        self._check_going()
        return self._request.headers(with_defaults(headers, REQUEST), end=end_of_stream)

    def request_body(self, data: bytes, *, end_of_stream: bool = False) -> int:
        """Let a chunk of the request's body come in; return the status, -1 if nobody was asked."""
        self._check_going()
        return self._request.data(data, end=end_of_stream)

    def request_trailers(self, trailers: HeaderPairs) -> int:
        """Let the request's trailers come in; return the status, -1 if nobody was asked."""
        self._check_going()
        return self._request.trailers(with_defaults(trailers, ()))

    def response_headers(self, headers: HeaderPairs = (), *, end_of_stream: bool = False) -> int:
        """Let the response's headers come in, status 200 unless they say otherwise."""
        self._check_going()
        pairs = with_defaults(headers, RESPONSE)
        status = next(value for name, value in pairs if name == b":status")
        self.attributes.setdefault("response.code", int(status))
        return self._response.headers(pairs, end=end_of_stream)

    def response_body(self, data: bytes, *, end_of_stream: bool = False) -> int:
        """Let a chunk of the response's body come in; return the status, -1 if nobody was asked."""
        self._check_going()
        return self._response.data(data, end=end_of_stream)

    def response_trailers(self, trailers: HeaderPairs) -> int:
        """Let the response's trailers come in; return the status, -1 if nobody was asked."""
        self._check_going()
        return self._response.trailers(with_defaults(trailers, ()))

    def local_reply(
        self, status: int, headers: HeaderPairs = (), body: bytes = b"", details: str = ""
    ) -> None:
        """
        Let somebody else answer: the local-reply hook runs, then those of the response.

        Where a response has come already, its hooks are over: the client gets the answer as it is,
        or a reset if it has headers.
        """
        self._check_going()
        if self._response.arrived:
            self._answer(status, with_defaults(headers, ()), body, details.encode())
            return
        self._request.closed = True
        self.attributes["response.code_details"] = details
        self.stream._local_reply(status, details.encode(), reset_imminent=False)
        pairs = [(b":status", b"%d" % status), *with_defaults(headers, ())]
        self.response_headers(pairs, end_of_stream=not body)
        if body:
            self.response_body(body, end_of_stream=True)

    def above_high_watermark(self) -> None:
        """Let the client read too slowly."""
        self._check_going()
        self.stream._above_high_watermark()

    def below_low_watermark(self) -> None:
        """Let the client catch up."""
        self._check_going()
        self.stream._below_low_watermark()

    def run_scheduled(self, timeout: float = 5.0) -> None:
        """
        Wait until another thread wakes the stream, and run what it left.

        Raises ``TimeoutError`` when nobody does so within *timeout* seconds.
        """
        try:
            event = self.events.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("nobody woke the stream") from None
        self.stream._scheduled(event)

    def complete(self) -> None:
        """End the stream, however far it came: stream complete, then destroy. Once."""
        if not self.completed:
            self.completed = True
            self._request.closed = self._response.closed = True
            self.stream._stream_complete()
            self.stream._destroyed()
            self.gone()

    def _check_going(self) -> None:
        if self.completed:
            raise RuntimeError("the stream is complete: nothing comes after that")

    @property
    def held(self) -> bool:
        """Whether the filter holds the request or the response back."""
        ways = (self._request, self._response)
        return any(way.state is not State.OPEN and not way.closed for way in ways)

    @property
    def answered(self) -> bool:
        """Whether the filter, or Envoy for it, has answered in the upstream's place."""
        return self._request.closed

    def metric(self, name: str, *labels: Text) -> int:
        """Return a counter or gauge of the filter, over all its streams; 0 if untouched."""
        return self.metrics.values.get(self._metric_key(name, labels), 0)

    def histogram(self, name: str, *labels: Text) -> list[int]:
        """Return what a histogram of the filter recorded, over all its streams."""
        return list(self.metrics.recorded.get(self._metric_key(name, labels), ()))

    def noted(self, kind: NoteKind = NoteKind.NOTE) -> dict[str, bytes]:
        """Return the notes of one kind: key and JSON text."""
        return {key.decode(): json for own, key, _, json in self.notes if own is kind}

    def _metric_key(self, name: str, labels: tuple[Text, ...]) -> tuple[int, tuple[bytes, ...]]:
        for metric, number in self.filter._metric_ids.items():
            if metric.name == name:
                return number, tuple(utf8(label) for label in labels)
        raise LookupError(f"{type(self.filter).__qualname__} declares no metric {name}")

    # --- what the filter asks for ---

    def reply(self, status: int, headers: Pairs, body: bytes, details: bytes) -> None:
        """Answer as Envoy does: the filter's own local-reply hook runs within this call."""
        super().reply(status, headers, body, details)
        self._answer(status, list(headers), body, details or b"dynamic_module")

    def _answer(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, details: bytes
    ) -> None:
        self._request.closed = self._response.closed = True
        self.attributes["response.code"] = status
        self.attributes["response.code_details"] = details.decode("latin-1")
        self.stream._local_reply(status, details, reset_imminent=False)
        if self.downstream.headers is not None:
            self.downstream.reset = True
        else:
            pairs, body = local_reply(status, headers, body, grpc=self._is_grpc())
            body = b"" if self._is_head() else body
            self.maps[HeaderMap.RESPONSE_HEADERS] = pairs
            self.downstream.headers, self.downstream.body = list(pairs), body
            self.downstream.ended = True
            self.attributes["response.code"] = self.downstream.status or status
        self._end_inside()

    def _is_grpc(self) -> bool:
        types = dict(self.maps.get(HeaderMap.REQUEST_HEADERS, ()))
        return types.get(b"content-type", b"").startswith(b"application/grpc")

    def _is_head(self) -> bool:
        return (b":method", b"HEAD") in self.maps.get(HeaderMap.REQUEST_HEADERS, ())

    def _end_inside(self) -> None:
        if self._ends_inside_calls:
            self.complete()

    def response_begun(self) -> bool:
        """Whether the client got headers already."""
        super().response_begun()
        return self.downstream.headers is not None

    def reply_headers(self, headers: Pairs, *, end_of_stream: bool) -> None:
        """Start an answer in pieces."""
        super().reply_headers(headers, end_of_stream=end_of_stream)
        self._response.closed = True
        self.maps[HeaderMap.RESPONSE_HEADERS] = list(headers)
        self.downstream.headers = list(headers)
        self._piece(b"", end=end_of_stream)

    def reply_data(self, data: bytes, *, end_of_stream: bool) -> None:
        """Go on with it."""
        super().reply_data(data, end_of_stream=end_of_stream)
        self._piece(data, end=end_of_stream)

    def reply_trailers(self, trailers: Pairs) -> None:
        """End it."""
        super().reply_trailers(trailers)
        self.downstream.trailers = list(trailers)
        self._piece(b"", end=True)

    def _piece(self, data: bytes, *, end: bool) -> None:
        if data:
            self.downstream.body += data
            self.downstream.chunks.append(data)
        if end:
            self.downstream.ended = self._request.closed = True
            self._end_inside()

    def reset(self, reason: int, details: bytes) -> None:
        """Cut the stream off."""
        super().reset(reason, details)
        self._request.closed = self._response.closed = True
        self.downstream.reset = True
        self._end_inside()

    def resume_request(self) -> None:
        """Let the request go on; the filter's hooks may run within this call."""
        super().resume_request()
        self._request.resume()

    def resume_response(self) -> None:
        """Let the response go on; the filter's hooks may run within this call."""
        super().resume_response()
        self._response.resume()


def with_defaults(headers: HeaderPairs, defaults: Pairs) -> list[tuple[bytes, bytes]]:
    """Give a map's pairs as the proxy has them: the defaults first, unless they are given."""
    given = headers.items() if hasattr(headers, "items") else headers
    pairs = [(header_name(name), header_value(value)) for name, value in given]
    names = {name for name, _ in pairs}
    return [*((name, value) for name, value in defaults if name not in names), *pairs]


def _define_metrics(owner: Filter) -> FakeMetrics:
    metrics = _METRICS.setdefault(owner, FakeMetrics())
    for number, metric in enumerate(declared(type(owner)), 1):
        owner._metric_ids[metric] = number
        metrics.label_counts[number] = len(metric.labels)
    return metrics
