# SPDX-License-Identifier: Apache-2.0
"""
What Envoy's filter manager does around one filter, as far as a filter can see it.

Each direction is a ``Way``: it offers headers, body and trailers to the filter's hooks, keeps what
they hold back, and passes the rest on. The statuses are those of the ABI; what they mean is what
Envoy does with them:

* headers 1 (StopIteration) holds the headers; the body's hooks still run, and 0 there lets all go.
* headers 4 (StopAllIteration...) holds everything; after a resume the body's hook gets all of the
  body at once, and then the received bytes *are* the buffered ones.
* body 1 and 2 keep the chunk, 3 drops it; hooks of later chunks run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from ._flow.steps import envoys
from ._host import BodyKind, HeaderMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._fake_host import FakeHost
    from .stream import Stream

_DROP_CHUNK = 3
_STOP_ALL = (3, 4)


@dataclass(slots=True)
class Message:
    """
    What came out at one end: of the request at the upstream, of the response at the client.

    ``headers`` and ``trailers`` are ``None`` when there were none; ``ended`` says whether the end
    of the stream came through, ``reset`` whether the stream was cut off.
    """

    headers: list[tuple[bytes, bytes]] | None = None
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] | None = None
    ended: bool = False
    reset: bool = False
    chunks: list[bytes] = field(default_factory=list)

    def header(self, name: str) -> bytes | None:
        """Return the first value of a header, ``None`` when there is none."""
        return _first(self.headers, name)

    def trailer(self, name: str) -> bytes | None:
        """Return the first value of a trailer, ``None`` when there is none."""
        return _first(self.trailers, name)

    @property
    def status(self) -> int | None:
        """The HTTP status of a response; ``None`` when no headers came."""
        text = self.header(":status")
        return None if text is None else int(text)


def _first(pairs: list[tuple[bytes, bytes]] | None, name: str) -> bytes | None:
    key = name.lower().encode("latin-1")
    return next((value for other, value in pairs or () if other == key), None)


class State(Enum):
    """Whether a filter holds a way."""

    OPEN = "open"
    HELD = "held"  # StopIteration: hooks of what follows still run
    HELD_ALL = "held all"  # StopAllIteration: no hook until it is resumed


class Way:
    """One direction of a stream: the request's or the response's."""

    def __init__(self, host: FakeHost, stream: Stream, out: Message, *, request: bool) -> None:
        self._host = host
        self._request = request
        self._whose = "the request's" if request else "the response's"
        self.out = out
        self.state = State.OPEN
        self.closed = False
        self.arrived = False  # the headers have come in
        self.ended = False  # the end has come in
        self._over_limit: Callable[[], None] = lambda: None
        self._hooks = (
            (stream._request_headers, stream._request_body, stream._request_trailers)
            if request
            else (stream._response_headers, stream._response_body, stream._response_trailers)
        )
        self._maps = (
            (HeaderMap.REQUEST_HEADERS, HeaderMap.REQUEST_TRAILERS)
            if request
            else (HeaderMap.RESPONSE_HEADERS, HeaderMap.RESPONSE_TRAILERS)
        )
        self._received, self._buffered = (
            (BodyKind.RECEIVED_REQUEST, BodyKind.BUFFERED_REQUEST)
            if request
            else (BodyKind.RECEIVED_RESPONSE, BodyKind.BUFFERED_RESPONSE)
        )

    def on_over_limit(self, action: Callable[[], None]) -> None:
        """Say what happens when more is buffered than the limit allows."""
        self._over_limit = action

    def headers(self, pairs: list[tuple[bytes, bytes]], *, end: bool) -> int:
        """Offer headers to the filter; return its status."""
        if self.arrived:
            raise RuntimeError(f"{self._whose} headers have come already")
        self.arrived, self.ended = True, end
        self._host.maps[self._maps[0]] = pairs
        status = envoys(self._hooks[0](end))
        if self.closed:
            return status
        if status == 0:
            self._pass_headers(end=end)
        else:
            self.state = State.HELD_ALL if status in _STOP_ALL else State.HELD
        return status

    def data(self, chunk: bytes, *, end: bool) -> int:
        """Offer a chunk to the filter, unless it holds everything; return its status (or -1)."""
        self._check_order("body")
        self.ended = end
        if self.closed:
            return -1
        if self.state is State.HELD_ALL:
            self._keep(chunk)
            return -1
        return self._offer(bytearray(chunk), end=end)

    def trailers(self, pairs: list[tuple[bytes, bytes]]) -> int:
        """Offer trailers to the filter, unless it holds everything; return its status (or -1)."""
        self._check_order("trailers")
        self.ended = True
        if self.closed:
            return -1
        self._host.maps[self._maps[1]] = pairs
        return -1 if self.state is State.HELD_ALL else self._offer_trailers()

    def _check_order(self, part: str) -> None:
        if not self.arrived:
            raise RuntimeError(f"{self._whose} {part} cannot come before its headers")
        if self.ended:
            raise RuntimeError(f"{self._whose} {part} cannot come after its end")

    def resume(self) -> None:
        """Go on (ABI: ``http_filter_continue_decoding`` or ``_encoding``)."""
        if self.closed or self.state is State.OPEN:
            return
        again = self.state is State.HELD_ALL
        self.state = State.OPEN
        trailers = self._maps[1] in self._host.maps
        kept = self._host.bodies.get(self._buffered)
        if self.out.headers is None:
            self._pass_headers(end=self.ended and not kept and not trailers)
        if kept and again:
            self._offer(kept, end=self.ended and not trailers)
        elif kept:
            self._pass_data(bytes(kept), end=self.ended and not trailers)
            del self._host.bodies[self._buffered]
        if trailers and not self.closed:
            if again:
                self._offer_trailers()
            else:
                self._pass_trailers()

    def _offer(self, chunk: bytearray, *, end: bool) -> int:
        bodies = self._host.bodies
        is_buffer = bodies.get(self._buffered) is chunk
        bodies[self._received] = chunk
        if is_buffer:
            self._host.buffered_received.add(self._request)
        status = envoys(self._hooks[1](end))
        self._host.buffered_received.discard(self._request)
        bodies.pop(self._received, None)
        if self.closed:
            return status
        if status == 0 and self.state is State.OPEN:
            if is_buffer:
                del bodies[self._buffered]
            self._pass_data(bytes(chunk), end=end)
            return status
        if not is_buffer and status != _DROP_CHUNK:
            self._keep(chunk)
        if status == 0:
            self.state = State.HELD
            self.resume()
        elif self.state is State.OPEN:
            self.state = State.HELD
        return status

    def _offer_trailers(self) -> int:
        status = envoys(self._hooks[2]())
        if self.closed:
            return status
        if status != 0:
            self.state = State.HELD
        elif self.state is State.OPEN:
            self._pass_trailers()
        else:
            self.resume()
        return status

    def _keep(self, chunk: bytes | bytearray) -> None:
        kept = self._host.bodies.setdefault(self._buffered, bytearray())
        kept += chunk
        if len(kept) > self._host.limit:
            self._over_limit()

    def _pass_headers(self, *, end: bool) -> None:
        self.out.headers = list(self._host.maps[self._maps[0]])
        self.out.ended = end

    def _pass_data(self, data: bytes, *, end: bool) -> None:
        self.out.body += data
        self.out.chunks.append(data)
        self.out.ended = end

    def _pass_trailers(self) -> None:
        self.out.trailers = list(self._host.maps[self._maps[1]])
        self.out.ended = True


def local_reply(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, grpc: bool
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """
    Make of a local reply what Envoy makes of it.

    A gRPC client gets 200 and, unless the reply names another, ``grpc-status: 0``: success.
    """
    names = {name for name, _ in headers}
    if not grpc:
        own = [(b"content-length", b"%d" % len(body))] if body else []
        if body and b"content-type" not in names:
            own.append((b"content-type", b"text/plain"))
        return [(b":status", b"%d" % status), *headers, *own], body
    own = [(b"content-type", b"application/grpc")]
    if b"grpc-status" not in names:
        own.append((b"grpc-status", b"0"))
    if body and b"grpc-message" not in names:
        own.append((b"grpc-message", body))
    return [(b":status", b"200"), *headers, *own], b""
