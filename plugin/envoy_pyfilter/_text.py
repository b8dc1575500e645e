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
_FORBIDDEN: Final = re.compile(rb"[\x00\r\n]")


def header_name(name: Text) -> bytes:
    """
    Return a header's name in lower case.

    Raises ``ValueError`` when *name* is no header name (RFC 9110 token, or a pseudo header).
    """
    if isinstance(name, str):
        name = name.encode("latin-1")
    lower = name.lower()
    if _NAME.fullmatch(lower) is None:
        raise ValueError(f"not a header name: {name!r}")
    return lower


def header_value(value: Text) -> bytes:
    """
    Return a header's value; ``str`` is encoded as Latin-1.

    Raises ``ValueError`` for NUL, CR and LF, which would end the header.
    """
    if isinstance(value, str):
        value = value.encode("latin-1")
    if _FORBIDDEN.search(value) is not None:
        raise ValueError(f"NUL, CR or LF in a header value: {value!r}")
    return bytes(value)


def header_pairs(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    """Headers for a message of our own; ``ValueError`` for pseudo headers, which have arguments."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    encoded = [(header_name(name), header_value(value)) for name, value in pairs]
    for name, _ in encoded:
        if name.startswith(b":"):
            raise ValueError(f"pseudo header among the headers: {name!r}")
    return encoded


def utf8(text: Text) -> bytes:
    """Bytes as they are, ``str`` as UTF-8 (what cannot be encoded becomes ``?``)."""
    if isinstance(text, str):
        return text.encode("utf-8", "replace")
    return bytes(text)
