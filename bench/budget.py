# SPDX-License-Identifier: Apache-2.0
"""
The budget: our added instructions, which a change may not raise by more than 2 %.

Counts depend on what compiled us, so a budget is of a compiler and an architecture. With another
compiler the nearest one holds, with more room; on another architecture there is nothing to compare.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

import envoy_pyfilter
import msgspec

from bench import checking, instructions
from bench.trouble import Trouble
from bench.variants import variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.running import Bench
    from bench.scenarios import Plan, Scenario

FILE = Path(__file__).with_name("budget.toml")
EXAMPLE = "added.gcc-12-x86_64.ours-json = 8500"
CHEAPEST = 3
AGAIN = 2
"""How often a variant that is over its budget is counted again: a busy machine only adds."""
_COMPILERS = {
    "gcc": re.compile(rb"GCC: \([^)]*\) (\d+)\."),
    "clang": re.compile(rb"clang version (\d+)\."),
}


class Budget(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What ``budget.toml`` says."""

    envoy: str
    """The release that it was counted on."""
    scenario: str
    over: float
    """The part of the budget by which it may be exceeded."""
    elsewhere: float
    """The same with a compiler that has no budget of its own."""
    added: dict[str, dict[str, int]]
    """By builder (see ``builder``) and variant."""


class Allowed(msgspec.Struct, frozen=True):
    """What of the budget holds here."""

    added: dict[str, int]
    """By variant."""
    over: float | None
    """None: nothing is compared."""
    said: str = ""
    """What a person is to know of it."""


def read(path: Path = FILE) -> Budget:
    """Read the file; ``Trouble`` naming the wrong key."""
    try:
        raw = msgspec.toml.decode(path.read_bytes())
        _check_numbers(raw.get("added"))
        return msgspec.convert(raw, Budget)
    except OSError as error:
        raise Trouble(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise Trouble(f"{path.name}: {error}") from error


def _check_numbers(added: object) -> None:
    """Name the key of what is no number, which msgspec does not; other shapes are its affair."""
    for here, budgets in added.items() if isinstance(added, dict) else ():
        for name, most in budgets.items() if isinstance(budgets, dict) else ():
            if type(most) is not int or most <= 0:
                where = f"added.{here}.{name}"
                expected = "a number of instructions above 0 was expected"
                raise Trouble(f"{FILE.name}: {where} is {most!r}; {expected}")


def counted(budget: Budget, plan: Plan) -> Scenario:
    """Give the scenario that is counted; ``Trouble`` when the budget is not one of it."""
    try:
        scenario = plan.scenario(budget.scenario)
        for name in dict.fromkeys(name for added in budget.added.values() for name in added):
            variant(name)
    except Trouble as trouble:
        raise Trouble(f"{FILE.name}: {trouble}") from trouble
    if not scenario.instructions:
        able = [name for name, one in plan.scenarios.items() if one.instructions]
        said = f"scenario {budget.scenario!r} counts no instructions; these do: {', '.join(able)}"
        raise Trouble(f"{FILE.name}: {said}")
    if not any(budget.added.values()):
        raise Trouble(f"{FILE.name}: added names no variant; for example {EXAMPLE}")
    return scenario


def builder(shared_object: bytes, machine: str) -> str:
    """Tell what compiled a shared object, by what the compiler left in it: ``gcc-12-x86_64``."""
    for name, pattern in _COMPILERS.items():
        if found := pattern.search(shared_object):
            return f"{name}-{found[1].decode()}-{machine}"
    return f"unknown-{machine}"


def allowed(budget: Budget, here: str) -> Allowed:
    """Choose what holds for what *here* was built by."""
    if here in budget.added:
        return Allowed(budget.added[here], budget.over)
    machine = here.rpartition("-")[2]
    for other, added in budget.added.items():
        if other.rpartition("-")[2] == machine:
            said = f"no budget for {here}: {other}'s holds, with {budget.elsewhere:.0%} more"
            return Allowed(added, budget.elsewhere, said)
    said = f"NOT COMPARED: no budget for {here}, nor for another compiler on {machine}"
    return Allowed(next(iter(budget.added.values())), None, said)


def chosen(added: dict[str, int], *, everything: bool) -> list[str]:
    """Give the variants to count: all, or the three cheapest."""
    ordered = sorted(added, key=lambda name: added[name])
    return ordered if everything else ordered[:CHEAPEST]


def verdict(given: Allowed, name: str, added: float) -> tuple[bool, str]:
    """Tell whether a variant keeps its budget, and the line that says so."""
    if given.over is None:
        return True, f"{name:20} {added:10,.0f} added"
    most = given.added[name]
    line = f"{name:20} {added:10,.0f} added, budget {most:,} ({added / most - 1:+.1%})"
    return added <= most * (1 + given.over), line


def keep(bench: Bench, plan: Plan, budget: Budget, *, everything: bool) -> Iterator[str]:
    """Count the variants and yield a line for each; ``Trouble`` at the end if one is over it."""
    if bench.release != budget.envoy:
        raise Trouble(f"the budget is of Envoy {budget.envoy}, and this is {bench.release}")
    scenario = counted(budget, plan)
    given = allowed(budget, _here())
    if given.said:
        yield given.said
    bare = instructions.count(bench, scenario, "bare")
    yield f"{'bare':20} {bare:10,.0f} instructions per request"
    broken = []
    for name in chosen(given.added, everything=everything):
        checking.check(bench, scenario, name)
        for _ in range(1 + AGAIN):
            good, line = verdict(given, name, instructions.count(bench, scenario, name) - bare)
            yield line
            if good:
                break
        else:
            broken.append(name)
    if broken:
        raise Trouble(f"over the budget by more than {given.over:.0%}: {', '.join(broken)}")


def _here() -> str:
    library = Path(envoy_pyfilter.__file__).with_name("libenvoy_pyfilter.so")
    return builder(library.read_bytes(), platform.machine())
