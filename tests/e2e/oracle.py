# SPDX-License-Identifier: Apache-2.0
"""Our entry beside the line that Envoy's own access log wrote for the same stream."""

from __future__ import annotations

from .bootstrap import Dict
from .messages import Response
from .site import as_dict

# Fields that mean the same in both; Envoy's JSON says null where ours says nothing.
REQUEST_FIELDS = (
    "request_id",
    "protocol",
    "method",
    "scheme",
    "authority",
    "path",
    "downstream_remote_address",
    "downstream_local_address",
)
RESPONSE_FIELDS = (
    *REQUEST_FIELDS,
    "response_code",
    "response_code_details",
    "response_flags",
    "route_name",
    "upstream_host",
    "upstream_cluster",
    "grpc_status",
    "bytes_received",
    "bytes_sent",
)
# Made by the HTTP/1.1 codec after all filters and access logs have seen the headers.
CODEC_HEADERS = {b"transfer-encoding", b"connection"}
CLOCKS_APART_NS = 100_000_000
# What a release's ABI cannot tell; docs/entry.md has the same table.
UNKNOWN = {
    "1.38.3": {"response_flags", "bytes_received", "bytes_sent"},
    "1.39.3": {"bytes_received"},
    "1.40.0": set[str](),
}


def check(entry: Dict, told: Dict, release: str) -> None:
    """Compare every common field of a response entry with Envoy's line."""
    expected = {field: told[field] for field in RESPONSE_FIELDS}
    expected |= dict.fromkeys(UNKNOWN[release])
    if expected["response_code_details"] == "":  # a reply in pieces has none
        expected["response_code_details"] = None
    if release == "1.38.3" and "response_code_details" not in entry:
        del expected["response_code_details"]  # it tells those of local replies only
    assert expected == {field: entry.get(field) for field in expected}
    start = int(told["start_time_unix_nano"])
    assert abs(start - entry["start_time_unix_nano"]) < CLOCKS_APART_NS
    lasted = entry["time_unix_nano"] - entry["start_time_unix_nano"]
    assert abs(lasted - told["duration_ms"] * 1_000_000) < CLOCKS_APART_NS
    assert abs(entry["duration_us"] - told["duration_ms"] * 1000) < CLOCKS_APART_NS / 1000


def check_request(entry: Dict, told: Dict) -> None:
    """Compare a request entry, which knows nothing of the response, with Envoy's line."""
    expected = {field: told[field] for field in REQUEST_FIELDS}
    assert expected == {field: entry.get(field) for field in REQUEST_FIELDS}
    start = int(told["start_time_unix_nano"])
    assert abs(start - entry["time_unix_nano"]) < CLOCKS_APART_NS


def wire_headers(got: Response) -> dict[str, str | list[str]]:
    """Give the headers that a client received, without those that only the codec made."""
    return as_dict([pair for pair in got.headers if pair[0] not in CODEC_HEADERS])
