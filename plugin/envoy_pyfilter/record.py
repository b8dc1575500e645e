# SPDX-License-Identifier: Apache-2.0
"""An entry as a Python value: what Python sinks get."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

HeaderValues = dict[str, str | tuple[str, ...]]
"""Header names in lower case; a header that came more than once has a tuple of its values."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """
    One entry, frozen.

    Its fields are those of docs/entry.md. A field that the entry lacks is ``None``; headers,
    notes, ``rejected`` and ``missing`` are empty and the flags false instead.
    """

    kind: Literal["request", "denied", "response", "progress"] | None = None
    time_unix_nano: int | None = None
    start_time_unix_nano: int | None = None
    instance: str | None = None
    request_id: str | None = None
    protocol: str | None = None
    method: str | None = None
    scheme: str | None = None
    authority: str | None = None
    path: str | None = None
    response_code: int | None = None
    response_code_details: str | None = None
    response_flags: str | None = None
    route_name: str | None = None
    upstream_host: str | None = None
    upstream_cluster: str | None = None
    downstream_remote_address: str | None = None
    downstream_local_address: str | None = None
    request_headers: HeaderValues = {}
    request_trailers: HeaderValues = {}
    response_headers: HeaderValues = {}
    response_trailers: HeaderValues = {}
    grpc_status: int | None = None
    bytes_received: int | None = None
    bytes_sent: int | None = None
    duration_us: int | None = None
    worker: int | None = None
    denied: bool = False
    failed_hook: str | None = None
    notes: dict[str, Any] = {}
    rejected: tuple[tuple[str, Any], ...] = ()
    missing: tuple[tuple[str, Any], ...] = ()
    access_log_type: str | None = None
    connection_id: int | None = None
    downstream_direct_remote_address: str | None = None
    downstream_direct_local_address: str | None = None
    connection_termination_details: str | None = None
    virtual_cluster_name: str | None = None
    health_check: bool = False
    trace_sampled: bool = False
    request_headers_bytes: int | None = None
    response_headers_bytes: int | None = None
    response_trailers_bytes: int | None = None
    time_to_first_upstream_tx_byte_us: int | None = None
    time_to_last_upstream_tx_byte_us: int | None = None
    time_to_first_upstream_rx_byte_us: int | None = None
    time_to_last_upstream_rx_byte_us: int | None = None
    time_to_first_downstream_tx_byte_us: int | None = None
    time_to_last_downstream_tx_byte_us: int | None = None
    requested_server_name: str | None = None
    tls_ja3_fingerprint: str | None = None
    tls_ja4_fingerprint: str | None = None
    downstream_transport_failure_reason: str | None = None
    downstream_tls_version: str | None = None
    downstream_tls_cipher: str | None = None
    downstream_tls_session_id: str | None = None
    downstream_local_subject: str | None = None
    downstream_local_uri_san: tuple[str, ...] = ()
    downstream_local_dns_san: tuple[str, ...] = ()
    downstream_mtls: bool = False
    downstream_peer_cert_presented: bool = False
    downstream_peer_cert_validated: bool = False
    downstream_peer_subject: str | None = None
    downstream_peer_issuer: str | None = None
    downstream_peer_serial: str | None = None
    downstream_peer_fingerprint_256: str | None = None
    downstream_peer_fingerprint_1: str | None = None
    downstream_peer_uri_san: tuple[str, ...] = ()
    downstream_peer_dns_san: tuple[str, ...] = ()
    downstream_peer_cert_v_start: int | None = None
    downstream_peer_cert_v_end: int | None = None
    upstream_request_attempt_count: int | None = None
    upstream_connection_id: int | None = None
    upstream_protocol: str | None = None
    upstream_remote_address: str | None = None
    upstream_local_address: str | None = None
    upstream_wire_bytes_received: int | None = None
    upstream_wire_bytes_sent: int | None = None
    upstream_connection_pool_ready_duration_us: int | None = None
    upstream_transport_failure_reason: str | None = None
    upstream_tls_version: str | None = None
    upstream_tls_cipher: str | None = None
    upstream_tls_session_id: str | None = None
    upstream_local_subject: str | None = None
    upstream_local_uri_san: tuple[str, ...] = ()
    upstream_local_dns_san: tuple[str, ...] = ()
    upstream_peer_subject: str | None = None
    upstream_peer_issuer: str | None = None
    upstream_peer_fingerprint_256: str | None = None
    upstream_peer_uri_san: tuple[str, ...] = ()
    upstream_peer_dns_san: tuple[str, ...] = ()
    upstream_peer_cert_v_start: int | None = None
    upstream_peer_cert_v_end: int | None = None
    invalid_utf8: bool = False
