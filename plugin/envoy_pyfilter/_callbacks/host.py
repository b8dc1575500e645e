# SPDX-License-Identifier: Apache-2.0
"""
The proxy's side of one stream.

``EnvoyHost`` is the ``Host`` of one stream. Every method takes plain bytes and numbers, and gives
plain bytes and numbers back: what Envoy lends is copied, and no cdata leaves this package.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from envoy_pyfilter._abi import ffi, lib
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
    from collections.abc import Callable, Sequence

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

_RELEASE = int(lib.pyfilter_host_release())

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


class EnvoyHost:
    """
    The proxy's side of one stream, valid on its worker until Envoy destroys it.

    ``watched`` holds the address of Envoy's side. C writes NULL there the moment that Envoy's side
    is gone, so no failure on Python's side can keep a dead address in use.
    """

    __slots__ = ("_stream", "_thread", "watched")

    def __init__(self, stream: CData, envoy: CData) -> None:
        self._stream = stream
        self.watched = ffi.new("void **", envoy)
        self._thread = threading.get_ident()

    def on_worker(self) -> bool:
        """Whether the caller is on the stream's worker."""
        return threading.get_ident() == self._thread

    def release(self) -> int:
        """Minor version of the host."""
        return _RELEASE

    def _live(self) -> CData:
        envoy = self.watched[0]
        if not envoy:
            raise StreamGone("the stream has ended; keep what you need of it, not the stream")
        if threading.get_ident() != self._thread:
            raise WrongThread("a stream is used on its own worker; see Stream.run_on_worker")
        return cast("CData", envoy)

    def headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """All pairs of a map, in two calls."""
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

    def set_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Replace all values."""
        call = lib.envoy_dynamic_module_callback_http_set_header
        return bool(call(self._live(), header_map, lent(name), lent(value)))

    def add_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Append a value."""
        call = lib.envoy_dynamic_module_callback_http_add_header
        return bool(call(self._live(), header_map, lent(name), lent(value)))

    def remove_header(self, header_map: HeaderMap, name: bytes) -> bool:
        """Remove a header: setting it to nothing does that."""
        return self.set_header(header_map, name, b"")

    def body_size(self, kind: BodyKind) -> int:
        """Length in bytes."""
        return int(lib.envoy_dynamic_module_callback_http_get_body_size(self._live(), kind))

    def read_body(self, kind: BodyKind) -> bytes:
        """Copy all chunks and join them."""
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
        return bool(lib.envoy_dynamic_module_callback_http_drain_body(self._live(), kind, size))

    def append_body(self, kind: BodyKind, data: bytes) -> bool:
        """Add bytes at the end."""
        call = lib.envoy_dynamic_module_callback_http_append_body
        return bool(call(self._live(), kind, lent(data)))

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
        """Write bytes under *key*."""
        call = lib.envoy_dynamic_module_callback_http_set_filter_state_bytes
        return bool(call(self._live(), lent(key), lent(value)))

    def metadata(self, source: MetadataSource, namespace: str, key: str) -> MetadataValue | None:
        """
        One value of any type.

        Envoy answers only the question of the right type, and logs an error for each other one, so
        the type that a key had is asked first the next time.
        """
        space, name = namespace.encode(), key.encode()
        where = (self._live(), source, lent(space), lent(name))
        known = _KINDS.get((source, namespace, key), 0)
        for kind in (known, *(other for other in range(len(_READERS)) if other != known)):
            value = _READERS[kind](where)
            if value is not None:
                if kind != known and len(_KINDS) < _MOST_KINDS:
                    _KINDS[source, namespace, key] = kind
                return value
        return None

    def metadata_keys(self, source: MetadataSource, namespace: str) -> list[str]:
        """Keys of a namespace."""
        space = namespace.encode()
        where = (self._live(), source, lent(space))
        return _names(
            lib.envoy_dynamic_module_callback_http_get_metadata_keys_count(*where),
            lib.envoy_dynamic_module_callback_http_get_metadata_keys,
            where,
        )

    def metadata_namespaces(self, source: MetadataSource) -> list[str]:
        """Namespaces of a source."""
        where = (self._live(), source)
        return _names(
            lib.envoy_dynamic_module_callback_http_get_metadata_namespaces_count(*where),
            lib.envoy_dynamic_module_callback_http_get_metadata_namespaces,
            where,
        )

    def set_metadata(self, namespace: str, key: str, value: MetadataValue) -> bool:
        """Set one value, or append the items of a list."""
        space, name = namespace.encode(), key.encode()
        where = (self._live(), lent(space), lent(name))
        if isinstance(value, list):
            return sum(_append_item(where, item) for item in value) == len(value)
        if isinstance(value, bool):
            lib.envoy_dynamic_module_callback_http_set_dynamic_metadata_bool(*where, value)
        elif isinstance(value, str):
            text = value.encode()
            lib.envoy_dynamic_module_callback_http_set_dynamic_metadata_string(*where, lent(text))
        else:
            lib.envoy_dynamic_module_callback_http_set_dynamic_metadata_number(*where, value)
        return True

    def reply(self, status: int, headers: Pairs, body: bytes, details: bytes) -> None:
        """Send a local reply, through C: the denied entry is due before it."""
        self._live()
        pairs = lent_pairs(headers)
        lib.pyfilter_reply(self._stream, status, pairs, len(headers), lent(body), lent(details))

    def reply_headers(self, headers: Pairs, *, end_of_stream: bool) -> None:
        """Start a reply in pieces."""
        self._live()
        pairs = lent_pairs(headers)
        lib.pyfilter_reply_headers(self._stream, pairs, len(headers), end_of_stream)

    def reply_data(self, data: bytes, *, end_of_stream: bool) -> None:
        """Go on with a reply in pieces."""
        call = lib.envoy_dynamic_module_callback_http_send_response_data
        call(self._live(), lent(data), end_of_stream)

    def reply_trailers(self, trailers: Pairs) -> None:
        """End a reply in pieces."""
        call = lib.envoy_dynamic_module_callback_http_send_response_trailers
        call(self._live(), lent_pairs(trailers), len(trailers))

    def reset(self, reason: int, details: bytes) -> None:
        """Reset the stream."""
        call = lib.envoy_dynamic_module_callback_http_filter_reset_stream
        call(self._live(), reason, lent(details))

    def resume_request(self) -> None:
        """Let a paused request go on, through C: its entry may have waited."""
        self._live()
        lib.pyfilter_resume_request(self._stream)

    def resume_response(self) -> None:
        """Let a paused response go on, through C: from then on the response has begun."""
        self._live()
        lib.pyfilter_resume_response(self._stream)

    def response_begun(self) -> bool:
        """Whether a response's headers went past this filter."""
        self._live()
        return bool(lib.pyfilter_response_begun(self._stream))

    def clear_route_cache(self) -> None:
        """Choose the route again."""
        lib.envoy_dynamic_module_callback_http_clear_route_cache(self._live())

    def clear_route_cluster_cache(self) -> None:
        """Choose the cluster again."""
        lib.envoy_dynamic_module_callback_http_clear_route_cluster_cache(self._live())

    def add_custom_flag(self, flag: bytes) -> None:
        """Add a custom response flag."""
        lib.envoy_dynamic_module_callback_http_add_custom_flag(self._live(), lent(flag))

    def buffer_limit(self) -> int:
        """Bytes that Envoy buffers at most."""
        return int(lib.envoy_dynamic_module_callback_http_get_buffer_limit(self._live()))

    def set_buffer_limit(self, limit: int) -> None:
        """Change that limit."""
        lib.envoy_dynamic_module_callback_http_set_buffer_limit(self._live(), limit)

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
        lib.pyfilter_record_note(
            self._stream, kind, key, len(key), text, len(text), json, len(json)
        )

    def hook_failed(self, hook: str) -> None:
        """Count a hook that raised; it is on the stack, so C's stream is there."""
        name = _HOOK_NAMES.setdefault(hook, ffi.new("char[]", hook.encode()))
        lib.pyfilter_hook_failed(self._stream, name)


