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
    start, end = _span(told)
    assert start <= entry["start_time_unix_nano"] <= entry["time_unix_nano"] <= end
    assert 0 <= entry["duration_us"] * 1000 <= end - start


def check_request(entry: Dict, told: Dict) -> None:
    """Compare a request entry, which knows nothing of the response, with Envoy's line."""
    expected = {field: told[field] for field in REQUEST_FIELDS}
    assert expected == {field: entry.get(field) for field in REQUEST_FIELDS}
    start, end = _span(told)
    assert start <= entry["time_unix_nano"] <= end


def _span(told: Dict) -> tuple[int, int]:
    """
    When Envoy made the stream, and when it wrote the line: our times lie between them.

    Both are readings of the clock that we read, too, so however slow the machine is, their order is
    that of the events. Envoy may have cut the second to microseconds.
    """
    return int(told["start_time_unix_nano"]), int(told["emit_time_unix_nano"]) + 999


def wire_headers(got: Response) -> dict[str, str | list[str]]:
    """Give the headers that a client received, without those that only the codec made."""
    return as_dict([pair for pair in got.headers if pair[0] not in CODEC_HEADERS])


def check_logged(entry: Dict, told: Dict) -> None:
    """Compare all common fields of an access logger's entry with Envoy's line of the same log."""
    expected = {field: told[field] for field in RESPONSE_FIELDS}
    if expected["response_code_details"] == "":  # a reply in pieces has none
        expected["response_code_details"] = None
    assert expected == {field: entry.get(field) for field in expected}
    start, end = _span(told)
    assert start // 1000 == entry["start_time_unix_nano"] // 1000
    assert start <= entry["time_unix_nano"] <= end
    assert 0 <= entry["duration_us"] * 1000 <= end - start
