# SPDX-License-Identifier: Apache-2.0
"""
Clients of one connection each, blocking, that show a test every byte that came.

``Http1``, ``Http2`` and ``Http3`` (in a file of its own) have the same methods, so a test runs over
all of them: ``fetch`` for a whole exchange, or ``open``, ``send``, ``read_head``, ``finish`` and
``abort`` step by step. ``grpc_call`` is the real gRPC library.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h11

from .exchange import TIMEOUT, Client, head_of
from .http3 import Http3
from .messages import Pairs, Request, pairs

# Of HTTP/2's frames.
FRAME_HEAD = 9
GOAWAY = 0x7
END_HEADERS = 0x4


class _Tcp(Client):
    """What the protocols on TCP do alike."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = "{}:{}".format(*self._socket.getsockname())

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self) -> bytes:
        with contextlib.suppress(ConnectionResetError):
            return self._socket.recv(65536)
        return b""

    def reset_connection(self) -> None:
        """Close with RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class Http1(_Tcp):
    """HTTP/1.1; one exchange after the other."""

    def __init__(self, port: int) -> None:
        """Connect."""
        super().__init__(port)
        self._http = h11.Connection(h11.CLIENT)
        self._tunnel = False

    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        self._clear()
        headers = [(b"host", request.authority), *request.headers]
        names = {name for name, _ in headers}
        connect = request.method == b"CONNECT"
        asks_for_tunnel = connect or b"upgrade" in names
        if not ends and not asks_for_tunnel and b"content-length" not in names:
            headers.append((b"transfer-encoding", b"chunked"))
        target = request.authority if connect else request.path
        self._send(h11.Request(method=request.method, target=target, headers=headers))
        if ends or asks_for_tunnel:
            self._send(h11.EndOfMessage())

    def open_half(self, request: Request) -> None:
        """Send the first line and a header, and no more."""
        self._clear()
        line = request.method + b" " + request.path + b" HTTP/1.1\r\n"
        self._socket.sendall(line + b"host: " + request.authority + b"\r\n")

    def _send(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body, or of what goes through a tunnel."""
        if self._http.our_state is h11.SWITCHED_PROTOCOL:
            self._socket.sendall(data)
            if ends:
                self._socket.shutdown(socket.SHUT_WR)
            return
        if data:
            self._send(h11.Data(data=data))
        if ends:
            self._send(h11.EndOfMessage())

    def send_trailers(self, trailers: Pairs) -> None:
        """Send trailers, which end the request."""
        self._send(h11.EndOfMessage(headers=list(trailers)))

    def _read_more(self) -> None:
        if self._tunnel:
            data = self._receive()
            self._body.append(data)
            self._over = self._whole = not data
            return
        try:
            event = self._http.next_event()
        except h11.RemoteProtocolError:
            self._over = True
            return
        if event is h11.NEED_DATA:
            self._http.receive_data(self._receive())
        elif event is h11.PAUSED:
            self._tunnel = True
            self._body.append(self._http.trailing_data[0])
        elif isinstance(event, (h11.Response, h11.InformationalResponse)):
            headers = pairs(event.headers.raw_items())
            self.told_to_leave |= (b"connection", b"close") in headers
            self._on_head(event.status_code, headers)
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


class Http2(_Tcp):
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
        self._settled = False
        self._unread = b""
        self._flush()

    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""
        self._clear()
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(self._stream, head_of(request, b"http"), end_stream=ends)
        self._flush()

    def open_half(self, request: Request) -> None:
        """Send a frame of headers that promises another one, and nothing in between."""
        while not self._settled and not self._over:
            self._read_more()
        self._clear()
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(self._stream, head_of(request, b"http"), end_stream=True)
        frame = bytearray(self._http.data_to_send())
        frame[4] &= ~END_HEADERS
        self._socket.sendall(frame)

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

    def _read_more(self) -> None:
        data = self._receive()
        if not data:
            self._over = True
            return
        for event in self._http.receive_data(self._without_goaways(data)):
            self._on_event(event)
        self._flush()

    def _without_goaways(self, data: bytes) -> bytes:
        """
        Give the whole frames of what came, but for GOAWAY.

        After one of them the streams that are there go on, for which the library has no way.
        """
        self._unread += data
        frames = []
        while len(self._unread) >= FRAME_HEAD:
            size = FRAME_HEAD + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < size:
                break
            frame, self._unread = self._unread[:size], self._unread[size:]
            if frame[3] == GOAWAY:
                self.told_to_leave = True
            else:
                frames.append(frame)
        return b"".join(frames)

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._settled = True
        elif getattr(event, "stream_id", None) != self._stream:
            return
        elif isinstance(
            event, (h2.events.ResponseReceived, h2.events.InformationalResponseReceived)
        ):
            found = pairs(event.headers or ())
            status = int(dict(found)[b":status"])
            self._on_head(status, [pair for pair in found if pair[0] != b":status"])
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


CLIENTS: dict[str, Callable[[int], Client]] = {
    "HTTP/1.1": Http1,
    "HTTP/2": Http2,
    "HTTP/3": Http3,
}


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
