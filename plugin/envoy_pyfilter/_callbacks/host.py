# SPDX-License-Identifier: Apache-2.0
"""
The proxy's side of one stream.

``EnvoyHost`` is the ``Host`` of one stream. Every method takes plain bytes and numbers, and gives
plain bytes and numbers back: what Envoy lends is copied, and no cdata leaves this package.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeAlias, cast

from envoy_pyfilter._abi import ffi, lib
from envoy_pyfilter._callbacks import metadata
from envoy_pyfilter._callbacks.buffers import (
    ENVOY_BUFFER,
    ENVOY_BUFFERS,
    ENVOY_HEADERS,
    buffer_result,
    copied,
    lent,
    lent_list,
    lent_pairs,
)
from envoy_pyfilter.errors import StreamGone, WrongThread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter._host import (
        BodyKind,
        HeaderMap,
        MetadataSource,
        MetadataValue,
        NoteKind,
        Pairs,
        Scheduler,
    )
    from envoy_pyfilter._reads import Given, HookReads

Area: TypeAlias = bytes
"""Memory of C's, a ``ffi.buffer``: a slice of it is a copy, as of ``bytes``, and one call."""

_RELEASE = int(lib.pyfilter_host_release())
_BODY_RUN = lib.pyfilter_body_run
_STATE_SET = lib.pyfilter_state_set  # to look it up costs as much as ten bytecodes

# C keeps the name of a failed hook as an address, so these live as long as the process.
_HOOK_NAMES: dict[str, CData] = {}


class EnvoyScheduler:
    """A ``Scheduler``. Its mailbox orders ``commit`` and ``delete``; Envoy drops a late commit."""

    __slots__ = ("_handle",)

    def __init__(self, envoy: CData) -> None:
        self._handle = lib.envoy_dynamic_module_callback_http_filter_scheduler_new(envoy)

    def commit(self, event_id: int) -> None:
        """Wake the stream."""
        lib.envoy_dynamic_module_callback_http_filter_scheduler_commit(self._handle, event_id)

    def delete(self) -> None:
        """Give the handle back."""
        lib.envoy_dynamic_module_callback_http_filter_scheduler_delete(self._handle)


def area_of(seat: CData) -> Area:
    """Give the memory in which C leaves what comes with a crossing of the seat's stream."""
    return cast("Area", ffi.buffer(lib.pyfilter_seat_area(seat), lib.SEAT_AREA))


