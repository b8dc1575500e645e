# SPDX-License-Identifier: Apache-2.0
"""The report: one Markdown file of tables, from what a run found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench import idle, verdicts
from bench.figures import (
    Found,
    Results,
    Round,
    added,
    against,
    lost,
    more_wakes,
    over,
    spread,
    wakes,
)
from bench.tables import label, number, part, ranged, table
from bench.tools import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.scenarios import Plan

HEAD = """\
# What filters cost

Every variant does the same work on the same traffic, and what it wrote was compared with what was
sent before it was measured. `docs/benchmarks.md` says how to read the tables. The figures of each
round are in `results.json`, and at `configs` what stands as `CONFIG` in the commands below.
"""
MANY_HEADERS = 8
_HEADERS = re.compile(r"(?: -H '[^']*')+")
LOST_RULE = """\
*Lost* is the part of the answered requests whose entry was never written: a variant that lost some
did less work than the others. The lines of a file tell it, or counters of dropped entries; where
nothing stands, there is neither (the variant writes nothing, or into a buffered file).
"""


def markdown(results: Results, plan: Plan, charts: dict[str, str]) -> str:
    """Give the report; *charts*: file names, by the text that stands for each."""
    parts = [HEAD, *_lacking(results), *_machine(results), *verdicts.sections(results, plan)]
    for name, found in results.scenarios.items():
        parts += [f"## {name}\n", f"{found.about}\n"]
        for measure, (title, write) in MEASURES.items():
            if getattr(found, measure):
                parts += [f"### {title}\n", _commands(found, measure), *write(found)]
                key = f"{name}-{measure}"
                parts += [
                    f"![{one}]({file})\n" for one, file in charts.items() if one.startswith(key)
                ]
    return "\n".join(parts)


def _lacking(results: Results) -> Iterator[str]:
    if results.lacking:
        yield f"**The run ended before it had measured {', '.join(results.lacking)}.**\n"


def _machine(results: Results) -> Iterator[str]:
    facts = {
        "Envoy": results.envoy,
        **{
            f"**{key}**" if key in ENVIRONMENT else key.replace("_", " "): str(value)
            for key, value in results.machine.items()
        },
        **results.tools,
        "profile": results.profile,
        "command": f"`{results.command}`",
    }
    yield table(["what", "which"], [[key, value] for key, value in facts.items()])


def _commands(found: Found, measure: str) -> str:
    """Give the commands as code; many headers stand there once, at the end."""
    lines = found.commands.get(measure, [])
    runs = [run for line in lines for run in _HEADERS.findall(line)]
    if runs and runs[0].count(" -H ") > MANY_HEADERS:
        lines = [line.replace(runs[0], " HEADERS") for line in lines]
        lines.append(f"HEADERS:{runs[0]}")
    return "\n".join(f"    {line}" for line in lines) + "\n"


def _instructions(found: Found) -> Iterator[str]:
    rows = []
    for name, total in found.instructions.items():
        more = added(found.instructions, name)
        dearest = max(found.counts.get(name, [total]))
        rows.append([label(name), number(total), "" if more is None else number(more)])
        rows[-1].append(number(dearest - total))
    yield "*Spread*: what the dearest of three counts had more than the cheapest, which counts.\n"
    yield table(["variant", "per request", "added", "spread"], rows)


def _load(found: Found) -> Iterator[str]:
    yield from _work(found)
    head = ["variant", "p50 µs", "p99 µs", "p99.9 µs", "resident MiB", "over bare"]
    yield table(head, list(_waiting(found)))
    compared = list(_compared(found))
    if compared:
        yield "Latency of one divided by the other's, in the same round.\n"
        yield table(["variant", "compared with", "p50", "p99"], compared)
    yield from _lost(found)


def _work(found: Found) -> Iterator[str]:
    bare, rows = found.load["bare"], []
    for name, rounds in found.load.items():
        row = [
            label(name),
            ranged(spread([one.rate for one in rounds])),
            ranged(against(rounds, bare, _rate), 2),
        ]
        rows.append([*row, *([] if found.computes else _times(rounds, bare))])
        rows[-1].append(_part_lost(lost(found, name)))
    head = ["CPU µs per request", "added", "server CPU µs", "both CPU µs"]
    if found.computes:
        head = []
        yield "A thread computes all the time, so CPU time is mostly its own and is left out.\n"
    yield table(["variant", "requests/s", "of bare", *head, "lost"], rows)


def _times(rounds: list[Round], bare: list[Round]) -> Iterator[str]:
    """Yield CPU time: of Envoy, what is over bare, of the server beside it, and of both."""
    alone = not any(one.server_cpu_us for one in rounds)
    yield ranged(spread([one.cpu_us for one in rounds]), 1)
    yield ranged(over(rounds, bare, _cpu), 1)
    yield "" if alone else ranged(spread([one.server_cpu_us for one in rounds]), 1)
    yield ranged(spread([one.cpu_us + one.server_cpu_us for one in rounds]), 1)


def _compared(found: Found) -> Iterator[list[str]]:
    for name, other in found.waits:
        if {name, other} <= set(found.load):
            rounds, base = found.load[name], found.load[other]
            p50 = against(rounds, base, lambda one: one.p50_us)
            p99 = against(rounds, base, lambda one: one.p99_us)
            yield [f"`{name}`", f"`{other}`", ranged(p50, 2), ranged(p99, 2)]


def _waiting(found: Found) -> Iterator[list[str]]:
    bare = found.load["bare"]
    for name, rounds in found.load.items():
        yield [
            label(name),
            ranged(spread([one.p50_us for one in rounds])),
            ranged(spread([one.p99_us for one in rounds])),
            ranged(spread([one.p999_us for one in rounds])),
            number(rounds[-1].resident_mib, 1),
            number(rounds[-1].resident_mib - bare[-1].resident_mib, 1),
        ]


def _lost(found: Found) -> Iterator[str]:
    if not found.lost:
        return
    yield LOST_RULE
    losing = [f"`{name}` {number(count)}" for name, count in found.lost.items() if count]
    if losing:
        yield f"**Not all was written**: {', '.join(losing)} entries are lacking.\n"
    else:
        yield "None that can tell lost an entry under load.\n"


def _part_lost(value: float | None) -> str:
    if value is None:
        return ""
    return f"**{part(value)}**" if value else "0"


def _scaling(found: Found) -> Iterator[str]:
    bare, rows = found.scaling["bare"], []
    for name, by_workers in found.scaling.items():
        of_bare, verdict = verdicts.scales(by_workers, bare)
        rows.append(
            [
                label(name),
                *(ranged(spread([one.rate for one in by_workers[key]])) for key in ("1", "2")),
                ranged(verdicts.two_to_one(by_workers), 2),
                ranged(of_bare, 2),
                *(ranged(spread([one.cpu_us for one in by_workers[key]]), 1) for key in ("1", "2")),
                *(_part_lost(lost(found, name, key)) for key in ("1", "2")),
                verdict if name != "bare" else "",
            ]
        )
    yield verdicts.scaling_rule()
    head = ["variant", "requests/s, 1 worker", "2 workers", "2 to 1", "of bare's"]
    head += ["CPU µs per request, 1 worker", "2 workers", "lost, 1 worker", "2 workers"]
    yield table([*head, "verdict"], rows)
    yield from _lost(found)


def _memory(found: Found) -> Iterator[str]:
    bare, rows = found.memory["bare"], []
    for name, points in found.memory.items():
        rows.append(
            [
                label(name),
                number(points[-1].requests),
                *(number(point.mib, 1) for point in points),
                f"{points[-1].mib - points[1].mib:+.1f}",
                number(points[-1].mib - bare[-1].mib, 1),
            ]
        )
    yield "Resident memory of Envoy, MiB.\n"
    head = ["variant", "requests", "before", "warm", "1/4", "2/4", "3/4", "end"]
    yield table([*head, "warm to end", "over bare"], rows)


def _idle(found: Found) -> Iterator[str]:
    rows = []
    for name, phases in found.idle.items():
        rows.append([label(name)])
        for phase in phases:
            rows[-1].append(number(wakes(found.idle, name, phase), 1))
            rows[-1].append(f"{more_wakes(found.idle, name, phase):+.1f}")
        threads = phases["after"].by_thread
        own = [
            f"{one} {count}" for one, count in threads.items() if one not in _bare_threads(found)
        ]
        rows[-1].append(", ".join(own) or "none")
    yield "Wake-ups of all of Envoy's threads a second, while nothing is sent.\n"
    head = ["variant", "before", "over bare", "after", "over bare"]
    yield table([*head, f"threads that bare has not: wake-ups in {idle.SECONDS:g} s"], rows)


def _bare_threads(found: Found) -> set[str]:
    return set(found.idle["bare"]["after"].by_thread)


MEASURES = {
    "instructions": ("Instructions of one request", _instructions),
    "load": ("Load", _load),
    "scaling": ("One worker and two", _scaling),
    "memory": ("Memory", _memory),
    "idle": ("Idle", _idle),
}


def _rate(one: Round) -> float:
    return one.rate


def _cpu(one: Round) -> float:
    return one.cpu_us
