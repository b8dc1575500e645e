# SPDX-License-Identifier: Apache-2.0
"""
The profiles ``eg-v1`` and ``eg-v3``: what two commits of Envoy Gateway made of a format, exactly.

The change was closed and never merged. Both replaced what a regular expression found; it knew
nothing of Envoy's own notation, so much of what they wrote is refused by Envoy, and stays so here.

``eg-v1``   ``%EG_EXT_FILTER_STATE(`` NAME ``:`` ATTRIBUTE [``:`` ANYTHING] ``)%``
``eg-v3``   ``%EG_EXT_PROC_FILTER_STATE(`` NAME ``:`` ANYTHING ``)%``

NAME has no colon, and in eg-v3 no ``)``; ATTRIBUTE has neither, ANYTHING has no ``)``. Each part
ends with the first character that it cannot have, so there is nothing to try twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from envoy_pyfilter._operator.lexer import Finder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envoy_pyfilter._operator.aliases import Alias

V1: Final = "%EG_EXT_FILTER_STATE("
V3: Final = "%EG_EXT_PROC_FILTER_STATE("


@dataclass(frozen=True, slots=True)
class _Found:
    """An operator; *tail* begins with the colon after the name."""

    name: str
    tail: str
    end: int


class _Scan:
    """A text with the places of the two characters that matter."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.colons = Finder(text, ":")
        self.brackets = Finder(text, ")")

    def at(self, start: int, *, bracket_ends_name: bool, attribute: bool) -> _Found | None:
        """Read what stands behind the operator's own bracket."""
        colon, close = self.colons.next(start), self.brackets.next(start)
        if colon in (start, len(self.text)) or (bracket_ends_name and close < colon):
            return None
        close = self.brackets.next(colon + 1)
        if attribute and self.text[colon + 1 : colon + 2] in (":", ")"):
            return None
        if not self.text.startswith(")%", close):
            return None
        return _Found(self.text[start:colon], self.text[colon:close], close + 2)


def v1(text: str, aliases: Iterable[Alias]) -> str:
    """Resolve as the published design document's commit did."""
    return _replaced(text, V1, _first(aliases), lambda _: "-")


def v3(text: str, aliases: Iterable[Alias]) -> str:
    """Resolve as the last commit of the change did."""
    return _replaced(text, V3, _first(aliases), lambda name: f"[EG_UNRESOLVED:{name}]")


def _first(aliases: Iterable[Alias]) -> dict[str, str]:
    """Give the key of each alias; of two with one name the first counts, and only ext_proc does."""
    found: dict[str, str] = {}
    for alias in aliases:
        if alias.kind == "ext_proc":
            found.setdefault(alias.name, alias.filter)
    return found


def _replaced(
    text: str, opening: str, keys: Mapping[str, str], unknown: Callable[[str], str]
) -> str:
    openings, scan = Finder(text, opening), _Scan(text)
    pieces: list[str] = []
    written = at = 0
    while (at := openings.next(at)) < len(text):
        found = scan.at(at + len(opening), bracket_ends_name=opening == V3, attribute=opening == V1)
        if found is None:
            at += 1
            continue
        key = keys.get(found.name)
        new = unknown(found.name) if key is None else f"%FILTER_STATE({key}{found.tail})%"
        pieces += [text[written:at], new]
        written = at = found.end
    return "".join([*pieces, text[written:]])