class EnvoyHost:
    """
    The proxy's side of one stream, valid on its worker until Envoy destroys it.

    C knows whether the stream with this *serial* number still sits in the *seat*, and clears the
    seat the moment that Envoy's side is gone, so no failure on Python's side can keep a dead
    address in use.
    """

    __slots__ = ("_area", "_seat", "_worker", "cached", "given", "learning", "serial")

    def __init__(self, seat: CData, area: Area) -> None:
        """Made on the worker whose seat it is."""
        self._seat = seat
        self._area = area
        self._worker = threading.get_ident()
        self.serial = 0
        self.cached = False
        self.given: Given = []
        self.learning: HookReads | None = None

    def on_worker(self) -> bool:
        """Whether the caller is on the stream's worker."""
        return threading.get_ident() == self._worker

    def release(self) -> int:
        """Minor version of the host."""
        return _RELEASE

    def _live(self) -> CData:
        envoy = lib.pyfilter_seat_envoy(self._seat, self.serial)
        if not envoy:
            self._refuse()
        return cast("CData", envoy)

    def _refuse(self) -> NoReturn:
        if lib.pyfilter_seat_gone(self._seat, self.serial):
            raise StreamGone("the stream has ended; keep what you need of it, not the stream")
        raise WrongThread("a stream is used on its own worker; see Stream.run_on_worker")

    def _changes(self) -> CData:
        """As ``_live``, for calls after which other values may hold than came with the hook."""
        envoy = self._live()
        self.given.clear()
        return envoy

    def _stream(self) -> CData:
        """C's stream, for calls that may change what came with the hook."""
        self._changes()
        return cast("CData", lib.pyfilter_seat_stream(self._seat))

    def headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """All pairs of a map, in one call."""
        size = lib.pyfilter_headers_run(self._seat, self.serial, header_map)
        if size > 0:
            parts = self._area[:size].split(b"\n")
            return list(zip(parts[::2], parts[1::2], strict=True))
        return [] if size == 0 else self._odd_headers(header_map)

    def _odd_headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """Give a map with more headers, or others, than C puts into a row."""
        envoy = self._live()
        size = lib.envoy_dynamic_module_callback_http_get_headers_size(envoy, header_map)
        if size == 0:
            return []
        found = ffi.new(ENVOY_HEADERS, size)
        if not lib.envoy_dynamic_module_callback_http_get_headers(envoy, header_map, found):
            return []
        return [
            (copied(h.key_ptr, h.key_length), copied(h.value_ptr, h.value_length)) for h in found
        ]

    def header_values(self, header_map: HeaderMap, name: bytes) -> list[bytes]:
        """All values of one name; the first call also tells how many there are."""
        get = lib.envoy_dynamic_module_callback_http_get_header
        envoy, key = self._live(), lent(name)
        result, count = ffi.new(ENVOY_BUFFER), ffi.new("size_t *")
        if not get(envoy, header_map, key, result, 0, count):
            return []
        values = [copied(result.ptr, result.length)]
        for index in range(1, count[0]):
            get(envoy, header_map, key, result, index, ffi.NULL)
            values.append(copied(result.ptr, result.length))
        return values

    def _done(self, result: int) -> bool:
        """Return what a change came to; what came with the hook may be another now."""
        if result < 0:
            self._refuse()
        self.given.clear()
        return result == 1

    def set_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Replace all values."""
        call = lib.pyfilter_header_set
        return self._done(
            call(self._seat, self.serial, header_map, name, len(name), value, len(value))
        )

    def add_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Append a value."""
        call = lib.pyfilter_header_add
        return self._done(
            call(self._seat, self.serial, header_map, name, len(name), value, len(value))
        )

    def remove_header(self, header_map: HeaderMap, name: bytes) -> bool:
        """Remove a header: setting it to nothing does that."""
        return self.set_header(header_map, name, b"")

    def body_size(self, kind: BodyKind) -> int:
        """Length in bytes."""
        return int(lib.envoy_dynamic_module_callback_http_get_body_size(self._live(), kind))

    def read_body(self, kind: BodyKind) -> bytes:
        """Copy all chunks, in one call where they fit."""
        size = _BODY_RUN(self._seat, self.serial, kind)
        return self._area[:size] if size >= 0 else self._large_body(kind)

    def _large_body(self, kind: BodyKind) -> bytes:
        """Give a body that C does not put together."""
        envoy = self._live()
        count = lib.envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, kind)
        if count == 0:
            return b""
        chunks = ffi.new(ENVOY_BUFFERS, count)
        if not lib.envoy_dynamic_module_callback_http_get_body_chunks(envoy, kind, chunks):
            return b""
        return b"".join(copied(chunk.ptr, chunk.length) for chunk in chunks)

    def drain_body(self, kind: BodyKind, size: int) -> bool:
        """Remove bytes from the front."""
        return self._done(lib.pyfilter_body_drain(self._seat, self.serial, kind, size))

    def append_body(self, kind: BodyKind, data: bytes) -> bool:
        """Add bytes at the end."""
        call = lib.pyfilter_body_append
        return self._done(call(self._seat, self.serial, kind, data, len(data)))

    def received_is_buffered(self, *, request: bool) -> bool:
        """Whether what was received is what an earlier filter buffered."""
        if request:
            call = lib.envoy_dynamic_module_callback_http_received_buffered_request_body
        else:
            call = lib.envoy_dynamic_module_callback_http_received_buffered_response_body
        return bool(call(self._live()))

    def attribute_string(self, attribute: int) -> bytes | None:
        """Text attribute."""
        call = lib.envoy_dynamic_module_callback_http_filter_get_attribute_string
        return buffer_result(call, self._live(), attribute)

    def attribute_int(self, attribute: int) -> int | None:
        """Return a number attribute."""
        result = ffi.new("uint64_t *")
        call = lib.envoy_dynamic_module_callback_http_filter_get_attribute_int
        return int(result[0]) if call(self._live(), attribute, result) else None

    def attribute_bool(self, attribute: int) -> bool | None:
        """Boolean attribute."""
        result = ffi.new("bool *")
        call = lib.envoy_dynamic_module_callback_http_filter_get_attribute_bool
        return bool(result[0]) if call(self._live(), attribute, result) else None

    def filter_state(self, key: bytes) -> bytes | None:
        """Bytes under *key*."""
        call = lib.envoy_dynamic_module_callback_http_get_filter_state_bytes
        return buffer_result(call, self._live(), lent(key))

    def set_filter_state(self, key: bytes, value: bytes) -> bool:
        """Write bytes under *key*, in one call."""
        written: int = _STATE_SET(self._seat, self.serial, key, len(key), value, len(value))
        if written < 0:
            self._refuse()
        return written == 1

    def metadata(self, source: MetadataSource, namespace: str, key: str) -> MetadataValue | None:
        """One value of any type."""
        return metadata.read(self._live(), source, namespace, key)

    def metadata_keys(self, source: MetadataSource, namespace: str) -> list[str]:
        """Keys of a namespace."""
        return metadata.keys(self._live(), source, namespace)

    def metadata_namespaces(self, source: MetadataSource) -> list[str]:
        """Namespaces of a source."""
        return metadata.namespaces(self._live(), source)

    def set_metadata(self, namespace: str, key: str, value: MetadataValue) -> bool:
        """Set one value, or append the items of a list."""
        return metadata.write(self._live(), namespace, key, value)

    def reply(self, status: int, headers: Pairs, body: bytes, details: bytes) -> None:
        """Send a local reply, through C: the denied entry is due before it."""
        stream, pairs = self._stream(), lent_pairs(headers)
        lib.pyfilter_reply(stream, status, pairs, len(headers), lent(body), lent(details))

    def reply_headers(self, headers: Pairs, *, end_of_stream: bool) -> None:
        """Start a reply in pieces."""
        stream, pairs = self._stream(), lent_pairs(headers)
        lib.pyfilter_reply_headers(stream, pairs, len(headers), end_of_stream)

    def reply_data(self, data: bytes, *, end_of_stream: bool) -> None:
        """Go on with a reply in pieces."""
        lib.pyfilter_reply_data(self._stream(), lent(data), end_of_stream)

    def reply_trailers(self, trailers: Pairs) -> None:
        """End a reply in pieces."""
        lib.pyfilter_reply_trailers(self._stream(), lent_pairs(trailers), len(trailers))

    def reset(self, reason: int, details: bytes) -> None:
        """Reset the stream."""
        lib.pyfilter_reset(self._stream(), reason, lent(details))

    def resume_request(self) -> None:
        """Let a paused request go on, through C: its entry may have waited."""
        lib.pyfilter_resume_request(self._stream())

    def resume_response(self) -> None:
        """Let a paused response go on, through C: from then on the response has begun."""
        lib.pyfilter_resume_response(self._stream())

    @contextmanager
    def waiting_hooks(self, *, response: bool) -> Iterator[None]:
        """Keep C's stream until the block ends, whatever becomes of Envoy's side."""
        self._live()
        stream = lib.pyfilter_seat_stream(self._seat)
        lib.pyfilter_waiting_entered(stream, response)
        try:
            yield
        finally:
            lib.pyfilter_waiting_left(stream)

    def late_begins(self, hook: int) -> None:
        """Tell C's stream, which is there while hooks that waited run."""
        lib.pyfilter_late_begins(lib.pyfilter_seat_stream(self._seat), hook)

    def late_ends(self, hook: int, status: int) -> None:
        """Tell the same."""
        lib.pyfilter_late_ends(lib.pyfilter_seat_stream(self._seat), hook, status)

    def change_refused(self, part: int, *, too_large: bool = False) -> None:
        """Tell C, which takes no notice where the stream is gone or this is another thread."""
        effect = lib.EFFECT_TOO_LARGE if too_large else lib.EFFECT_REJECTED
        lib.pyfilter_change_refused(self._seat, self.serial, part, effect)

    def response_begun(self) -> bool:
        """Whether a response's headers went past this filter."""
        return bool(lib.pyfilter_response_begun(self._stream()))

    def clear_route_cache(self) -> None:
        """Choose the route again."""
        lib.envoy_dynamic_module_callback_http_clear_route_cache(self._changes())

    def clear_route_cluster_cache(self) -> None:
        """Choose the cluster again."""
        lib.envoy_dynamic_module_callback_http_clear_route_cluster_cache(self._changes())

    def add_custom_flag(self, flag: bytes) -> None:
        """Add a custom response flag."""
        lib.envoy_dynamic_module_callback_http_add_custom_flag(self._changes(), lent(flag))

    def buffer_limit(self) -> int:
        """Bytes that Envoy buffers at most."""
        return int(lib.envoy_dynamic_module_callback_http_get_buffer_limit(self._live()))

    def set_buffer_limit(self, limit: int) -> None:
        """Change that limit."""
        lib.envoy_dynamic_module_callback_http_set_buffer_limit(self._changes(), limit)

    def change_metric(self, kind: str, metric: int, labels: Sequence[bytes], value: int) -> int:
        """Change a metric; the kind picks the callback."""
        call = _METRIC_CALLS[kind]
        return int(call(self._live(), metric, lent_list(labels), len(labels), value))

    def worker_index(self) -> int:
        """Which worker."""
        return int(lib.envoy_dynamic_module_callback_http_filter_get_worker_index(self._live()))

    def route_config(self) -> object | None:
        """Return the most specific per-route config."""
        handle = lib.envoy_dynamic_module_callback_get_most_specific_route_config(self._live())
        return None if handle == ffi.NULL else ffi.from_handle(_mutable(handle))

    def scheduler(self) -> Scheduler:
        """Make a scheduler handle."""
        return EnvoyScheduler(self._live())

    def note(self, kind: NoteKind, key: bytes, text: bytes, json: bytes) -> None:
        """Keep a note; C copies it."""
        self._live()
        stream = lib.pyfilter_seat_stream(self._seat)
        lib.pyfilter_record_note(stream, kind, key, len(key), text, len(text), json, len(json))

    def hook_failed(self, hook: str, code: int) -> None:
        """Count a hook that raised; it is on the stack, so C's stream is there."""
        name = _HOOK_NAMES.setdefault(hook, ffi.new("char[]", hook.encode()))
        lib.pyfilter_hook_failed(lib.pyfilter_seat_stream(self._seat), name, code)


_METRIC_CALLS = {
    "counter_add": lib.envoy_dynamic_module_callback_http_filter_increment_counter,
    "gauge_add": lib.envoy_dynamic_module_callback_http_filter_increment_gauge,
    "gauge_sub": lib.envoy_dynamic_module_callback_http_filter_decrement_gauge,
    "gauge_set": lib.envoy_dynamic_module_callback_http_filter_set_gauge,
    "histogram_record": lib.envoy_dynamic_module_callback_http_filter_record_histogram_value,
}


def _mutable(handle: CData) -> CData:
    """Drop the const that the ABI puts on addresses which are ours."""
    return ffi.cast("void *", handle)
