# SPDX-License-Identifier: Apache-2.0
"""
``cilium.LogEntry`` by the protobuf runtime: what a packet has to be, from what a stream was.

It knows docs/cilium.md and nothing of the C code. The message's class comes from protoc.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cli.packets import DENIED, REQUEST, RESPONSE, log_entry

__all__ = ["DENIED", "REQUEST", "RESPONSE", "Header", "Life", "decoded", "expected", "pairs_of"]

PROTOCOLS = {"HTTP/1.0": 0, "HTTP/1.1": 1, "HTTP/2": 2, "HTTP/3": 2}
IN_FIELDS = (b":path", b":method", b":authority", b"x-forwarded-proto")
Header = tuple[bytes, bytes]


@dataclass(frozen=True, kw_only=True)
class Life:
    """What a stream was: header maps as Envoy has them, and Envoy's attributes."""

    request: list[Header] = field(default_factory=list)
    response: list[Header] = field(default_factory=list)
    protocol: str = "HTTP/1.1"
    source: str = "10.0.0.1:1234"
    destination: str = "10.0.0.7:80"
    missing: list[Header] = field(default_factory=list)
    rejected: list[Header] = field(default_factory=list)

    def first(self, *names: bytes) -> bytes:
        """Return the first value of the first of these request headers that is not empty."""
        for wanted in names:
            for name, value in self.request:
                if name == wanted:
                    if value:
                        return value
                    break
        return b""

    @property
    def status(self) -> int:
        """The response's status."""
        return next((int(value) for name, value in self.response if name == b":status"), 200)


def decoded(packet: bytes) -> Any:
    """Read a packet; it has to be as the runtime would have written it."""
    message = log_entry().FromString(packet)
    assert message.SerializeToString(deterministic=True) == packet
    return message


def expected(kind: int, life: Life, *, timestamp: int, **values: Any) -> Any:
    """Return the entry of that kind; *values* are the fields that the stream does not tell."""
    response = kind == RESPONSE
    headers = list(_response_headers(life) if response else _request_headers(life))
    http = {
        "http_protocol": PROTOCOLS[life.protocol],
        "scheme": _text(life.first(b"x-forwarded-proto", b":scheme") or b"http"),
        "host": _text(life.first(b":authority")),
        "path": _text(life.first(b":path")),
        "method": _text(life.first(b":method")),
        "headers": _pairs(headers),
        "status": life.status if response else 0,
        "missing_headers": _pairs(dict.fromkeys(life.missing)),
        "rejected_headers": _pairs(dict.fromkeys(life.rejected)),
    }
    return log_entry()(
        timestamp=timestamp,
        entry_type=kind,
        source_address=life.source,
        destination_address=life.destination,
        http=http,
        **values,
    )


def pairs_of(message: Any, name: str = "headers") -> list[tuple[str, str]]:
    """Return an entry's headers, or ``missing_headers`` or ``rejected_headers``."""
    return [(pair.key, pair.value) for pair in getattr(message.http, name)]


def _request_headers(life: Life) -> Iterable[Header]:
    return ((name, value) for name, value in life.request if name not in IN_FIELDS)


def _response_headers(life: Life) -> Iterable[Header]:
    same = (b"x-request-id", _first_id(life))
    if same[1]:
        yield same
    for name, value in life.response:
        if name != b":status" and (not same[1] or (name, value) != same):
            yield name, value


def _first_id(life: Life) -> bytes:
    return next((value for name, value in life.request if name == b"x-request-id"), b"")


def _pairs(headers: Iterable[Header]) -> list[dict[str, str]]:
    return [{"key": _text(name), "value": _text(value)} for name, value in headers]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
