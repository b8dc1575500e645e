# SPDX-License-Identifier: Apache-2.0
"""
Clients of one connection each, blocking, that show a test every byte that came.

``Http1`` and ``Http2`` have the same methods, so a test runs over both: ``fetch`` for a whole
exchange, or ``open``, ``send``, ``read_head``, ``finish`` and ``abort`` step by step. ``grpc_call``
is the real gRPC library.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h11

from .messages import Pairs, Request, Response, pairs

if TYPE_CHECKING:
    from typing_extensions import Self

TIMEOUT = 15.0


class _Base:
    """What both protocols do alike."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._clear()

    def _clear(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._over = False
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _read_more(self) -> None:
        raise NotImplementedError

    def _response(self) -> Response:
        return Response(
            status=self._status,
            headers=list(self._headers),
            body=b"".join(self._body),
            trailers=list(self._trailers),
            whole=self._whole,
        )

    def read_head(self) -> Response:
        """Wait for the response's headers."""
        while not self._status and not self._over:
            self._read_more()
        return self._response()

    def read_body(self, size: int) -> bytes:
        """Wait until at least *size* bytes of the body are there."""
        while sum(map(len, self._body)) < size and not self._over:
            self._read_more()
        return b"".join(self._body)

    def finish(self) -> Response:
        """Wait for the response's end, or for what ended it too early."""
        while not self._over:
            self._read_more()
        return self._response()

    def _receive(self) -> bytes:
        with contextlib.suppress(ConnectionResetError):
            return self._socket.recv(65536)
        return b""

    def reset_connection(self) -> None:
        """Close with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class Http1(_Base):
    """HTTP/1.1; one exchange after the other."""

    def __init__(self, port: int) -> None:
        """Connect."""
        super().__init__(port)
        self._http = h11.Connection(h11.CLIENT)

    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self._clear()
        headers = [(b"host", request.authority), *request.headers]
        if not ends and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"transfer-encoding", b"chunked"))
        head = h11.Request(method=request.method, target=request.path, headers=headers)
        self._send(head)
        if ends:
            self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body."""
        if data:
            self._send(h11.Data(data=data))
        if ends:
            self._send(h11.EndOfMessage())

    def send_trailers(self, trailers: Pairs) -> None:
        """Send trailers, which end the request."""
        self._send(h11.EndOfMessage(headers=list(trailers)))

    def fetch(self, request: Request) -> Response:
        """Send a whole request and wait for the whole response."""
        return _fetch(self, request)

    def _read_more(self) -> None:
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError:
            self._over = True
            return
        if event is h11.NEED_DATA:
            self._http.receive_data(self._receive())
        elif isinstance(event, h11.Response):
            self._status = event.status_code
            self._headers = pairs(event.headers.raw_items())
        elif isinstance(event, h11.Data):
            self._body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self._trailers = pairs(event.headers.raw_items())
            self._over = self._whole = True
        elif isinstance(event, h11.ConnectionClosed):
            self._over = True

    def abort(self) -> None:
        """Close the connection."""
        self._socket.close()


class Http2(_Base):
    """HTTP/2 without TLS; one stream at a time."""

    def __init__(self, port: int) -> None:
        """Connect and shake hands."""
        super().__init__(port)
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()
        self._stream = 0
        self._flush()

    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""
        self._clear()
        self._stream = self._http.get_next_available_stream_id()
        head = [
            (b":method", request.method),
            (b":scheme", b"http"),
            (b":authority", request.authority),
            (b":path", request.path),
            *request.headers,
        ]
        self._http.send_headers(self._stream, head, end_stream=ends)
        self._flush()

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body."""
        while data and not self._over:
            window = self._http.local_flow_control_window(self._stream)
            size = min(window, self._http.max_outbound_frame_size, len(data))
            if size <= 0:
                self._read_more()
                continue
            self._http.send_data(self._stream, data[:size])
            data = data[size:]
            self._flush()
        if ends and not self._over:
            self._http.end_stream(self._stream)
            self._flush()

    def send_trailers(self, trailers: Pairs) -> None:
        """Send trailers, which end the request."""
        self._http.send_headers(self._stream, list(trailers), end_stream=True)
        self._flush()

    def fetch(self, request: Request) -> Response:
        """Send a whole request and wait for the whole response."""
        return _fetch(self, request)

    def _read_more(self) -> None:
        data = self._receive()
        if not data:
            self._over = True
            return
        for event in self._http.receive_data(data):
            self._on_event(event)
        self._flush()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._over = self._over or not self._stream
        elif getattr(event, "stream_id", None) != self._stream:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            found = pairs(event.headers or ())
            self._status = int(dict(found)[b":status"])
            self._headers = [pair for pair in found if pair[0] != b":status"]
        elif isinstance(event, h2.events.DataReceived):
            self._body.append(bytes(event.data or b""))
            self._http.acknowledge_received_data(event.flow_controlled_length or 0, self._stream)
        elif isinstance(event, h2.events.TrailersReceived):
            self._trailers = pairs(event.headers or ())
        elif isinstance(event, h2.events.StreamEnded):
            self._over = self._whole = True
        elif isinstance(event, h2.events.StreamReset):
            self._over = True

    def abort(self) -> None:
        """Reset the stream, unless it has ended."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._socket.sendall(data)


def _fetch(client: Http1 | Http2, request: Request) -> Response:
    has_more = bool(request.body or request.trailers)
    client.open(request, ends=not has_more)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an early answer
        for number, chunk in enumerate(request.body, 1):
            client.send(chunk, ends=not request.trailers and number == len(request.body))
        if request.trailers:
            client.send_trailers(request.trailers)
    return client.finish()


CLIENTS: dict[str, Callable[[int], Http1 | Http2]] = {"HTTP/1.1": Http1, "HTTP/2": Http2}


@dataclass(frozen=True, kw_only=True)
class GrpcResult:
    """What the gRPC library makes of a call."""

    code: int
    message: str
    answers: list[bytes]
    initial: Pairs
    trailing: Pairs


def grpc_call(
    port: int,
    path: str = "/e2e.Echo/Stream",
    *,
    messages: Sequence[bytes] = (b"one",),
    metadata: Sequence[tuple[str, str]] = (),
) -> GrpcResult:
    """Make one streaming call over a channel of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        method = channel.stream_stream(
            path, request_serializer=_as_it_is, response_deserializer=_as_it_is
        )
        call = method(iter(messages), metadata=tuple(metadata), timeout=TIMEOUT)
        answers = list(_until_error(call))
        return GrpcResult(
            code=call.code().value[0],
            message=call.details() or "",
            answers=answers,
            initial=_metadata(call.initial_metadata()),
            trailing=_metadata(call.trailing_metadata()),
        )


def _as_it_is(data: bytes) -> bytes:
    return data


def _until_error(call: Iterator[bytes]) -> Iterator[bytes]:
    with contextlib.suppress(grpc.RpcError):
        yield from call


def _metadata(found: Sequence[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    return [
        (key.encode(), value if isinstance(value, bytes) else value.encode("latin-1"))
        for key, value in found or ()
    ]
