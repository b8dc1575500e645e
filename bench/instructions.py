# SPDX-License-Identifier: Apache-2.0
"""
Instructions of one request: the whole Envoy process under callgrind.

300 requests to warm up, then three times 2,000 on one connection (a scenario may say that it is
fewer), of which the cheapest counts: what Envoy does by the clock only adds. User space only:
system calls and caches are not in it.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bench import h2load, tools
from bench.envoy import shown
from bench.trouble import Trouble

if TYPE_CHECKING:
    from bench.running import Bench
    from bench.scenarios import Scenario

WARM_UP, TIMES = 300, 3
TOOLS = ("valgrind", "callgrind_control", "h2load")


def commands(scenario: Scenario) -> list[str]:
    """Give what is run for one count, for the report."""
    warm, counted = (
        shlex.join(h2load.command(scenario, "PORT", *h2load.number_options(number)))
        for number in (_warm_up(scenario), scenario.requests)
    )
    return [
        shown(1, *_under("CALLGRIND")),
        warm,
        "callgrind_control -i on PID",
        *[counted, "callgrind_control -d PID"] * TIMES,
    ]


def count(bench: Bench, scenario: Scenario, name: str) -> float:
    """Give the instructions of one request through a variant."""
    return min(counts(bench, scenario, name))


def counts(bench: Bench, scenario: Scenario, name: str) -> list[float]:
    """Give them for each time that they were counted."""
    with bench.folder(f"count-{name}") as folder:
        return [total(dump) / scenario.requests for dump in dumps(bench, scenario, name, folder)]


def dumps(bench: Bench, scenario: Scenario, name: str, folder: Path) -> list[Path]:
    """Send the requests through Envoy under callgrind, and give the file of each time."""
    setup = bench.setup(name, folder)
    out = folder / "callgrind.out"
    with bench.envoy(scenario, setup, folder, under=_under(out)) as envoy:
        h2load.send(scenario, envoy.port, _warm_up(scenario))
        tools.run(["callgrind_control", "-i", "on", str(envoy.pid)])
        for _ in range(TIMES):
            h2load.send(scenario, envoy.port, scenario.requests)
            tools.run(["callgrind_control", "-d", str(envoy.pid)])
    # A dump that was asked for has a number; the one without is of the end.
    return [Path(f"{out}.{number + 1}") for number in range(TIMES)]


def _warm_up(scenario: Scenario) -> int:
    return min(WARM_UP, scenario.requests)


def _under(out: Path | str) -> tuple[str, ...]:
    return ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}")


def total(dump: Path) -> int:
    """Give the instructions that one of callgrind's files tells of."""
    found = re.search(r"^totals: (\d+)", dump.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise Trouble(f"callgrind wrote no totals into {dump.name}")
    return int(found[1])
