# SPDX-License-Identifier: Apache-2.0
"""What is to hold, and whether it does: targets, in instructions and CPU time, and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import against, lost, more_wakes, over, ratio, spread
from bench.tables import near, number, part, ranged, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.figures import Found, Results, Round, Spread
    from bench.scenarios import Limits, Pair, Plan, Target

CPU_RULE = """\
CPU time that ours and the peer add to one request of the bare proxy, and ours minus the peer's in
the same round. *Faster*: less in each round. *Slower*: more in each round. Else it is *not slower
beyond the spread*. The ratio is of the medians of what is added; there is none where the peer adds
less than {least:g} µs, which cannot be told from nothing. Where a target has a limit of its own for
CPU time (`cpu_at_most` in `bench/scenarios.toml`), it stands beside the verdict.
"""
LEAST_US = 0.3
BESIDE_RULE = """\
The same job in Envoy's process (ours) and in a process beside it (peer): requests a second, and the
CPU time of one whole request, of Envoy and of the process beside it together. Ratios are ours to
the peer's, in the same round.
"""
SCALING_RULE = """\
Requests a second with 2 workers, divided by those with 1, in the same round, and that as a part of
what the bare proxy's is. For the verdict the lowest and the highest of five rounds or more are left
out. A variant *scales as bare* when the rest are {least:.2f} of bare's or more, *scales less than
bare* when they are less. When they are on both sides of that, the median tells, unless they are
more than {widest:g} apart: then the *spread is too wide to tell*.
"""
SCALES, WIDEST, MANY = 0.90, 0.25, 5


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
        yield CPU_RULE.format(least=LEAST_US)
        head = ["target", "scenario", "ours µs", "peer µs", "ours minus peer", "ratio", "verdict"]
        yield table(head, timed)
    beside = list(_beside(results, plan.beside))
    if beside:
        yield "## In Envoy's process and beside it\n"
        yield BESIDE_RULE
        head = ["pair", "scenario", "ours, requests/s", "peer", "ratio"]
        yield table([*head, "ours, CPU µs of both", "peer", "ratio"], beside)
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
    parts = sorted(one / other for one, other in zip(ours, its, strict=True))
    judged_by = spread(parts[1:-1] if len(parts) >= MANY else parts)
    return spread(parts), _scales(judged_by)


def scaling_rule() -> str:
    """Say how ``scales`` judges."""
    return SCALING_RULE.format(least=SCALES, widest=WIDEST)


def _scales(parts: Spread) -> str:
    if parts.low < SCALES <= parts.high and parts.high - parts.low > WIDEST:
        return "spread too wide to tell"
    return "scales as bare" if parts.median >= SCALES else "scales less than bare"


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
                shown = near(value, target.at_most)
                yield [target.name, name, shown, most, _met(value, target.at_most)]


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
    most = target.cpu_at_most
    if peer_more.median < LEAST_US:
        yield ""
    else:
        value = ours_more.median / peer_more.median
        yield near(value, value if most is None else most) if value >= 0 else "below 0"
        if most is not None:
            verdict += f"; {_met(value, most)} (at most {most:.2f})"
    losing = {name: lost(found, name) for name in (target.ours, target.peer)}
    less = [f"`{name}` lost {part(value)}" for name, value in losing.items() if value]
    yield "; ".join([verdict, *less])


def _beside(results: Results, pairs: Sequence[Pair]) -> Iterator[list[str]]:
    for name, found in results.scenarios.items():
        for pair in pairs:
            if {pair.ours, pair.peer} <= set(found.load):
                ours, peer = found.load[pair.ours], found.load[pair.peer]
                yield [
                    pair.name,
                    name,
                    *_both(ours, peer, _rate, 0),
                    *_both(ours, peer, _all_us, 1),
                ]


def _both(
    ours: list[Round], peer: list[Round], value: Callable[[Round], float], digits: int
) -> Iterator[str]:
    for rounds in (ours, peer):
        yield ranged(spread([value(one) for one in rounds]), digits)
    yield ranged(against(ours, peer, value), 2)


def _limits(results: Results, limits: Limits) -> Iterator[list[str]]:
    for name, found in results.scenarios.items():
        for variant in found.memory:
            if variant.startswith("ours"):
                held, grown = (
                    [what, name, f"`{variant}`", *_row(value, most, "MiB")]
                    for what, value, most in _memory(found, variant, limits)
                )
                if variant in limits.moving:
                    grown[-2:] = ["", "goes up and down with its queue"]
                yield from (held, grown)
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


def _all_us(one: Round) -> float:
    return one.cpu_us + one.server_cpu_us


def _rate(one: Round) -> float:
    return one.rate
