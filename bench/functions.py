# SPDX-License-Identifier: Apache-2.0
"""Where a variant's added instructions are: by shared object and by function, bare taken off."""

from __future__ import annotations

import bisect
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import instructions, tools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.running import Bench
    from bench.scenarios import Scenario

_Key = TypeVar("_Key")
Costs = dict[tuple[str, str], float]
"""Instructions per request, by function and shared object."""

_ROW = re.compile(r"^ *([\d,]+) \( *[\d.]+%\)  (.*?):(\S+)(?: \[(.*)\])?$", re.MULTILINE)
_OURS = "libenvoy_pyfilter.so"


def added(bench: Bench, scenario: Scenario, name: str, bare: Costs, lines: int) -> Iterator[str]:
    """Count a variant, and yield what it adds to *bare*: by object, then the first functions."""
    more = minus(costs_of(bench, scenario, name), bare)
    yield f"{name}: {sum(more.values()):,.0f} instructions added per request"
    objects: dict[str, float] = {}
    for (_, where), cost in more.items():
        objects[where] = objects.get(where, 0) + cost
    yield from (f"{cost:10,.0f}  {where}" for where, cost in _most(objects, len(objects)))
    yield "of which, by function"
    for (function, where), cost in _most(more, lines):
        yield f"{cost:10,.0f}  {function} [{where}]"


def parse(printed: str, requests: int) -> Costs:
    """Read callgrind_annotate's list; parts of a function (inlined, recursive) are put together."""
    rows = [
        (re.sub(r"'\d+$", "", function), Path(where).name, int(number.replace(",", "")))
        for number, _, function, where in _ROW.findall(printed)
    ]
    known = {function: where for function, where, _ in rows if where}
    costs: Costs = {}
    for function, where, number in rows:
        # An inlined part has no object: it is its function's.
        key = (function, where or known.get(function, "?"))
        costs[key] = costs.get(key, 0) + number / requests
    return costs


def minus(costs: Costs, bare: Costs) -> Costs:
    """Give what *costs* has more than *bare*; less is negative."""
    keys = dict.fromkeys([*costs, *bare])
    return {key: costs.get(key, 0) - bare.get(key, 0) for key in keys}


def named(costs: Costs, symbols: list[tuple[int, str]]) -> Costs:
    """Give our own functions their names: what is installed is stripped, and has addresses."""
    found: Costs = {}
    addresses = [address for address, _ in symbols]
    for (function, where), cost in costs.items():
        name = function
        if where == _OURS and function.startswith("0x") and symbols:
            place = bisect.bisect(addresses, int(function, 16)) - 1
            name = symbols[place][1] if place >= 0 else function
        found[(name, where)] = found.get((name, where), 0) + cost
    return found


def symbols() -> list[tuple[int, str]]:
    """Give addresses and names of our functions, from the build folder; none without one."""
    builds = sorted(tools.ROOT.glob(f"build/*/{_OURS}"), key=lambda path: path.stat().st_mtime)
    if not builds:
        return []
    tools.need("nm")
    printed = tools.run(["nm", "-n", "--defined-only", str(builds[-1])])
    return [
        (int(address, 16), name)
        for address, name in re.findall(r"^([0-9a-f]+) [tT] (\S+)$", printed, re.MULTILINE)
    ]


def costs_of(bench: Bench, scenario: Scenario, name: str) -> Costs:
    """Count a variant, and give what each function costs."""
    with bench.folder(f"functions-{name}") as folder:
        dump = min(instructions.dumps(bench, scenario, name, folder), key=instructions.total)
        printed = tools.run(["callgrind_annotate", "--threshold=100", "--auto=no", str(dump)])
    return named(parse(printed, scenario.requests), symbols())


def _most(costs: dict[_Key, float], count: int) -> list[tuple[_Key, float]]:
    return sorted(costs.items(), key=lambda item: -item[1])[:count]
