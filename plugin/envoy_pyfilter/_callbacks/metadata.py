# SPDX-License-Identifier: Apache-2.0
"""
A stream's metadata, of any type and source.

The ABI has a callback for each type; here one value is one call. *envoy* is Envoy's side of the
stream, alive and on its worker.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from envoy_pyfilter._abi import ffi, lib
from envoy_pyfilter._callbacks.buffers import ENVOY_BUFFERS, buffer_result, copied, lent

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter._host import MetadataSource, MetadataValue


def read(envoy: CData, source: MetadataSource, namespace: str, key: str) -> MetadataValue | None:
    """
    One value of any type.

    Envoy answers only the question of the right type, and logs an error for each other one, so
    the type that a key had is asked first the next time.
    """
    space, name = namespace.encode(), key.encode()
    where = (envoy, source, lent(space), lent(name))
    known = _KINDS.get((source, namespace, key), 0)
    for kind in (known, *(other for other in range(len(_READERS)) if other != known)):
        value = _READERS[kind](where)
        if value is not None:
            if kind != known and len(_KINDS) < _MOST_KINDS:
                _KINDS[source, namespace, key] = kind
            return value
    return None


def keys(envoy: CData, source: MetadataSource, namespace: str) -> list[str]:
    """Keys of a namespace."""
    space = namespace.encode()
    where = (envoy, source, lent(space))
    return _names(
        lib.envoy_dynamic_module_callback_http_get_metadata_keys_count(*where),
        lib.envoy_dynamic_module_callback_http_get_metadata_keys,
        where,
    )


def namespaces(envoy: CData, source: MetadataSource) -> list[str]:
    """Namespaces of a source."""
    where = (envoy, source)
    return _names(
        lib.envoy_dynamic_module_callback_http_get_metadata_namespaces_count(*where),
        lib.envoy_dynamic_module_callback_http_get_metadata_namespaces,
        where,
    )


def write(envoy: CData, namespace: str, key: str, value: MetadataValue) -> bool:
    """Set one value of the dynamic metadata, or append the items of a list."""
    space, name = namespace.encode(), key.encode()
    where = (envoy, lent(space), lent(name))
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


def _list(where: tuple[object, ...], kind: int | None = None) -> MetadataValue | None:
    """Give the list, if its first item is of this *kind* of item; ``None`` takes any."""
    size = ffi.new("size_t *")
    if not lib.envoy_dynamic_module_callback_http_get_metadata_list_size(*where, size):
        return None
    if size[0] and kind is not None and _ITEM_READERS[kind](where, 0) is None:
        return None
    return cast("MetadataValue", [_list_item(where, index, kind or 0) for index in range(size[0])])


_READERS = (
    _text,
    _number,
    _flag,
    partial(_list, kind=0),
    partial(_list, kind=1),
    partial(_list, kind=2),
    _list,
)
_KINDS: dict[tuple[int, str, str], int] = {}  # the reader that found a value under a key last
_MOST_KINDS = 1000


def _names(count: int, call: Callable[..., bool], where: tuple[object, ...]) -> list[str]:
    if count == 0:
        return []
    found = ffi.new(ENVOY_BUFFERS, count)
    if not call(*where, found):
        return []
    return [copied(item.ptr, item.length).decode("utf-8", "replace") for item in found]


def _list_item(where: tuple[object, ...], index: int, kind: int) -> str | float | bool | None:
    for other in (kind, *(other for other in range(len(_ITEM_READERS)) if other != kind)):
        item = _ITEM_READERS[other](where, index)
        if item is not None:
            return item
    return None


def _text_item(where: tuple[object, ...], index: int) -> str | None:
    call = lib.envoy_dynamic_module_callback_http_get_metadata_list_string
    text = buffer_result(call, *where, index)
    return None if text is None else text.decode("utf-8", "replace")


def _number_item(where: tuple[object, ...], index: int) -> float | None:
    number = ffi.new("double *")
    call = lib.envoy_dynamic_module_callback_http_get_metadata_list_number
    return float(number[0]) if call(*where, index, number) else None


def _flag_item(where: tuple[object, ...], index: int) -> bool | None:
    flag = ffi.new("bool *")
    call = lib.envoy_dynamic_module_callback_http_get_metadata_list_bool
    return bool(flag[0]) if call(*where, index, flag) else None


_ITEM_READERS: tuple[Callable[[tuple[object, ...], int], str | float | bool | None], ...] = (
    _text_item,
    _number_item,
    _flag_item,
)


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
