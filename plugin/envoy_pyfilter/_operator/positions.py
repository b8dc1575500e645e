# SPDX-License-Identifier: Apache-2.0
"""Where in a file a notice about a format belongs."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import yaml

    from envoy_pyfilter._operator.result import Notice

_PERCENT: Final = re.compile("%")


class _Lines:
    """A text's lines, for places as line and column, both from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1

    def at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column - 1


class Positions:
    """The places of a file's scalars."""

    def __init__(self, text: str) -> None:
        """*text*: the file."""
        self._text = text
        self._lines = _Lines(text)
        self._scalars: dict[int, tuple[_Lines, dict[int, int]]] = {}

    def of(self, node: yaml.ScalarNode, notice: Notice) -> tuple[int, int]:
        """
        Give line and column in the file of a notice about a scalar's value.

        The file may fold, indent and escape the value, so what a notice is about, a percent sign,
        is found by its number among them; that of the scalar itself where even they are escaped.
        """
        start = node.start_mark.index
        if start not in self._scalars:
            self._scalars[start] = self._read(node)
        lines, percents = self._scalars[start]
        return self._lines.place(percents.get(lines.at(notice.line, notice.column), start))

    def _read(self, node: yaml.ScalarNode) -> tuple[_Lines, dict[int, int]]:
        value, start, end = str(node.value), node.start_mark.index, node.end_mark.index
        here = [match.start() for match in _PERCENT.finditer(value)]
        there = [match.start() for match in _PERCENT.finditer(self._text, start, end)]
        found = dict(zip(here, there, strict=True)) if len(here) == len(there) else {}
        return _Lines(value), found
