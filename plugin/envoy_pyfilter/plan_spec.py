# SPDX-License-Identifier: Apache-2.0
"""What the record lane does for each stream, as plain data: made from a config, handed to C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sinks import Sink

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
    A piece of a state format.

    *text* is the literal itself, a lower-case header name, a field's name or a note's key. *map*
    is the header map (``http_header_type`` of the ABI). *max_length* is in bytes; 0: no limit.
    """

    op: Literal["literal", "header", "field", "note"]
    text: bytes
    map: int = REQUEST_HEADERS
    max_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """A filter-state key and what is written under it."""

    key: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSpec:
    """
    Where entries go.

    *path* is the file's, or empty. *target* makes a Python sink's object (``ConfigError`` when its
    constructor raises); it is None for files, and while a config is only validated. *name* tells
    the sink from others in logs and thread names.
    """

    type: Literal["file", "python"]
    path: str
    ring_bytes: int
    format: str = "json"
    target: Callable[[], Sink] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpec:
    """The whole plan. *fields* are in the entry's order."""

    instance: str
    log_request: bool
    at_end_of_stream: bool
    fields: tuple[str, ...]
    request_headers: HeaderRules
    response_headers: HeaderRules
    trailers: bool
    state: tuple[StateSpec, ...]
    sinks: tuple[SinkSpec, ...]
