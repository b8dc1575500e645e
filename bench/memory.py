# SPDX-License-Identifier: Apache-2.0
"""
Memory: the resident memory of one Envoy before the first request, when warm, and over many more.

What grows with the number of requests shows between the quarters; allocators and page tables settle
while it warms up.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench import h2load
from bench.envoy import resident_mib, shown
from bench.figures import Resident
from bench.load import all_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.running import Bench
    from bench.scenarios import Scenario

WARM_UP, QUARTERS = 50_000, 4
STEPS = 2 + QUARTERS


def commands(scenario: Scenario, requests: dict[str, int]) -> list[str]:
    """Give what is run for each variant, for the report."""
    numbers = dict.fromkeys([WARM_UP, *(number // QUARTERS for number in requests.values())])
    return [
        shown(scenario.workers),
        *(
            shlex.join(h2load.command(scenario, "PORT", *h2load.all_options(scenario, number)))
            for number in numbers
        ),
        "grep VmRSS /proc/PID/status",
    ]


def measure(
    bench: Bench,
    scenario: Scenario,
    name: str,
    requests: int,
    step: Callable[[str], None],
) -> list[Resident]:
    """Send the requests through one variant; *step* is told before each part."""
    step(f"{name}, memory at the start")
    with all_up(bench, {name: (scenario, name)}, warm_up=0) as envoys:
        envoy = envoys[name]
        found = [Resident(-1, resident_mib(envoy.pid))]
        for quarter in range(QUARTERS + 1):
            step(f"{name}, memory, quarter {quarter}" if quarter else f"{name}, warming up")
            number = requests // QUARTERS if quarter else WARM_UP
            h2load.send_all(scenario, envoy.port, number)
            found.append(Resident(quarter * number if quarter else 0, resident_mib(envoy.pid)))
    return found
