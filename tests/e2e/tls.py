# SPDX-License-Identifier: Apache-2.0
"""TLS with certificates of both sides: for a client, for Envoy's listener, and an upstream."""

from __future__ import annotations

import datetime as dt
import http.server
import socket
import ssl
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import bootstrap as b
from .http3 import Certificate

NAME = "tls.test"


@dataclass(frozen=True, kw_only=True)
class Party:
    """A certificate that its own issuer signed, as files and as itself."""

    files: Certificate
    certificate: x509.Certificate

    def context(self, other: Party, *, server: bool) -> ssl.SSLContext:
        """Give the context of one side, which trusts *other* alone."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.load_cert_chain(self.files.chain, self.files.key)
        made.load_verify_locations(other.files.chain)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    def common(self, other: Party) -> b.Dict:
        """Give Envoy's half of it."""
        return {
            "tls_certificates": [
                {
                    "certificate_chain": {"filename": str(self.files.chain)},
                    "private_key": {"filename": str(self.files.key)},
                }
            ],
            "validation_context": {"trusted_ca": {"filename": str(other.files.chain)}},
        }


def party(folder: Path, name: str, *, issuer: str) -> Party:
    """Make the certificate of *name*, with names of both kinds beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.DNSName(f"{name}.test"),
        x509.DNSName(f"{name}.other.test"),
        x509.UniformResourceIdentifier(f"spiffe://test/{name}"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    files.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Party(files=files, certificate=certificate)


def listening(envoy: Party, client: Party) -> b.Dict:
    """Give the transport socket of a listener that wants the client's certificate."""
    return b.typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=envoy.common(client),
        require_client_certificate=True,
    )


def connecting(envoy: Party, upstream: Party) -> b.Dict:
    """Give the transport socket of a cluster."""
    return b.typed(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context=envoy.common(upstream),
        sni=NAME,
    )


def inspector() -> b.Dict:
    """Give the listener filter that reads the client's first message."""
    return b.typed(
        "envoy.filters.listener.tls_inspector",
        "extensions.filters.listener.tls_inspector.v3.TlsInspector",
        enable_ja3_fingerprinting=True,
        enable_ja4_fingerprinting=True,
    )


def hello(port: int, context: ssl.SSLContext) -> bytes:
    """Make one exchange of HTTP/1.1 over TLS, and give the end of the connection's bytes."""
    head = b"POST /x HTTP/1.1\r\nhost: tls.test\r\nconnection: close\r\ncontent-length: 3\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        connection.sendall(head + b"abc")
        return b"".join(iter(lambda: connection.recv(65536), b""))


class _Hello(http.server.BaseHTTPRequestHandler):
    """Answers hello."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read all, and answer."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class TlsUpstream:
    """A server of HTTP/1.1 over TLS that wants Envoy's certificate."""

    def __init__(self, itself: Party, envoy: Party) -> None:
        """Listen on a free port of loopback."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
        context = itself.context(envoy, server=True)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        """Close."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
