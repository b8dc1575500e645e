# SPDX-License-Identifier: Apache-2.0
"""The report: one Markdown file of tables, from what a run found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import idle, verdicts
from bench.figures import Found, Results, Round, added, against, more_wakes, over, spread, wakes
from bench.tables import label, number, ranged, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.scenarios import Plan

HEAD = """\
# What filters cost

Every variant does the same work on the same traffic, and what it wrote was compared with what was
sent before it was measured. `docs/benchmarks.md` says how to read the tables. The figures of each
round are in `results.json`, and at `configs` what stands as `CONFIG` in the commands below.
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
        **{key.replace("_", " "): str(value) for key, value in results.machine.items()},
        **results.tools,
        "profile": results.profile,
        "command": f"`{results.command}`",
    }
    yield table(["what", "which"], [[key, value] for key, value in facts.items()])


def _commands(found: Found, measure: str) -> str:
    return "\n".join(f"    {command}" for command in found.commands.get(measure, [])) + "\n"


def _instructions(found: Found) -> Iterator[str]:
    rows = []
    for name, total in found.instructions.items():
        more = added(found.instructions, name)
        rows.append([label(name), number(total), "" if more is None else number(more)])
    yield table(["variant", "per request", "added"], rows)


def _load(found: Found) -> Iterator[str]:
    head = ["variant", "requests/s", "of bare", "CPU µs per request", "added"]
    yield table([*head, "server CPU µs", "both CPU µs"], list(_work(found)))
    head = ["variant", "p50 µs", "p99 µs", "p99.9 µs", "resident MiB", "over bare"]
    yield table(head, list(_waiting(found)))
    yield from _lost(found)


def _work(found: Found) -> Iterator[list[str]]:
    bare = found.load["bare"]
    for name, rounds in found.load.items():
        alone = not any(one.server_cpu_us for one in rounds)
        both = [one.cpu_us + one.server_cpu_us for one in rounds]
        yield [
            label(name),
            ranged(spread([one.rate for one in rounds])),
            ranged(against(rounds, bare, _rate), 2),
            ranged(spread([one.cpu_us for one in rounds]), 1),
            ranged(over(rounds, bare, _cpu), 1),
            "" if alone else ranged(spread([one.server_cpu_us for one in rounds]), 1),
            ranged(spread(both), 1),
        ]


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
    lost = [f"`{name}` {number(count)}" for name, count in found.lost.items() if count]
    told = f"Of {len(found.lost)} that can tell" if found.lost else ""
    if lost:
        yield f"Entries that were not written under load: {', '.join(lost)}.\n"
    elif told:
        yield f"{told}, none lost an entry under load.\n"


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
                verdict if name != "bare" else "",
            ]
        )
    yield verdicts.SCALING_RULE
    head = ["variant", "requests/s, 1 worker", "2 workers", "2 to 1", "of bare's"]
    yield table([*head, "CPU µs per request, 1 worker", "2 workers", "verdict"], rows)
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
