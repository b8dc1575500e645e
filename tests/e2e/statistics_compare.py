# SPDX-License-Identifier: Apache-2.0
"""
Two sides of a scene, value by value, and the differences that are known.

Of latencies and bytes only the presence is compared; ``check_plausible`` looks at their values,
with Envoy's own access log as the witness.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .statistics_acts import BODIES, PHASES
from .statistics_lines import ALWAYS, COUNTERS, DESTINATION, Values, prefix
from .statistics_play import Told

Found = dict[str, tuple[object, object]]  # by place: what native tells, what ours tells

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"
_HEADING = "## Differences from native ext_proc"
_BYTES = ("bytes_sent", "bytes_received")
_COMPARED = [name for name in ALWAYS if name not in _BYTES]


def differences(native: Told, ours: Told, asked: Mapping[str, str]) -> Found:
    """Give what differs; *asked* is the destination of each side's calls."""
    left, right = _told(native, asked["native"]), _told(ours, asked["ours"])
    places = left.keys() | right.keys()
    if left["object"] != right["object"]:
        places = left.keys() & right.keys()  # one of them has no values at all
    return {
        place: (left.get(place), right.get(place))
        for place in sorted(places)
        if left.get(place) != right.get(place)
    }


def _told(told: Told, asked: str) -> Values:
    typed = told.line["typed"]
    values: Values = {"status": told.status, "body": told.body}
    values |= {f"counter {name}": told.counters[name] for name in COUNTERS}
    values["object"] = typed is not None
    if typed is None:
        return values
    for phase in PHASES:
        if phase in BODIES and f"{prefix(phase)}_call_count" in typed:
            calls = typed[f"{prefix(phase)}_call_count"]
            values[phase] = (calls, typed[f"{prefix(phase)}_last_call_status"])
        elif f"{prefix(phase)}_call_status" in typed:
            values[phase] = typed[f"{prefix(phase)}_call_status"]
    values |= {name: typed[name] for name in _COMPARED}
    values |= {name: typed[name] > 0 for name in _BYTES}
    if DESTINATION in typed:
        values[DESTINATION] = "asked" if typed[DESTINATION] == asked else typed[DESTINATION]
    return values


def check_plausible(told: Told) -> None:
    """Insist that calls took no longer than the stream, and were handed the request's body."""
    typed, line = told.line["typed"], told.line
    start, end = int(line["start_time_unix_nano"]), int(line["emit_time_unix_nano"])
    times = {name: value for name, value in typed.items() if name.endswith("latency_us")}
    for name, value in times.items():
        assert 0 <= value <= (end - start) / 1000 + 1, name
        if name.endswith("max_latency_us"):
            assert value <= times[name.replace("_max_", "_total_")], name
    if "request_body_call_count" in typed:
        assert typed["bytes_sent"] >= line["bytes_received"]


def documented() -> list[str]:
    """Give the keys of the documentation's table of differences."""
    _, _, rest = DOCUMENT.read_text().partition(f"\n{_HEADING}\n")
    section = rest.partition("\n## ")[0]
    return re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
