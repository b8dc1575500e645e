# SPDX-License-Identifier: Apache-2.0
"""
Text to the bytes that Envoy takes, refused where it would break a message.

Envoy checks what it reads from the wire, not what a filter sets: a line feed in a header's value
would reach an HTTP/1 peer as a new header. So everything that becomes a header passes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

Text: TypeAlias = str | bytes
HeaderPairs: TypeAlias = Mapping[str, Text] | Iterable[tuple[Text, Text]]

_NAME: Final = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_UINT64_END: Final = 1 << 64


def header_name(name: Text) -> bytes:
    """
    Return a header's name in lower case.

    Raises ``ValueError`` when *name* is no header name (RFC 9110 token, or a pseudo header).
    """
    name = name.encode("latin-1") if isinstance(name, str) else utf8(name, "header name")
    lower = name.lower()
    if _NAME.fullmatch(lower) is None:
        raise ValueError(f"not a header name: {name!r}")
    return lower


def header_value(value: Text) -> bytes:
    """
    Return a header's value; ``str`` is encoded as Latin-1.

    Raises ``ValueError`` for control characters but the tab: NUL, CR and LF would end the header,
    and for the others Envoy answers 503.
    """
    value = value.encode("latin-1") if isinstance(value, str) else utf8(value, "header value")
    if _FORBIDDEN.search(value) is not None:
        raise ValueError(f"control character in a header value: {value!r}")
    return value


def header_pairs(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    """Headers for a message of our own; ``ValueError`` for pseudo headers, which have arguments."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    encoded = [(header_name(name), header_value(value)) for name, value in pairs]
    for name, _ in encoded:
        if name.startswith(b":"):
            raise ValueError(f"pseudo header among the headers: {name!r}")
    return encoded


def utf8(text: Text, what: str = "text") -> bytes:
    """
    Bytes as they are, ``str`` as UTF-8 (what cannot be encoded becomes ``?``).

    ``TypeError``, which names *what* it is, for anything else.
    """
    if isinstance(text, str):
        return text.encode("utf-8", "replace")
    return _octets(text, what, "str or bytes")


def octets(data: bytes, what: str) -> bytes:
    """Bytes as they are; ``TypeError``, which names *what* it is, for anything else."""
    return _octets(data, what, "bytes")


def checked_text(text: str, what: str) -> str:
    """*text* as it is; ``TypeError``, which names *what* it is, when it is no ``str``."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be str, got {type(text).__name__}")
    return text


def whole_number(number: int, what: str) -> int:
    """
    Give *number* as it is, if Envoy can take it.

    ``TypeError`` and ``ValueError``, which name *what* it is, unless it is an int from 0 to
    2**64 - 1.
    """
    if not isinstance(number, int):
        raise TypeError(f"{what} must be int, got {type(number).__name__}")
    if not 0 <= number < _UINT64_END:
        raise ValueError(f"{what} must be 0 to 2**64 - 1, got {number}")
    return int(number)


def _octets(data: object, what: str, allowed: str) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    # bytes(5) would be five NULs, and bytes([65]) an A.
    raise TypeError(f"{what} must be {allowed}, got {type(data).__name__}")
