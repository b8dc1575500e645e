# SPDX-License-Identifier: Apache-2.0
"""What resolving a format gives: its text, and what has to be said of it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning; line and column (of characters, from 1) are those of the format's own text."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.text}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A format without operators."""

    text: str
    notices: tuple[Notice, ...] = ()


class Notices:
    """The warnings of one format."""

    def __init__(self, text: str) -> None:
        """*text*: the format."""
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        self._found: list[Notice] = []

    def add(self, at: int, text: str) -> None:
        """Warn of what begins with the character *at*."""
        line = bisect_right(self._starts, at)
        self._found.append(Notice(line, at - self._starts[line - 1] + 1, text))

    def all(self) -> tuple[Notice, ...]:
        """Give them in the order of the text."""
        return tuple(self._found)
