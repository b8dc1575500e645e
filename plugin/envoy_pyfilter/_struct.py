# SPDX-License-Identifier: Apache-2.0
"""
A ``google.protobuf.Struct`` as it goes over the wire.

Envoy 1.38 hands a route's config over like this, and everything else as JSON text.

A Struct is a map of names (field 1, entries of key 1 and value 2) to Values: null (1), number (2),
text (3), bool (4), Struct (5) or a list (6) of Values (field 1).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _DOUBLE, _BYTES = 0, 1, 2
_MORE, _LONGEST = 0x80, 64  # a varint's bit for "more follows", and its most bits
_WHOLE: Final = 1 << 53  # up to here a double holds every integer


class _NotThisError(Exception):
    """These bytes are something else."""


def from_wire(data: bytes) -> dict[str, Any] | None:
    """Return the Struct that *data* encodes, or None when it encodes something else."""
    try:
        return _struct(data)
    except (_NotThisError, UnicodeDecodeError, RecursionError):
        return None


def _struct(data: bytes) -> dict[str, Any]:
    found = {}
    for number, entry in _fields(data):
        if number != 1 or not isinstance(entry, bytes):
            raise _NotThisError
        parts = dict(_fields(entry))
        key, value = parts.get(1, b""), parts.get(2, b"")
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise _NotThisError
        found[key.decode()] = _value(value)
    return found


def _value(data: bytes) -> Any:
    value: Any = None
    for number, content in _fields(data):
        match number, content:
            case 1, int():
                value = None
            case 2, float():
                whole = content.is_integer() and abs(content) <= _WHOLE
                value = int(content) if whole else content
            case 3, bytes():
                value = content.decode()
            case 4, int():
                value = bool(content)
            case 5, bytes():
                value = _struct(content)
            case 6, bytes():
                value = [_value(item) for _, item in _fields(content) if isinstance(item, bytes)]
            case _:
                raise _NotThisError
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int | float]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _DOUBLE:
            size = 8
        elif kind == _BYTES:
            size, place = _varint(data, place)
        else:
            raise _NotThisError
        content = data[place : place + size]
        if len(content) != size:
            raise _NotThisError
        place += size
        yield number, struct.unpack("<d", content)[0] if kind == _DOUBLE else content


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < _LONGEST:
        byte = data[place]
        place += 1
        value |= (byte & ~_MORE) << shift
        if not byte & _MORE:
            return value, place
        shift += 7
    raise _NotThisError
