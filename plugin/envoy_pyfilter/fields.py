# SPDX-License-Identifier: Apache-2.0
"""The fields of an entry, in the order in which they are written, and Envoy's names for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_FIELDS: Final = (
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
    "denied",
    "failed_hook",
    "notes",
    "rejected",
    "missing",
    "invalid_utf8",
)
"""Every field of an entry; docs/entry.md says what each holds."""

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
    name for name in ENTRY_FIELDS if name not in _NO_SINGLE_VALUE | _OF_THE_ENTRY
)
"""The fields that ``%FIELD(name)%`` of a state format takes: one value of the stream."""

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
"""Envoy's access-log operators without an argument that state formats know, and their fields."""

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
