# SPDX-License-Identifier: Apache-2.0
"""
A JSON text that comes in pieces, kept small.

Up to 64 KiB it is kept as it is. What is larger is kept without what stands in its arrays and
without its long strings: neither the model nor a number of tokens is there, but all that makes
responses large is.
"""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 1 << 16
LONG: Final = 256  # bytes from which on a string is left out

_STEP: Final = 1 << 12  # re remembers each escape of a string until the match is over
_STARTS: Final = re.compile(rb'["\[]')
_BRACKETS: Final = re.compile(rb'["\[\]]')
_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_QUOTE, _OPENS = b'"'[0], b"["[0]


class Text:
    """The text so far: ``add`` to it, ``take`` it. ``too_large``: not even the rest is small."""

    __slots__ = ("_arrays", "_escaped", "_kept", "_long", "_shrinks", "_string", "too_large")

    def __init__(self) -> None:
        """Start empty."""
        self._kept = bytearray()
        self._clear()

    def _clear(self) -> None:
        self._shrinks = False
        self._arrays = 0  # how deep in arrays we are
        self._string = -1  # where the string began in what is kept; -1: not in one
        self._escaped = False  # the next byte follows a backslash
        self._long = False  # the string is left out
        self.too_large = False

    def add(self, data: bytes) -> None:
        """Add a piece."""
        if self.too_large:
            return
        if self._shrinks:
            self._shrink(data)
            return
        self._kept += data
        if len(self._kept) > MOST:
            whole = bytes(self._kept)
            self._kept.clear()
            self._shrinks = True
            self._shrink(whole)

    def take(self) -> bytes:
        """Give it, and start anew."""
        kept = bytes(self._kept)
        self._kept.clear()
        self._clear()
        return kept

    def _shrink(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._string >= 0:
                at = self._in_string(data, at)
            elif self._arrays:
                at = self._in_array(data, at)
            else:
                at = self._outside(data, at)
        if len(self._kept) > MOST:
            self.too_large = True
            self._kept.clear()

    def _outside(self, data: bytes, at: int) -> int:
        found = _STARTS.search(data, at)
        end = len(data) if found is None else found.end()
        self._kept += data[at:end]
        if found is not None:
            if data[end - 1] == _QUOTE:
                self._string = len(self._kept)
            else:
                self._arrays = 1
        return end

    def _in_array(self, data: bytes, at: int) -> int:
        found = _BRACKETS.search(data, at)
        if found is None:
            return len(data)
        byte = data[found.start()]
        if byte == _QUOTE:
            self._string = len(self._kept)
        else:
            self._arrays += 1 if byte == _OPENS else -1
            if not self._arrays:
                self._kept += b"]"
        return found.end()

    def _in_string(self, data: bytes, at: int) -> int:
        start = at
        found = _STRING.match(data, at + self._escaped, at + _STEP)
        end = len(data) if found is None else found.end()
        ended = data[end : end + 1] == b'"'
        self._escaped = data[end : end + 1] == b"\\"  # what it escapes comes in the next step
        end += self._escaped
        if not self._arrays:
            self._keep_string(data[start:end])
        if ended:
            if not self._arrays:
                self._kept += b'"'
            self._string = -1
            self._long = False
        return end + ended

    def _keep_string(self, part: bytes) -> None:
        """Keep a part of a string, unless the string gets too long: then nothing of it."""
        self._long = self._long or len(self._kept) - self._string + len(part) > LONG
        if self._long:
            del self._kept[self._string :]
        else:
            self._kept += part
