# SPDX-License-Identifier: Apache-2.0
"""Envoy's attributes, by the dotted names that its documentation gives them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._host import Host

Kind: TypeAlias = Literal["text", "int", "bool", "unserved"]


class Attribute(NamedTuple):
    """
    An attribute's number in the ABI (``attribute_id``) and the type of its value.

    ``unserved``: no release up to 1.40 serves it; asking would only write errors into the log.
    """

    number: int
    kind: Kind


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    "request.path": Attribute(0, "text"),
    "request.url_path": Attribute(1, "text"),
    "request.host": Attribute(2, "text"),
    "request.scheme": Attribute(3, "text"),
    "request.method": Attribute(4, "text"),
    "request.headers": Attribute(5, "unserved"),
    "request.referer": Attribute(6, "text"),
    "request.useragent": Attribute(7, "text"),
    "request.time": Attribute(8, "unserved"),
    "request.id": Attribute(9, "text"),
    "request.protocol": Attribute(10, "text"),
    "request.query": Attribute(11, "text"),
    "request.duration": Attribute(12, "int"),
    "request.size": Attribute(13, "int"),
    "request.total_size": Attribute(14, "int"),
    "response.code": Attribute(15, "int"),
    "response.code_details": Attribute(16, "text"),
    "response.flags": Attribute(17, "int"),
    "response.grpc_status": Attribute(18, "int"),
    "response.headers": Attribute(19, "unserved"),
    "response.trailers": Attribute(20, "unserved"),
    "response.size": Attribute(21, "int"),
    "response.total_size": Attribute(22, "int"),
    "response.backend_latency": Attribute(23, "int"),
    "source.address": Attribute(24, "text"),
    "source.port": Attribute(25, "int"),
    "destination.address": Attribute(26, "text"),
    "destination.port": Attribute(27, "int"),
    "connection.id": Attribute(28, "int"),
    "connection.mtls": Attribute(29, "bool"),
    "connection.requested_server_name": Attribute(30, "text"),
    "connection.tls_version": Attribute(31, "text"),
    "connection.subject_local_certificate": Attribute(32, "text"),
    "connection.subject_peer_certificate": Attribute(33, "text"),
    "connection.dns_san_local_certificate": Attribute(34, "text"),
    "connection.dns_san_peer_certificate": Attribute(35, "text"),
    "connection.uri_san_local_certificate": Attribute(36, "text"),
    "connection.uri_san_peer_certificate": Attribute(37, "text"),
    "connection.sha256_peer_certificate_digest": Attribute(38, "text"),
    "connection.transport_failure_reason": Attribute(39, "text"),
    "connection.termination_details": Attribute(40, "text"),
    "upstream.address": Attribute(41, "text"),
    "upstream.port": Attribute(42, "int"),
    "upstream.tls_version": Attribute(43, "text"),
    "upstream.subject_local_certificate": Attribute(44, "text"),
    "upstream.subject_peer_certificate": Attribute(45, "text"),
    "upstream.dns_san_local_certificate": Attribute(46, "text"),
    "upstream.dns_san_peer_certificate": Attribute(47, "text"),
    "upstream.uri_san_local_certificate": Attribute(48, "text"),
    "upstream.uri_san_peer_certificate": Attribute(49, "text"),
    "upstream.sha256_peer_certificate_digest": Attribute(50, "text"),
    "upstream.local_address": Attribute(51, "text"),
    "upstream.transport_failure_reason": Attribute(52, "text"),
    "upstream.request_attempt_count": Attribute(53, "int"),
    "upstream.cx_pool_ready_duration": Attribute(54, "int"),
    "upstream.locality": Attribute(55, "unserved"),
    "xds.node": Attribute(56, "unserved"),
    "xds.cluster_name": Attribute(57, "text"),
    "xds.cluster_metadata": Attribute(58, "unserved"),
    "xds.listener_direction": Attribute(59, "int"),
    "xds.listener_metadata": Attribute(60, "unserved"),
    "xds.route_name": Attribute(61, "text"),
    "xds.route_metadata": Attribute(62, "unserved"),
    "xds.virtual_host_name": Attribute(63, "text"),
    "xds.virtual_host_metadata": Attribute(64, "unserved"),
    "xds.upstream_host_metadata": Attribute(65, "unserved"),
    "xds.filter_chain_name": Attribute(66, "text"),
    "health_check": Attribute(67, "bool"),
}


def find(name: str) -> Attribute:
    """Find the attribute called *name*; ``KeyError`` naming the nearest when there is none."""
    found = ATTRIBUTES.get(name)
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
    number, kind = find(name)
    if kind == "text":
        text = host.attribute_string(number)
        return None if text is None else text.decode("latin-1")
    if kind == "int":
        return host.attribute_int(number)
    return host.attribute_bool(number) if kind == "bool" else None
