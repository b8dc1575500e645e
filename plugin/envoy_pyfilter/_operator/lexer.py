# SPDX-License-Identifier: Apache-2.0
"""
Envoy's formats cut into tokens, as Envoy's own scanner does, in time linear in their length.

``%`` NAME [``(`` ARGUMENT ``)``] [``:`` DIGITS] ``%``, where the argument ends at the first ``)``
after which the rest fits, and holds no newline; ``%%`` is a percent sign where a command could
begin. A percent sign that begins neither is an error to Envoy and a ``Stray`` here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

# Neither can match across a percent sign, so no stretch of a text is matched twice.
_NAME: Final = re.compile(r"[A-Z0-9_]+")
_END: Final = re.compile(r"(?::([0-9]+))?%")


@dataclass(frozen=True, slots=True)
class Literal:
    """Text as it stands; ``%%`` in it is a percent sign."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stray:
    """A percent sign that begins no command."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command; *argument* is None without parentheses, *length* without ``:DIGITS``."""

    start: int
    end: int
    name: str
    argument: str | None
    length: str | None


Token: TypeAlias = Literal | Stray | Command


class Finder:
    """The places of *what* in a text, asked for from left to right: each stretch is read once."""

    def __init__(self, text: str, what: str) -> None:
        """Find nothing yet."""
        self._text = text
        self._what = what
        self._from = 0
        self._at = -1

    def next(self, start: int) -> int:
        """Give the first place from *start* on, or the text's length."""
        if not self._from <= start <= self._at:
            found = self._text.find(self._what, start)
            self._from, self._at = start, len(self._text) if found < 0 else found
        return self._at


class _Closings:
    """The places where an argument can end: a ``)`` with what may follow it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._brackets = Finder(text, ")")
        self._at = -1
        self._match: re.Match[str] | None = None

    def next(self, start: int) -> tuple[int, re.Match[str] | None]:
        """Give the first such bracket from *start* on, with the match of what follows it."""
        if self._at < start:
            at = self._brackets.next(start)
            while (match := _END.match(self._text, at + 1)) is None and at < len(self._text):
                at = self._brackets.next(at + 1)
            self._at, self._match = at, match
        return self._at, self._match


def tokens(text: str) -> Iterator[Token]:
    """Cut *text*; the tokens cover all of it."""
    percents, closings, newlines = Finder(text, "%"), _Closings(text), Finder(text, "\n")
    start = at = 0
    while (at := percents.next(at)) < len(text):
        if text.startswith("%%", at):
            at += 2
            continue
        if start < at:
            yield Literal(start, at)
        token: Token = _command(text, at, closings, newlines) or Stray(at, at + 1)
        yield token
        start = at = token.end
    if start < len(text):
        yield Literal(start, len(text))


def _command(text: str, start: int, closings: _Closings, newlines: Finder) -> Command | None:
    name = _NAME.match(text, start + 1)
    if name is None:
        return None
    if not text.startswith("(", name.end()):
        end = _END.match(text, name.end())
        return end and Command(start, end.end(), name[0], None, end[1])
    inner = name.end() + 1
    close, end = closings.next(inner)
    if end is None or newlines.next(inner) < close:
        return None
    return Command(start, end.end(), name[0], text[inner:close], end[1])