_METRIC_CALLS = {
    "counter_add": lib.envoy_dynamic_module_callback_http_filter_increment_counter,
    "gauge_add": lib.envoy_dynamic_module_callback_http_filter_increment_gauge,
    "gauge_sub": lib.envoy_dynamic_module_callback_http_filter_decrement_gauge,
    "gauge_set": lib.envoy_dynamic_module_callback_http_filter_set_gauge,
    "histogram_record": lib.envoy_dynamic_module_callback_http_filter_record_histogram_value,
}


def _text(where: tuple[object, ...]) -> str | None:
    text = buffer_result(lib.envoy_dynamic_module_callback_http_get_metadata_string, *where)
    return None if text is None else text.decode("utf-8", "replace")


def _number(where: tuple[object, ...]) -> float | None:
    number = ffi.new("double *")
    found = lib.envoy_dynamic_module_callback_http_get_metadata_number(*where, number)
    return float(number[0]) if found else None


def _flag(where: tuple[object, ...]) -> bool | None:
    flag = ffi.new("bool *")
    found = lib.envoy_dynamic_module_callback_http_get_metadata_bool(*where, flag)
    return bool(flag[0]) if found else None


def _list(where: tuple[object, ...]) -> MetadataValue | None:
    size = ffi.new("size_t *")
    if not lib.envoy_dynamic_module_callback_http_get_metadata_list_size(*where, size):
        return None
    return cast("MetadataValue", [_list_item(where, index) for index in range(size[0])])


_READERS = (_text, _number, _flag, _list)
_KINDS: dict[tuple[int, str, str], int] = {}  # the reader that found a value under a key last
_MOST_KINDS = 1000


def _mutable(handle: CData) -> CData:
    """Drop the const that the ABI puts on addresses which are ours."""
    return ffi.cast("void *", handle)


def _names(count: int, call: Callable[..., bool], where: tuple[object, ...]) -> list[str]:
    if count == 0:
        return []
    found = ffi.new(ENVOY_BUFFERS, count)
    if not call(*where, found):
        return []
    return [copied(item.ptr, item.length).decode("utf-8", "replace") for item in found]


def _list_item(where: tuple[object, ...], index: int) -> str | float | bool | None:
    text = buffer_result(
        lib.envoy_dynamic_module_callback_http_get_metadata_list_string, *where, index
    )
    if text is not None:
        return text.decode("utf-8", "replace")
    number = ffi.new("double *")
    if lib.envoy_dynamic_module_callback_http_get_metadata_list_number(*where, index, number):
        return float(number[0])
    flag = ffi.new("bool *")
    if lib.envoy_dynamic_module_callback_http_get_metadata_list_bool(*where, index, flag):
        return bool(flag[0])
    return None


def _append_item(where: tuple[object, ...], item: str | float | bool) -> bool:
    if isinstance(item, bool):
        call, value = lib.envoy_dynamic_module_callback_http_add_dynamic_metadata_list_bool, item
        return bool(call(*where, value))
    if isinstance(item, str):
        text = item.encode()
        call = lib.envoy_dynamic_module_callback_http_add_dynamic_metadata_list_string
        return bool(call(*where, lent(text)))
    call = lib.envoy_dynamic_module_callback_http_add_dynamic_metadata_list_number
    return bool(call(*where, item))
