# SPDX-License-Identifier: Apache-2.0
"""What a row of the table of endings says, and what rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from . import bootstrap as b
from .endings_steps import Step

PROTOCOLS = ("HTTP/1.1", "HTTP/2", "HTTP/3")
BOTH = ("request", "response")
REQUEST = ("request",)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One row: what stands around our filter, what a client does, and what has to come of it."""

    number: int  # of the ending in docs/endings.md
    does: str
    client: Step
    # What has to come of it.
    entries: Sequence[str] = BOTH  # kinds, in order
    cilium: Sequence[str] | None = None  # with compat: cilium, where that makes a difference
    status: int = 200  # of the response's entry, and what the client got
    wire: Mapping[str, int] = field(default_factory=dict)  # what it got, where that is another one
    differs: Mapping[str, Any] = field(default_factory=dict)  # where Envoy's line says otherwise
    cuts: AbstractSet[str] = frozenset()  # headers that only the wire, or only the entry has
    legs: Sequence[int] = ()  # statuses of the streams that Envoy makes of the client's one
    tunnel: bool = False  # with compat: cilium its response's entry comes at the handshake
    late: bool = False  # Envoy makes our filter when the stream is nearly over
    logged: AbstractSet[str] = frozenset()  # what an access logger's entry has otherwise
    own_envoy: Mapping[str, bool] | None = None  # for this row alone; see test_endings.py
    cannot: Mapping[str, str] = field(default_factory=dict)  # protocols, and why they cannot
    # What stands around it.
    hooks: Mapping[str, str] = field(default_factory=dict)  # of our filter, in Python
    before: Sequence[b.Dict] = ()
    after: Sequence[b.Dict] = ()
    routes: Sequence[b.Dict] = ()
    listener: Mapping[str, Any] = field(default_factory=dict)  # keywords of bootstrap.listener


def upstream(**fields: Any) -> list[b.Dict]:
    """Give the one route, to the upstream."""
    return [b.route(route={"cluster": "upstream", **fields})]


def http(**fields: Any) -> dict[str, Any]:
    """Give settings of the connection manager."""
    return {"http": fields}


HEADERS = [(b"x-up", b"original"), (b"x-many", b"1"), (b"x-many", b"2")]
NO_WIRE = dict.fromkeys(PROTOCOLS, 0)
# A buffer has at least the size of a stream's window, whose own smallest size is this.
_WINDOW = {"initial_stream_window_size": 65535}
SMALL = {
    "top": {"per_connection_buffer_limit_bytes": 8192},
    "http": {"http2_protocol_options": _WINDOW},
}
RETRY = {"num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
HOLDS = """
import logging
if 'x-hold' in stream.request_headers:
    logging.getLogger('row').warning('the stream is held')
    return PAUSE
"""
BUFFERING_LUA = b.lua(
    """
    function envoy_on_response(handle)
      local size = handle:body(true):length()
      handle:headers():replace("x-late", "after " .. size .. " bytes")
    end
    """
)
WEBSOCKETS = {
    "upgrade_configs": [{"upgrade_type": "websocket"}],
    "http2_protocol_options": {"allow_connect": True},
    "http3_protocol_options": {"allow_extended_connect": True},
}
