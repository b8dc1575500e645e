# SPDX-License-Identifier: Apache-2.0
"""
Entries as people read them: rows of a table that fits the terminal, headers below when wanted.

What a client sent cannot reach the terminal as a control sequence, nor break out of its column.
Everything here is text; ``_follow`` prints it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from envoy_pyfilter._cells import fit, folded, safe, width

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

Entry = dict[str, Any]

_RESET, _DIM, _BOLD = "\x1b[0m", "\x1b[2m", "\x1b[1m"
_KIND_COLOURS = {"request": "\x1b[36m", "denied": "\x1b[31m", "response": "\x1b[32m"}
_STATUS_COLOURS = {500: "\x1b[31m", 400: "\x1b[33m"}
_VERDICTS = {"request": "FORWARDED", "denied": "DENIED"}
_NANOSECONDS = 1_000_000_000
_TOKEN_WORDS = {"input": "in", "prompt": "in", "output": "out", "completion": "out"}
_TOKEN_NOTES = {"input_tokens": "in", "output_tokens": "out", "total_tokens": "total"}
_TOKEN_ORDER = ("in", "out", "total")
_NO_TIME = "--:--:--.---"
_NUMBER = re.compile(r"\d{1,15}")
_NOTABLE = ("response_flags", "failed_hook", "denied", "notes", "rejected", "missing")
_INDENT = 2  # columns that headers stand in from their row
_LONG = 10_000  # milliseconds from which on seconds are told


# --- what stands in a row ---


def _time(entry: Entry) -> str:
    nanoseconds = entry.get("time_unix_nano")
    if not isinstance(nanoseconds, int):
        return _NO_TIME
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    try:
        moment = datetime.fromtimestamp(seconds, tz=timezone.utc).astimezone()
    except (ValueError, OverflowError, OSError):  # no year that a calendar has
        return _NO_TIME
    return f"{moment:%H:%M:%S}.{rest // 1_000_000:03}"


def _verdict(entry: Entry) -> str:
    kind = entry.get("kind")
    return _VERDICTS.get(kind, kind) if isinstance(kind, str) else "?"


def _latency(entry: Entry) -> str:
    microseconds = entry.get("duration_us")
    if not isinstance(microseconds, int) or microseconds < 0:
        return ""
    milliseconds = microseconds / 1000
    return f"{milliseconds:.1f} ms" if milliseconds < _LONG else f"{milliseconds / 1000:.1f} s"


def _pairs(entry: Entry, key: str) -> Iterator[tuple[str, Any]]:
    """Give the headers of a map, one by one."""
    headers = entry.get(key)
    for name, value in headers.items() if isinstance(headers, dict) else ():
        yield from ((name, one) for one in (value if isinstance(value, list) else [value]))


def _side(entry: Entry) -> tuple[str, str]:
    """Name the maps of the entry's own side."""
    side = "response" if entry.get("kind") == "response" else "request"
    return f"{side}_headers", f"{side}_trailers"


def tokens(entry: Entry) -> str:
    """
    Give the numbers of tokens that notes and headers tell of: ``in 11 out 6 total 17``.

    Those are the notes of ``llm_usage``, and each header of the entry's own side whose name has
    ``token`` and whose value is a number; what is counted comes from the name:
    ``x-ai-input-tokens`` is ``in``.
    """
    found = {
        text: str(_note(entry, key))
        for key, text in _TOKEN_NOTES.items()
        if type(_note(entry, key)) is int
    }
    for key in _side(entry):
        for name, value in _pairs(entry, key):
            if "token" in name.lower() and isinstance(value, str) and _NUMBER.fullmatch(value):
                found.setdefault(_counted(name.lower()), value)
    order = [one for one in _TOKEN_ORDER if one in found]
    order += [one for one in found if one not in _TOKEN_ORDER]
    return " ".join(f"{one} {found[one]}".strip() for one in order)


def model(entry: Entry) -> str:
    """Give the model that the notes of ``llm_usage`` or a header tell of."""
    pairs = dict(_pairs(entry, _side(entry)[0]))
    found = next((one for one in (_note(entry, "model"), pairs.get("x-ai-model")) if one), "")
    return found if isinstance(found, str) else ""


def _note(entry: Entry, key: str) -> Any:
    notes = entry.get("notes")
    return notes.get(key) if isinstance(notes, dict) else None


def _counted(name: str) -> str:
    words = re.split(r"[-_.]", name)
    for word in words:
        if word in _TOKEN_WORDS:
            return _TOKEN_WORDS[word]
    if "total" in words:
        return "total"
    return "-".join(word for word in words if word != "x" and "token" not in word)


def _what(entry: Entry) -> str:
    """Give the path, or what an entry of another protocol than HTTP has."""
    for key in ("path", "l7", "kafka"):
        if key in entry:
            return safe(entry[key])
    return ""


