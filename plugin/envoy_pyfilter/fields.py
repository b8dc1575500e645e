# SPDX-License-Identifier: Apache-2.0
"""The fields of an entry, in the order in which they are written, and Envoy's names for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOTH: Final = (
    "kind",
    "time_unix_nano",
    "start_time_unix_nano",
    "instance",
    "request_id",
    "protocol",
    "method",
    "scheme",
    "authority",
    "path",
    "response_code",
    "response_code_details",
    "response_flags",
    "route_name",
    "upstream_host",
    "upstream_cluster",
    "downstream_remote_address",
    "downstream_local_address",
    "request_headers",
    "request_trailers",
    "response_headers",
    "response_trailers",
    "grpc_status",
    "bytes_received",
    "bytes_sent",
    "duration_us",
    "worker",
)
ONLY_FILTER: Final = ("denied", "failed_hook", "notes", "rejected", "missing")
"""What only a filter can tell: it has hooks."""

ONLY_LOGGER: Final = (
    "access_log_type",
    "connection_id",
    "downstream_direct_remote_address",
    "downstream_direct_local_address",
    "connection_termination_details",
    "virtual_cluster_name",
    "health_check",
    "trace_sampled",
    "request_headers_bytes",
    "response_headers_bytes",
    "response_trailers_bytes",
    "time_to_first_upstream_tx_byte_us",
    "time_to_last_upstream_tx_byte_us",
    "time_to_first_upstream_rx_byte_us",
    "time_to_last_upstream_rx_byte_us",
    "time_to_first_downstream_tx_byte_us",
    "time_to_last_downstream_tx_byte_us",
    "requested_server_name",
    "tls_ja3_fingerprint",
    "tls_ja4_fingerprint",
    "downstream_transport_failure_reason",
    "downstream_tls_version",
    "downstream_tls_cipher",
    "downstream_tls_session_id",
    "downstream_local_subject",
    "downstream_local_uri_san",
    "downstream_local_dns_san",
    "downstream_mtls",
    "downstream_peer_cert_presented",
    "downstream_peer_cert_validated",
    "downstream_peer_subject",
    "downstream_peer_issuer",
    "downstream_peer_serial",
    "downstream_peer_fingerprint_256",
    "downstream_peer_fingerprint_1",
    "downstream_peer_uri_san",
    "downstream_peer_dns_san",
    "downstream_peer_cert_v_start",
    "downstream_peer_cert_v_end",
    "upstream_request_attempt_count",
    "upstream_connection_id",
    "upstream_protocol",
    "upstream_remote_address",
    "upstream_local_address",
    "upstream_wire_bytes_received",
    "upstream_wire_bytes_sent",
    "upstream_connection_pool_ready_duration_us",
    "upstream_transport_failure_reason",
    "upstream_tls_version",
    "upstream_tls_cipher",
    "upstream_tls_session_id",
    "upstream_local_subject",
    "upstream_local_uri_san",
    "upstream_local_dns_san",
    "upstream_peer_subject",
    "upstream_peer_issuer",
    "upstream_peer_fingerprint_256",
    "upstream_peer_uri_san",
    "upstream_peer_dns_san",
    "upstream_peer_cert_v_start",
    "upstream_peer_cert_v_end",
)
"""What only an access logger can tell."""

_LAST: Final = ("invalid_utf8",)

ENTRY_FIELDS: Final = (*_BOTH, *ONLY_FILTER, *ONLY_LOGGER, *_LAST)
"""Every field of an entry; docs/entry.md says what each holds."""

FILTER_FIELDS: Final = (*_BOTH, *ONLY_FILTER, *_LAST)
LOGGER_FIELDS: Final = (*_BOTH, *ONLY_LOGGER, *_LAST)

_NO_SINGLE_VALUE: Final = {
    "request_headers",
    "request_trailers",
    "response_headers",
    "response_trailers",
    "notes",
    "rejected",
    "missing",
}
_OF_THE_ENTRY: Final = {"kind", "invalid_utf8"}  # of an entry, not of the stream

STATE_FIELDS: Final = tuple(
    name for name in FILTER_FIELDS if name not in _NO_SINGLE_VALUE | _OF_THE_ENTRY
)
"""The fields that ``%FIELD(name)%`` of a format takes: one value of the stream."""

OPERATORS: Final[Mapping[str, str]] = {
    "BYTES_RECEIVED": "bytes_received",
    "BYTES_SENT": "bytes_sent",
    "DOWNSTREAM_LOCAL_ADDRESS": "downstream_local_address",
    "DOWNSTREAM_REMOTE_ADDRESS": "downstream_remote_address",
    "DURATION": "duration_ms",  # only formats have it; C divides duration_us
    "GRPC_STATUS_NUMBER": "grpc_status",
    "PROTOCOL": "protocol",
    "RESPONSE_CODE": "response_code",
    "RESPONSE_CODE_DETAILS": "response_code_details",
    "RESPONSE_FLAGS": "response_flags",
    "ROUTE_NAME": "route_name",
    "UPSTREAM_CLUSTER": "upstream_cluster",
    "UPSTREAM_CLUSTER_RAW": "upstream_cluster",
    "UPSTREAM_HOST": "upstream_host",
}
"""Envoy's access-log operators without an argument that formats know, and their fields."""

ATTRIBUTES: Final[Mapping[str, str]] = {
    "destination.address": "downstream_local_address",
    "request.duration": "duration_us",
    "request.headers": "request_headers",
    "request.host": "authority",
    "request.id": "request_id",
    "request.method": "method",
    "request.path": "path",
    "request.protocol": "protocol",
    "request.scheme": "scheme",
    "request.time": "start_time_unix_nano",
    "response.code": "response_code",
    "response.code_details": "response_code_details",
    "response.flags": "response_flags",
    "response.grpc_status": "grpc_status",
    "response.headers": "response_headers",
    "response.trailers": "response_trailers",
    "source.address": "downstream_remote_address",
    "upstream.address": "upstream_host",
    "xds.cluster_name": "upstream_cluster",
    "xds.route_name": "route_name",
}
"""Envoy's attributes and the fields that hold the same: for those who write one for the other."""
