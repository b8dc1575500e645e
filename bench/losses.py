# SPDX-License-Identifier: Apache-2.0
"""Whether a variant went on doing its work under load: entries dropped, or not written."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from bench.trouble import Trouble, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from bench.envoy import Envoy

PATIENCE = 15  # seconds; Envoy's own file log takes 10
_BLOCK = 1 << 20
_DROPPED = re.compile(
    r"(?:\.dropped_(?:ring_full|too_large|queue_full|sink)|\.logs_dropped): (\d+)$", re.MULTILINE
)


def of(envoy: Envoy, answered: int) -> int | None:
    """Give how many entries of *answered* requests are lacking; None when nothing can tell."""
    counted = dropped(envoy.get("stats?filter=dropped"))
    path = envoy.whole_lines
    if path is None:
        return counted
    with suppress(Trouble):  # it is told as a loss
        wait_for(lambda: lines(path) >= answered, "the lines", PATIENCE)
    return max(0, answered - lines(path))


def dropped(stats: str) -> int | None:
    """Read Envoy's counters of dropped entries, ours and its own; None when there is none."""
    found = _DROPPED.findall(stats)
    return sum(map(int, found)) if found else None


def lines(path: Path) -> int:
    """Count the lines of a file, which may be large."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
