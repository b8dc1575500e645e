# SPDX-License-Identifier: Apache-2.0
"""Text in columns of a terminal: what is not printable is escaped, what is too wide is cut."""

from __future__ import annotations

import json
import unicodedata


def safe(value: object) -> str:
    """Give *value* as text on one line: what is not printable is written as an escape."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(ord(one)) for one in text)


def _escape(code: int) -> str:
    if code < 1 << 8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _cells(one: str) -> int:
    """Say how many columns of a terminal a character takes."""
    if unicodedata.combining(one) or unicodedata.category(one) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def width(text: str) -> int:
    """Say how many columns of a terminal a text without control characters takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def fit(text: str, columns: int) -> str:
    """Give *text* in exactly so many columns: filled with spaces, or cut with an ellipsis."""
    taken = width(text)
    if taken <= columns:
        return text + " " * (columns - taken)
    kept = ""
    left = columns - 1
    for one in text:
        left -= _cells(one)
        if left < 0:
            break
        kept += one
    return kept + "…" + " " * (columns - 1 - width(kept))


def folded(text: str, columns: int) -> list[str]:
    """Give *text* in lines of at most so many columns."""
    lines = [""]
    left = columns
    for one in text:
        left -= _cells(one)
        if left < 0:
            lines.append("")
            left = columns - _cells(one)
        lines[-1] += one
    return lines