_CELLS: dict[str, Callable[[Entry], Any]] = {
    "time": _time,
    "verdict": _verdict,
    "method": lambda entry: entry.get("method", ""),
    "host": lambda entry: entry.get("authority", ""),
    "path": _what,
    "status": lambda entry: entry.get("response_code", ""),
    "latency": _latency,
    "model": model,
    "tokens": tokens,
}


# --- how wide it is ---


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, the columns of the terminal that it needs, and how many it would like."""

    name: str
    least: int
    most: int
    share: int = 0  # of what is left, in parts


_COLUMNS = [
    Column("time", 12, 12),
    Column("verdict", 9, 9),
    Column("method", 7, 7),
    Column("host", 8, 30, 2),
    Column("path", 12, 1000, 3),
    Column("status", 6, 6),
    Column("latency", 9, 9),
    Column("model", 8, 28, 1),
    Column("tokens", 8, 28, 4),
]
_WHEN_NEEDED = ("model", "tokens")
_FIRST_TO_GO = ("host", "model", "tokens", "latency", "method", "time", "status", "verdict")


def layout(columns: int, needed: Collection[str]) -> dict[str, int]:
    """
    Say how wide each column of the table is on a terminal of so many columns.

    *needed*: which of those are there that not every table has. On a narrow terminal some columns
    are left out; the path is there always.
    """
    chosen = [one for one in _COLUMNS if one.name not in _WHEN_NEEDED or one.name in needed]
    for name in _FIRST_TO_GO:
        if _needed(chosen) > columns:
            chosen = [one for one in chosen if one.name != name]
    left = columns - _needed(chosen)
    widths = {one.name: one.least for one in chosen}
    parts = sum(one.share for one in chosen)
    for one in chosen:
        widths[one.name] = min(one.most, one.least + left * one.share // parts)
    spare = columns - sum(widths.values()) - len(chosen) + 1
    widths["path"] = max(1, widths["path"] + spare)
    return widths


def _fitted(name: str, text: str, columns: int) -> str:
    """Fit a cell into its column; times stand at its right, so that they can be compared."""
    return fit(text.rjust(columns) if name == "latency" else text, columns)


def _needed(chosen: list[Column]) -> int:
    return sum(one.least for one in chosen) + len(chosen) - 1


class Table:
    """Turns entries into rows, with a header row at first, after a resize, and on each screen."""

    def __init__(self, *, colour: bool, headers: bool) -> None:
        """*colour*: with escape sequences of our own. *headers*: each entry's, below its row."""
        self._colour = colour
        self._headers = headers
        self._needed: set[str] = set()
        self._widths: dict[str, int] = {}
        self._lines = 0  # since the header row

    def rows(self, entry: Entry, columns: int, lines: int) -> list[str]:
        """Give the lines to print for an entry, on a terminal of so many columns and lines."""
        self._needed |= {name for name in _WHEN_NEEDED if _CELLS[name](entry)}
        widths = layout(columns, self._needed)
        out = []
        if widths != self._widths or self._lines >= lines - 1:
            self._widths = widths
            out.append(self._header())
            self._lines = 0
        out.append(self._row(entry))
        out += self._below(entry, columns) if self._headers else []
        self._lines += len(out)
        return out

    def _header(self) -> str:
        cells = [_fitted(name, name.upper(), wide) for name, wide in self._widths.items()]
        return self._paint(" ".join(cells).rstrip(), _BOLD)

    def _row(self, entry: Entry) -> str:
        cells = {
            name: _fitted(name, safe(_CELLS[name](entry)), wide)
            for name, wide in self._widths.items()
        }
        for name in ("verdict", "status"):
            if name in cells:
                cells[name] = self._paint(cells[name], _colour(entry))
        if "time" in cells:
            cells["time"] = self._paint(cells["time"], _DIM)
        return " ".join(cells.values()).rstrip()

    def _below(self, entry: Entry, columns: int) -> list[str]:
        room = max(1, columns - _INDENT)
        return [self._paint(" " * _INDENT + line, _DIM) for line in _packed(_rest(entry), room)]

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour and text.strip() else text


def _rest(entry: Entry) -> Iterator[str]:
    """Give the headers of the entry's own side, and what is out of the ordinary."""
    for key in _side(entry):
        for name, value in _pairs(entry, key):
            yield f"{safe(name)}: {safe(value)}"
    for key in _NOTABLE:
        if entry.get(key) not in (None, "", "-"):
            yield f"[{key}: {safe(entry[key])}]"


def _packed(texts: Iterator[str], columns: int) -> Iterator[str]:
    """Put texts beside each other as long as they fit; one that never does is folded."""
    line = ""
    for text in texts:
        joined = f"{line}  {text}" if line else text
        if width(joined) <= columns:
            line = joined
            continue
        if line:
            yield line
        *whole, line = folded(text, columns)
        yield from whole
    if line:
        yield line


def _colour(entry: Entry) -> str:
    code = entry.get("response_code")
    for least, colour in _STATUS_COLOURS.items():
        if isinstance(code, int) and code >= least:
            return colour
    kind = entry.get("kind")
    return _KIND_COLOURS.get(kind, "") if isinstance(kind, str) else ""
