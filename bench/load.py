# SPDX-License-Identifier: Apache-2.0
"""
Load: requests a second, latency, and the CPU time of one request, from the scheduler.

All variants of a scenario stay up and take turns in each round, each time in another order, so that
what else the machine does hits them alike. Latency is what the load generator saw, from the moment
at which it wrote a request.
"""

from __future__ import annotations

import shlex
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bench import h2load, losses, tools
from bench.envoy import cpu_seconds, resident_mib, shown
from bench.figures import Round, percentile
from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.envoy import Envoy
    from bench.running import Bench
    from bench.scenarios import Scenario

WARM_UP = 1000


def commands(scenario: Scenario, seconds: float) -> list[str]:
    """Give what is run in each round, for the report."""
    options = h2load.load_options(scenario, seconds)
    return [
        shown(scenario.workers),
        shlex.join([*h2load.command(scenario, "PORT", *options, "--log-file=LOG")]),
    ]


def measure(
    bench: Bench,
    subjects: dict[str, tuple[Scenario, str]],
    *,
    rounds: int,
    seconds: float,
    step: Callable[[str], None],
) -> tuple[dict[str, list[Round]], dict[str, int]]:
    """
    Put load on each subject (a scenario and a variant) in each round; *step* is told before each.

    Give the rounds of each, and how many entries were lost by those that can tell.
    """
    found: dict[str, list[Round]] = {name: [] for name in subjects}
    names = list(subjects)
    with all_up(bench, subjects) as envoys, bench.folder("load") as folder:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                step(f"{name}, round {number + 1}")
                scenario = subjects[name][0]
                found[name].append(_once(scenario, envoys[name], seconds, folder / "log"))
        lost = {}
        for name, envoy in envoys.items():
            lacking = losses.of(envoy, sum(one.done for one in found[name]))
            if lacking is not None:
                lost[name] = lacking
    return found, lost


@contextmanager
def all_up(
    bench: Bench, subjects: dict[str, tuple[Scenario, str]], warm_up: int = WARM_UP
) -> Iterator[dict[str, Envoy]]:
    """Start an Envoy for each subject, and send it some requests."""
    with ExitStack() as stack:
        envoys = {}
        for name, (scenario, variant) in subjects.items():
            folder = stack.enter_context(bench.folder(f"load-{variant}"))
            setup = bench.setup(variant, folder)
            envoys[name] = stack.enter_context(bench.envoy(scenario, setup, folder))
            if warm_up:
                h2load.send(scenario, envoys[name].port, min(warm_up, scenario.requests))
        yield envoys


def _once(scenario: Scenario, envoy: Envoy, seconds: float, log: Path) -> Round:
    log.unlink(missing_ok=True)
    wanted = [*h2load.load_options(scenario, seconds), f"--log-file={log}"]
    before, server_before = cpu_seconds(envoy.pid), _server_cpu(envoy)
    outcome = h2load.parse(tools.run(h2load.command(scenario, envoy.port, *wanted)))
    after, server_after = cpu_seconds(envoy.pid), _server_cpu(envoy)
    if outcome.done == 0 or outcome.bad:
        raise Trouble(f"under load {outcome.done} requests were answered, {outcome.bad} badly")
    ordered = h2load.latencies(log)
    return Round(
        done=outcome.done,
        bad=outcome.bad,
        rate=outcome.done / seconds,
        cpu_us=(after - before) / outcome.done * 1e6,
        server_cpu_us=(server_after - server_before) / outcome.done * 1e6,
        p50_us=percentile(ordered, 0.5),
        p99_us=percentile(ordered, 0.99),
        p999_us=percentile(ordered, 0.999),
        resident_mib=resident_mib(envoy.pid),
    )


def _server_cpu(envoy: Envoy) -> float:
    return 0.0 if envoy.server_pid is None else cpu_seconds(envoy.server_pid)
