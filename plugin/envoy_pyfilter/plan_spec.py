# SPDX-License-Identifier: Apache-2.0
"""What the record lane does for each stream, as plain data: made from a config, handed to C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sinks import Sink

LONGEST_SOCKET: Final = 107
"""Bytes of a UNIX socket's path: ``sun_path`` without the zero byte that ends it."""

REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """Which headers of one side are logged: lower-case names and fnmatch(3) globs."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    redact: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A piece of a format.

    *text* is the literal itself, a lower-case header name, a field's name, the key of a note or of
    filter state, or ``namespace:key`` of metadata. *map* is the header map (``http_header_type`` of
    the ABI). *max_length* is in bytes; 0: no limit.
    """

    op: Literal["literal", "header", "field", "note", "filter_state", "metadata"]
    text: bytes
    map: int = REQUEST_HEADERS
    max_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """A filter-state key and what is written under it."""

    key: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """A number of each stream, 1 if *value* is empty, and what each label of its metric is."""

    value: tuple[Part, ...]
    labels: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric, what goes into it, and how many values and combinations its labels may have."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    max_label_values: int
    max_series: int
    measures: tuple[MeasureSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CiliumSpec:
    """
    What a Cilium sink sends, and how much may wait.

    The six formats make up what the stream does not tell; one without commands is a constant.
    """

    max_packet: int
    queue_entries: int
    queue_bytes: int
    drop_oldest: bool
    policy_name: tuple[Part, ...]
    cilium_rule_ref: tuple[Part, ...]
    proxy_id: tuple[Part, ...]
    is_ingress: tuple[Part, ...]
    source_security_id: tuple[Part, ...]
    destination_security_id: tuple[Part, ...]


CILIUM_FORMATS: Final = (
    "policy_name",
    "cilium_rule_ref",
    "proxy_id",
    "is_ingress",
    "source_security_id",
    "destination_security_id",
)
"""The formats of a ``CiliumSpec``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSpec:
    """
    Where entries go.

    *path* is the file's or the socket's, or empty. *target* makes a Python sink's object
    (``ConfigError`` when its constructor raises); it is None for other sinks, and while a config is
    only validated. *name* tells the sink from others in logs and thread names. *cilium* is there
    for that type alone; the others get lines of JSON.
    """

    type: Literal["file", "python", "cilium"]
    path: str
    ring_bytes: int
    target: Callable[[], Sink] | None = None
    name: str = ""
    cilium: CiliumSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpec:
    """The whole plan. *fields* are in the entry's order; *of_logger*: an access logger's."""

    instance: str
    log_request: bool
    at_end_of_stream: bool
    aborted: bool
    redirected: bool
    tunnel_at_handshake: bool
    compat_cilium: bool
    fields: tuple[str, ...]
    request_headers: HeaderRules
    response_headers: HeaderRules
    trailers: bool
    state: tuple[StateSpec, ...]
    state_metadata: bool
    sinks: tuple[SinkSpec, ...]
    metrics: tuple[MetricSpec, ...] = ()
    of_logger: bool = False
