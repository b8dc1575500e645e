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

    kind: Literal["request", "denied", "response"] | None = None
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
    invalid_utf8: bool = False
