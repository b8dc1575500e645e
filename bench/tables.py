# SPDX-License-Identifier: Apache-2.0
"""Tables of Markdown, and how figures stand in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.figures import Spread

LEAST_PART = 0.001
MOST_DIGITS = 6


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a Markdown table; all columns but the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float, digits: int = 0) -> str:
    """Give a number with commas between thousands."""
    return f"{value:,.{digits}f}"


def ranged(value: Spread, digits: int = 0) -> str:
    """Give a median with its lowest and highest."""
    low, high = number(value.low, digits), number(value.high, digits)
    return f"{number(value.median, digits)} ({low} to {high})"


def part(value: float) -> str:
    """Give a part of a whole in percent."""
    return f"{value:.1%}" if value == 0 or value >= LEAST_PART else f"less than {LEAST_PART:.1%}"


def near(value: float, limit: float) -> str:
    """Give a ratio with two digits; with more where it looks like a limit that it is not."""
    for digits in range(2, MOST_DIGITS):
        shown = f"{value:.{digits}f}"
        if value == limit or float(shown) != limit:
            break
    return shown


def label(name: str) -> str:
    """Give a variant with what it is."""
    about = (VARIANTS[name].__doc__ or "").strip().splitlines()[0] if name in VARIANTS else ""
    return f"`{name}`: {about.rstrip('.')}"
