# SPDX-License-Identifier: Apache-2.0
"""Envoy's attributes, by the dotted names that its documentation gives them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from ._reads import is_absent
from ._text import checked_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._host import Host

Kind: TypeAlias = Literal["text", "int", "bool", "none"]

NEVER: Final = 1 << 16  # no release so far


class Attribute(NamedTuple):
    """
    An attribute's number in the ABI (``attribute_id``), and the type of its value.

    *since* is the first release whose Envoy serves it: 38 for 1.38. Older ones are not asked: 1.38
    would write an error into its log each time.
    """

    number: int
    kind: Kind
    since: int


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    "request.path": Attribute(0, "text", 38),
    "request.url_path": Attribute(1, "text", 38),
    "request.host": Attribute(2, "text", 38),
    "request.scheme": Attribute(3, "text", 38),
    "request.method": Attribute(4, "text", 38),
    "request.headers": Attribute(5, "none", NEVER),
    "request.referer": Attribute(6, "text", 38),
    "request.useragent": Attribute(7, "text", 38),
    "request.time": Attribute(8, "none", NEVER),
    "request.id": Attribute(9, "text", 38),
    "request.protocol": Attribute(10, "text", 38),
    "request.query": Attribute(11, "text", 38),
    "request.duration": Attribute(12, "none", NEVER),
    "request.size": Attribute(13, "int", 40),
    "request.total_size": Attribute(14, "int", 40),
    "response.code": Attribute(15, "int", 38),
    "response.code_details": Attribute(16, "text", 39),
    "response.flags": Attribute(17, "int", 39),
    "response.grpc_status": Attribute(18, "int", 40),
    "response.headers": Attribute(19, "none", NEVER),
    "response.trailers": Attribute(20, "none", NEVER),
    "response.size": Attribute(21, "int", 39),
    "response.total_size": Attribute(22, "int", 40),
    "response.backend_latency": Attribute(23, "none", NEVER),
    "source.address": Attribute(24, "text", 38),
    "source.port": Attribute(25, "int", 38),
    "destination.address": Attribute(26, "text", 38),
    "destination.port": Attribute(27, "int", 38),
    "connection.id": Attribute(28, "int", 38),
    "connection.mtls": Attribute(29, "bool", 38),
    "connection.requested_server_name": Attribute(30, "text", 39),
    "connection.tls_version": Attribute(31, "text", 38),
    "connection.subject_local_certificate": Attribute(32, "text", 38),
    "connection.subject_peer_certificate": Attribute(33, "text", 38),
    "connection.dns_san_local_certificate": Attribute(34, "text", 38),
    "connection.dns_san_peer_certificate": Attribute(35, "text", 38),
    "connection.uri_san_local_certificate": Attribute(36, "text", 38),
    "connection.uri_san_peer_certificate": Attribute(37, "text", 38),
    "connection.sha256_peer_certificate_digest": Attribute(38, "text", 38),
    "connection.transport_failure_reason": Attribute(39, "text", 39),
    "connection.termination_details": Attribute(40, "text", 39),
    "upstream.address": Attribute(41, "text", 38),
    "upstream.port": Attribute(42, "int", 38),
    "upstream.tls_version": Attribute(43, "text", 39),
    "upstream.subject_local_certificate": Attribute(44, "text", 39),
    "upstream.subject_peer_certificate": Attribute(45, "text", 39),
    "upstream.dns_san_local_certificate": Attribute(46, "text", 39),
    "upstream.dns_san_peer_certificate": Attribute(47, "text", 39),
    "upstream.uri_san_local_certificate": Attribute(48, "text", 39),
    "upstream.uri_san_peer_certificate": Attribute(49, "text", 39),
    "upstream.sha256_peer_certificate_digest": Attribute(50, "text", 39),
    "upstream.local_address": Attribute(51, "text", 39),
    "upstream.transport_failure_reason": Attribute(52, "text", 39),
    "upstream.request_attempt_count": Attribute(53, "int", 39),
    "upstream.cx_pool_ready_duration": Attribute(54, "none", NEVER),
    "upstream.locality": Attribute(55, "none", NEVER),
    "xds.node": Attribute(56, "none", NEVER),
    "xds.cluster_name": Attribute(57, "text", 40),
    "xds.cluster_metadata": Attribute(58, "none", NEVER),
    "xds.listener_direction": Attribute(59, "int", 40),
    "xds.listener_metadata": Attribute(60, "none", NEVER),
    "xds.route_name": Attribute(61, "text", 38),
    "xds.route_metadata": Attribute(62, "none", NEVER),
    "xds.virtual_host_name": Attribute(63, "text", 40),
    "xds.virtual_host_metadata": Attribute(64, "none", NEVER),
    "xds.upstream_host_metadata": Attribute(65, "none", NEVER),
    "xds.filter_chain_name": Attribute(66, "text", 40),
    "health_check": Attribute(67, "bool", 39),
}


def find(name: str) -> Attribute:
    """Find the attribute called *name*; ``KeyError`` naming the nearest when there is none."""
    found = ATTRIBUTES.get(checked_text(name, "name of an attribute"))
    if found is None:
        near = difflib.get_close_matches(name, ATTRIBUTES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise KeyError(f"unknown attribute {name}{hint}")
    return found


def read(host: Host, name: str) -> str | int | bool | None:
    """
    Read the attribute *name* of a stream; ``None`` when Envoy has no value.

    Text is decoded as Latin-1. ABI: ``http_filter_get_attribute_string``, ``_int``, ``_bool``.
    """
    reads = host.learning
    if reads is not None and host.on_worker():
        try:
            return _decoded(host.given[reads.attributes[name]], ATTRIBUTES[name].kind)
        except (LookupError, TypeError):
            pass
    number, kind, since = find(name)
    if reads is not None and host.on_worker() and is_absent(host.given, reads.attributes.get(name)):
        return None
    if host.release() < since or kind == "none":
        return None
    value = _asked(host, number, kind)
    if reads is not None:
        reads.learn_attribute(name, _SOURCES[kind], number)
    return value


_SOURCES: Final[Mapping[Kind, int]] = {"text": 4, "int": 5, "bool": 6}  # READ_* of services.h


def _decoded(text: bytes, kind: Kind) -> str | int | bool:
    """Decode a value that came with the hook, as C wrote it."""
    if kind == "text":
        return text.decode("latin-1")
    return int(text) if kind == "int" else text == b"1"


def _asked(host: Host, number: int, kind: Kind) -> str | int | bool | None:
    if kind == "text":
        text = host.attribute_string(number)
        return None if text is None else text.decode("latin-1")
    return host.attribute_int(number) if kind == "int" else host.attribute_bool(number)
