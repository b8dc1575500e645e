# SPDX-License-Identifier: Apache-2.0
"""
Wake-ups of an idle Envoy: how often its threads went to sleep, as the kernel counts it.

A thread that sleeps, and went to sleep as often as before, was not woken. Counted for some seconds
twice: before the first request, and when requests have gone by.
"""

from __future__ import annotations

import re
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench import h2load
from bench.envoy import shown
from bench.figures import Wakes
from bench.load import all_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.running import Bench
    from bench.scenarios import Scenario

SETTLE, SECONDS, REQUESTS = 2.0, 5.0, 1000
PHASES = ("before", "after")
_FIELD = re.compile(r"^(Name|voluntary_ctxt_switches):\s*(.*)$", re.MULTILINE)


def commands(scenario: Scenario) -> list[str]:
    """Give what is run, for the report: the count is made before the requests, and after."""
    sent = shlex.join(h2load.command(scenario, "PORT", *h2load.number_options(REQUESTS)))
    return [shown(scenario.workers), "grep voluntary_ctxt_switches /proc/PID/task/*/status", sent]


def measure(
    bench: Bench, scenario: Scenario, variants: list[str], step: Callable[[str], None]
) -> dict[str, dict[str, Wakes]]:
    """Count for all variants at once; *step* is told before each phase."""
    found: dict[str, dict[str, Wakes]] = {name: {} for name in variants}
    subjects = {name: (scenario, name) for name in variants}
    with all_up(bench, subjects, warm_up=0) as envoys:
        for phase in PHASES:
            step(f"wake-ups {phase} the first requests")
            if phase == "after":
                for envoy in envoys.values():
                    h2load.send(scenario, envoy.port, REQUESTS)
            time.sleep(SETTLE)
            begin = {name: sleeps(envoy.pid) for name, envoy in envoys.items()}
            time.sleep(SECONDS)
            for name, envoy in envoys.items():
                found[name][phase] = between(begin[name], sleeps(envoy.pid), SECONDS)
    return found


def sleeps(pid: int) -> dict[int, tuple[str, int]]:
    """Give the name of each thread of a process, and how often it went to sleep."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
            fields = dict(_FIELD.findall((task / "status").read_text(encoding="utf-8")))
            found[int(task.name)] = (fields["Name"], int(fields["voluntary_ctxt_switches"]))
    return found


def between(
    begin: dict[int, tuple[str, int]], end: dict[int, tuple[str, int]], seconds: float
) -> Wakes:
    """Give what the threads did in between; one that began counts from 0."""
    by_thread: dict[str, int] = {}
    for thread, (name, count) in end.items():
        more = count - begin.get(thread, (name, 0))[1]
        by_thread[name] = by_thread.get(name, 0) + more
    return Wakes(seconds, dict(sorted(by_thread.items())))
