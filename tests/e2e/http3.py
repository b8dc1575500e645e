# SPDX-License-Identifier: Apache-2.0
"""A client of one HTTP/3 connection, and the certificate that a QUIC listener cannot do without."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from aioquic.h3.connection import H3_ALPN, ErrorCode, FrameType, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StreamReset,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .exchange import TIMEOUT, Client, head_of
from .messages import Pairs, Request, pairs

NAME = "e2e.test"


@dataclass(frozen=True)
class Certificate:
    """Paths of a certificate and its key, as PEM files."""

    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate for ``e2e.test`` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.timezone.utc)
    day = dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "chain.pem", folder / "key.pem")
    made.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def free_port() -> int:
    """
    Find a port of UDP that nobody has.

    With port 0 Envoy would give a listener the socket of one that was just removed, which may still
    read from it: datagrams would be lost.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Http3(Client):
    """
    HTTP/3; one stream at a time.

    *window* is how many bytes of a response QUIC takes before somebody reads them.
    """

    def __init__(self, port: int, *, window: int = 1 << 20) -> None:
        """Connect and shake hands."""
        super().__init__()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self.address = "{}:{}".format(*self._socket.getsockname())
        config = QuicConfiguration(
            is_client=True,
            alpn_protocols=H3_ALPN,
            server_name=NAME,
            verify_mode=ssl.CERT_NONE,
            idle_timeout=TIMEOUT,
            max_data=window,
            max_stream_data=window,
        )
        self._quic = QuicConnection(configuration=config)
        self._http = H3Connection(self._quic)
        self._peer = ("127.0.0.1", port)
        self._stream = -1
        self._ready = False
        self._closed = False
        self._quic.connect(self._peer, now=time.monotonic())
        self._flush()
        while not self._ready and not self._over:
            self._read_more()
        if self._over:
            raise ConnectionRefusedError(self._peer)

    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""
        self._clear()
        self._over = self._closed
        self._stream = self._quic.get_next_available_stream_id()
        self._http.send_headers(self._stream, head_of(request, b"https"), end_stream=ends)
        self._flush()

    def open_half(self, request: Request) -> None:
        """Send a frame of headers that lacks its end."""
        self._clear()
        self._stream = self._quic.get_next_available_stream_id()
        promised = sum(len(name) + len(value) for name, value in head_of(request, b"https"))
        self._quic.send_stream_data(self._stream, bytes([FrameType.HEADERS, promised]) + b"\0\0")
        self._flush()

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body."""
        if not self._over:
            self._http.send_data(self._stream, data, end_stream=ends)
            self._flush()

    def send_trailers(self, trailers: Pairs) -> None:
        """Send trailers, which end the request."""
        self._http.send_headers(self._stream, list(trailers), end_stream=True)
        self._flush()

    def abort(self) -> None:
        """Reset the stream in both directions, unless it has ended."""
        with contextlib.suppress(AssertionError, ValueError):
            self._quic.reset_stream(self._stream, ErrorCode.H3_REQUEST_CANCELLED)
        with contextlib.suppress(AssertionError, ValueError):
            self._quic.stop_stream(self._stream, ErrorCode.H3_REQUEST_CANCELLED)
        self._flush()

    def close(self) -> None:
        """Close the connection, and say so."""
        if not self._closed:
            self._quic.close(error_code=ErrorCode.H3_NO_ERROR)
            self._flush()
        self._socket.close()

    def stay(self) -> None:
        """Answer what QUIC asks, and send what it held back or lost."""
        self._turn(0.001)

    def _read_more(self) -> None:
        wakes = self._quic.get_timer()
        self._turn(TIMEOUT if wakes is None else max(wakes - time.monotonic(), 0.001))

    def _turn(self, wait: float) -> None:
        self._socket.settimeout(wait)
        try:
            data = self._socket.recv(65536)
            self._quic.receive_datagram(data, self._peer, now=time.monotonic())
        except TimeoutError:
            self._quic.handle_timer(now=time.monotonic())
        except ConnectionRefusedError:
            self._over = self._closed = True
        while (event := self._quic.next_event()) is not None:
            self._on_quic(event)
        self._flush()

    def _on_quic(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self._ready = True
        elif isinstance(event, ConnectionTerminated):
            self._over = self._closed = True
        for found in self._http.handle_event(event):
            self._on_http(found)
        # A server that answers early may also ask for no more of the request; that ends nothing.
        if isinstance(event, StreamReset) and event.stream_id == self._stream:
            self._over = True

    def _on_http(self, event: H3Event) -> None:
        if not isinstance(event, (HeadersReceived, DataReceived)):
            return
        if event.stream_id != self._stream:
            return
        if isinstance(event, DataReceived):
            self._body.append(event.data)
        elif self._status:
            self._trailers = pairs(event.headers)
        else:
            found = pairs(event.headers)
            status = int(dict(found)[b":status"])
            self._on_head(status, [pair for pair in found if pair[0] != b":status"])
        if event.stream_ended:
            self._over = self._whole = True

    def _flush(self) -> None:
        for data, _ in self._quic.datagrams_to_send(now=time.monotonic()):
            with contextlib.suppress(ConnectionRefusedError):
                self._socket.send(data)
