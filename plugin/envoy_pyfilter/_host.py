# SPDX-License-Identifier: Apache-2.0
"""
What a stream needs from the proxy: one small protocol, two implementations.

``_callbacks.EnvoyHost`` asks Envoy; ``testing.FakeHost`` answers from memory. ``Stream`` and what
hangs on it know nothing but this file. Every method raises ``StreamGone`` after the stream's end
and ``WrongThread`` on a thread that is not the stream's worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ._reads import Given, HookReads

Pairs = Sequence[tuple[bytes, bytes]]


class HeaderMap(IntEnum):
    """Which of a stream's four header maps (``http_header_type`` of the ABI)."""

    REQUEST_HEADERS = 0
    REQUEST_TRAILERS = 1
    RESPONSE_HEADERS = 2
    RESPONSE_TRAILERS = 3


class BodyKind(IntEnum):
    """Which bytes of a body (``http_body_type`` of the ABI)."""

    RECEIVED_REQUEST = 0
    BUFFERED_REQUEST = 1
    RECEIVED_RESPONSE = 2
    BUFFERED_RESPONSE = 3


class MetadataSource(IntEnum):
    """Whose metadata (``metadata_source`` of the ABI)."""

    DYNAMIC = 0
    ROUTE = 1
    CLUSTER = 2
    HOST = 3
    HOST_LOCALITY = 4


REQUEST_BODY: Final = 4
RESPONSE_BODY: Final = 5
"""Parts of a stream that can be changed, beside its header maps (PART_* of services.h)."""


class NoteKind(IntEnum):
    """What is noted on a record (NOTE_* of services.h)."""

    NOTE = 0
    REJECT = 1
    MISSING = 2


class Scheduler(Protocol):
    """Wakes the stream on its worker; ``commit`` may be called from any thread."""

    def commit(self, event_id: int) -> None:
        """Ask Envoy to call the stream's ``scheduled`` hook with *event_id*."""

    def delete(self) -> None:
        """Give the handle back; no ``commit`` after that."""


MetadataValue = str | float | bool | list[str] | list[float] | list[bool]


class Host(Protocol):
    """One stream's proxy side."""

    given: Given
    """What came with the running hook; a call that may change any of it empties the list."""

    cached: bool
    """Whether a map of the stream was read as a whole, and is kept."""

    learning: HookReads | None
    """What the running hook reads, for the next streams; None where nothing is learned."""

    def headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """All pairs of a map, in order, read in bulk; empty when there is no such map."""

    def header_values(self, header_map: HeaderMap, name: bytes) -> list[bytes]:
        """All values of one name."""

    def set_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Replace all values of *name*; an empty *value* removes the header, as Envoy has it."""

    def add_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Append a value; false when there is no such map, or *value* is empty."""

    def remove_header(self, header_map: HeaderMap, name: bytes) -> bool:
        """Remove all values of *name*."""

    def body_size(self, kind: BodyKind) -> int:
        """Length in bytes."""

    def read_body(self, kind: BodyKind) -> bytes:
        """Copy the bytes."""

    def drain_body(self, kind: BodyKind, size: int) -> bool:
        """Remove *size* bytes from the front."""

    def append_body(self, kind: BodyKind, data: bytes) -> bool:
        """Add bytes at the end."""

    def received_is_buffered(self, *, request: bool) -> bool:
        """Whether the received bytes are the buffered ones (an earlier filter buffered them)."""

    def attribute_string(self, attribute: int) -> bytes | None:
        """Text attribute by the ABI's number."""

    def attribute_int(self, attribute: int) -> int | None:
        """Return a number attribute by the ABI's number."""

    def attribute_bool(self, attribute: int) -> bool | None:
        """Boolean attribute by the ABI's number."""

    def filter_state(self, key: bytes) -> bytes | None:
        """Bytes written under *key*, or None."""

    def set_filter_state(self, key: bytes, value: bytes) -> bool:
        """Write bytes under *key*; false when there are some, or Envoy refuses."""

    def metadata(self, source: MetadataSource, namespace: str, key: str) -> MetadataValue | None:
        """One value, or None."""

    def metadata_keys(self, source: MetadataSource, namespace: str) -> list[str]:
        """Keys of a namespace."""

    def metadata_namespaces(self, source: MetadataSource) -> list[str]:
        """Namespaces of a source."""

    def set_metadata(self, namespace: str, key: str, value: MetadataValue) -> bool:
        """Set dynamic metadata; a list is appended to what is there."""

    def reply(self, status: int, headers: Pairs, body: bytes, details: bytes) -> None:
        """Send a local reply (Envoy may destroy the stream before this returns)."""

    def reply_headers(self, headers: Pairs, *, end_of_stream: bool) -> None:
        """Start a reply in pieces; *headers* hold ``:status``."""

    def reply_data(self, data: bytes, *, end_of_stream: bool) -> None:
        """Go on with a reply in pieces."""

    def reply_trailers(self, trailers: Pairs) -> None:
        """End a reply in pieces."""

    def reset(self, reason: int, details: bytes) -> None:
        """Reset the stream: reason 0 local reset, 1 local refused stream."""

    def resume_request(self) -> None:
        """Let a paused request go on."""

    def resume_response(self) -> None:
        """Let a paused response go on."""

    def waiting_hooks(self, *, response: bool) -> AbstractContextManager[None]:
        """Enclose hooks that run because the filter resumes: perhaps in no hook of the stream."""

    def late_begins(self, hook: int) -> None:
        """Tell that one of these hooks, by its place in HOOKS, is about to run. Never raises."""

    def late_ends(self, hook: int, status: int) -> None:
        """Tell what it gave. Never raises."""

    def response_begun(self) -> bool:
        """Whether a response's headers went past this filter, so that none can begin any more."""

    def clear_route_cache(self) -> None:
        """Make Envoy choose the route again."""

    def clear_route_cluster_cache(self) -> None:
        """Make Envoy choose the route's cluster again."""

    def add_custom_flag(self, flag: bytes) -> None:
        """Add a custom response flag."""

    def buffer_limit(self) -> int:
        """Bytes that Envoy buffers for this stream at most."""

    def set_buffer_limit(self, limit: int) -> None:
        """Change that limit, in bytes."""

    def change_metric(self, kind: str, metric: int, labels: Sequence[bytes], value: int) -> int:
        """
        Change a metric by its number.

        *kind*: counter_add, gauge_add, gauge_sub, gauge_set or histogram_record. Returns the ABI's
        ``metrics_result``: 0 is success.
        """

    def worker_index(self) -> int:
        """Which worker runs the stream."""

    def route_config(self) -> object | None:
        """Return the most specific per-route config, decoded."""

    def scheduler(self) -> Scheduler:
        """Make a scheduler handle for this stream."""

    def note(self, kind: NoteKind, key: bytes, text: bytes, json: bytes) -> None:
        """Keep a note for the stream's record; *json* is the value as JSON text."""

    def hook_failed(self, hook: str, code: int) -> None:
        """
        Count a hook that raised (``on_request_headers`` …) and name it in the record.

        *code* is gRPC's, for the statistics.
        """

    def change_refused(self, part: int, *, too_large: bool = False) -> None:
        """
        Tell of a change that the proxy is not asked for: it could not be made.

        *part*: a ``HeaderMap``, or REQUEST_BODY or RESPONSE_BODY. Never raises.
        """

    def release(self) -> int:
        """Minor version of the host, 38 for Envoy 1.38. Never raises."""

    def on_worker(self) -> bool:
        """Whether the caller is on the stream's worker. Never raises."""
