# SPDX-License-Identifier: Apache-2.0
"""Bytes over the seam: what Envoy lends is copied here, what we lend is pointed to here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from envoy_pyfilter._abi import ffi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter._host import Pairs

MODULE_BUFFER = ffi.typeof("envoy_dynamic_module_type_module_buffer *")
MODULE_BUFFERS = ffi.typeof("envoy_dynamic_module_type_module_buffer[]")
MODULE_HEADERS = ffi.typeof("envoy_dynamic_module_type_module_http_header[]")
ENVOY_BUFFER = ffi.typeof("envoy_dynamic_module_type_envoy_buffer *")
ENVOY_BUFFERS = ffi.typeof("envoy_dynamic_module_type_envoy_buffer[]")
ENVOY_HEADERS = ffi.typeof("envoy_dynamic_module_type_envoy_http_header[]")


def copied(pointer: CData, length: int) -> bytes:
    """Return a copy of borrowed bytes; empty for NULL, which Envoy may give with length 0."""
    if pointer == ffi.NULL or length == 0:
        return b""
    return cast("bytes", ffi.unpack(pointer, length))


def lent(data: bytes) -> CData:
    """
    Return *data* as a buffer by value.

    It points into *data*, so the caller holds *data* in a variable until its call returns.
    """
    buffer = ffi.new(MODULE_BUFFER)
    buffer.ptr = ffi.from_buffer(data)
    buffer.length = len(data)
    return cast("CData", buffer[0])


def lent_list(items: Sequence[bytes]) -> CData:
    """Return an array of buffers, for labels; NULL when there are none."""
    if not items:
        return ffi.NULL
    buffers = ffi.new(MODULE_BUFFERS, len(items))
    for buffer, item in zip(buffers, items, strict=True):
        buffer.ptr = ffi.from_buffer(item)
        buffer.length = len(item)
    return buffers


def lent_pairs(pairs: Pairs) -> CData:
    """Return header pairs as an array; the caller keeps *pairs* until its call returns."""
    headers = ffi.new(MODULE_HEADERS, len(pairs))
    for header, (name, value) in zip(headers, pairs, strict=True):
        header.key_ptr = ffi.from_buffer(name)
        header.key_length = len(name)
        header.value_ptr = ffi.from_buffer(value)
        header.value_length = len(value)
    return headers


def buffer_result(call: Callable[..., bool], *arguments: object) -> bytes | None:
    """Make a callback that fills one buffer; None where it says there is nothing."""
    result = ffi.new(ENVOY_BUFFER)
    return copied(result.ptr, result.length) if call(*arguments, result) else None
