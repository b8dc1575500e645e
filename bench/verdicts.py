# SPDX-License-Identifier: Apache-2.0
"""What is to hold, and whether it does: targets, in instructions and CPU time, and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import against, more_wakes, over, ratio, spread
from bench.tables import number, ranged, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.figures import Found, Results, Round, Spread
    from bench.scenarios import Limits, Plan, Target

CPU_RULE = """\
CPU time that ours and the peer add to one request of the bare proxy, and ours minus the peer's in
the same round. *Faster*: less in each round. *Slower*: more in each round. Else it is *not slower
beyond the spread*. The ratio is of the medians of what is added.
"""
SCALING_RULE = """\
Requests a second with 2 workers, divided by those with 1, in the same round. A variant *scales as
bare* unless its ratio is below that of the bare proxy in each round.
"""


def sections(results: Results, plan: Plan) -> Iterator[str]:
    """Yield the tables of all that is to hold and was measured."""
    counted = list(_instructions(results, plan.targets))
    if counted:
        yield "## Targets\n"
        yield "Ratios of added instructions, ours to the peer's.\n"
        yield table(["target", "scenario", "ratio", "at most", "verdict"], counted)
    timed = list(_cpu(results, plan.targets))
    if timed:
        yield "## CPU time\n"
        yield CPU_RULE
        head = ["target", "scenario", "ours µs", "peer µs", "ours minus peer", "ratio", "verdict"]
        yield table(head, timed)
    limited = list(_limits(results, plan.limits))
    if limited:
        yield "## Limits\n"
        yield table(["what", "scenario", "variant", "found", "at most", "verdict"], limited)


def judged(more: Spread) -> str:
    """Judge what ours has more than the peer, each in the same round."""
    if more.high < 0:
        return "faster"
    return "slower" if more.low > 0 else "not slower beyond the spread"


def scales(workers: dict[str, list[Round]], bare: dict[str, list[Round]]) -> tuple[Spread, str]:
    """Give a variant's ratio of two workers to one to that of bare, and what that means."""
    ours, its = _by_round(workers), _by_round(bare)
    of_bare = spread([one / other for one, other in zip(ours, its, strict=True)])
    return of_bare, "scales less than bare" if of_bare.high < 1 else "scales as bare"


def _by_round(workers: dict[str, list[Round]]) -> list[float]:
    pairs = zip(workers["2"], workers["1"], strict=True)
    return [two.rate / one.rate for two, one in pairs]


def two_to_one(workers: dict[str, list[Round]]) -> Spread:
    """Give the throughput with two workers, divided by that with one, in the same round."""
    return against(workers["2"], workers["1"], lambda one: one.rate)


def _instructions(results: Results, targets: Sequence[Target]) -> Iterator[list[str]]:
    for name, found in results.scenarios.items():
        for target in targets:
            value = ratio(found.instructions, target)
            if value is not None:
                most = f"{target.at_most:.2f}"
                yield [target.name, name, f"{value:.2f}", most, _met(value, target.at_most)]


def _cpu(results: Results, targets: Sequence[Target]) -> Iterator[list[str]]:
    for name, found in results.scenarios.items():
        for target in targets:
            if {target.ours, target.peer} <= set(found.load):
                yield [target.name, name, *_compared(found, target)]


def _compared(found: Found, target: Target) -> Iterator[str]:
    bare, ours, peer = (found.load[name] for name in ("bare", target.ours, target.peer))
    ours_more, peer_more = over(ours, bare, _cpu_us), over(peer, bare, _cpu_us)
    difference = over(ours, peer, _cpu_us)
    yield ranged(ours_more, 1)
    yield ranged(peer_more, 1)
    yield ranged(difference, 1)
    verdict = judged(difference)
    if peer_more.median <= 0:
        yield ""
    else:
        value = ours_more.median / peer_more.median
        yield f"{value:.2f}" if value >= 0 else "below 0"
        if target.cpu_at_most is not None:
            verdict += f"; {_met(value, target.cpu_at_most)} (at most {target.cpu_at_most:.2f})"
    yield verdict


def _limits(results: Results, limits: Limits) -> Iterator[list[str]]:
    for name, found in results.scenarios.items():
        for variant in found.memory:
            if variant.startswith("ours"):
                for what, value, most in _memory(found, variant, limits):
                    yield [what, name, f"`{variant}`", *_row(value, most, "MiB")]
        for variant in found.idle:
            if variant.startswith("ours"):
                for phase in found.idle[variant]:
                    what = f"wake-ups over bare, {phase} the first requests"
                    value = more_wakes(found.idle, variant, phase)
                    yield [what, name, f"`{variant}`", *_row(value, limits.wakes, "a second")]


def _memory(found: Found, variant: str, limits: Limits) -> Iterator[tuple[str, float, float]]:
    bare, ours = found.memory["bare"], found.memory[variant]
    yield "memory over bare, at the end", ours[-1].mib - bare[-1].mib, limits.memory_mib
    grown = (ours[-1].mib - ours[1].mib) - (bare[-1].mib - bare[1].mib)
    what = f"growth over bare, {number(ours[-1].requests)} requests"
    yield what, grown, limits.growth_mib


def _row(value: float, most: float, unit: str) -> tuple[str, str, str]:
    return f"{number(value, 1)} {unit}", f"{most:g}", _met(value, most)


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "**not met**"


def _cpu_us(one: Round) -> float:
    return one.cpu_us
