# SPDX-License-Identifier: Apache-2.0
"""What a hook adds to its stream's record."""

from __future__ import annotations

import json
import re
from typing import Final

from ._host import Host, NoteKind
from ._text import Text, utf8

_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Notes:
    """
    Adds to the record that the record lane keeps of a stream; nothing happens where it keeps none.

    Values are whatever JSON can hold; ``bytes`` count as text (UTF-8, replaced where it is not).
    ``TypeError`` or ``ValueError`` for the rest. A stream keeps 256 of them; more are dropped and
    counted in the stat ``dropped_notes``. State formats see text as it is, and other values
    as JSON.
    """

    __slots__ = ("_host",)

    def __init__(self, host: Host) -> None:
        """Made by ``Stream``."""
        self._host = host

    def note(self, key: str, value: object) -> None:
        """Put *value* under *key* into the entry's ``notes``; the last value counts."""
        self._put(NoteKind.NOTE, key, value)

    def reject(self, name: Text, value: object) -> None:
        """Add a header that was rejected to the entry's ``rejected``."""
        self._put(NoteKind.REJECT, name, value)

    def missing(self, name: Text, value: object) -> None:
        """Add a header that should have been there to the entry's ``missing``."""
        self._put(NoteKind.MISSING, name, value)

    def _put(self, kind: NoteKind, key: Text, value: object) -> None:
        encoded = as_json(value)
        text = utf8(value) if isinstance(value, (str, bytes)) else encoded
        self._host.note(kind, utf8(key, "key of a note"), text, encoded)


def as_json(value: object) -> bytes:
    """
    *value* as one line of JSON that no terminal or line reader can misread.

    Control characters, line separators and lone surrogates never come out as they went in.
    """
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_from_bytes
    )
    text = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def _from_bytes(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    raise TypeError(f"a note cannot hold {type(value).__name__}")
