# SPDX-License-Identifier: Apache-2.0
"""What a run found, as it stands in ``results.json``, and the arithmetic on it."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import msgspec

from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.scenarios import Target


class Round(msgspec.Struct, frozen=True):
    """One variant under load, once."""

    done: int
    bad: int
    rate: float
    """Requests a second."""
    cpu_us: float
    """Microseconds that Envoy's threads ran, for each request."""
    server_cpu_us: float
    """The same of the server beside Envoy; 0 when there is none."""
    p50_us: int
    p99_us: int
    p999_us: int
    resident_mib: float


class Resident(msgspec.Struct, frozen=True):
    """The memory of one Envoy after some requests."""

    requests: int
    """Since it was warm; -1: before the first one."""
    mib: float


class Wakes(msgspec.Struct, frozen=True):
    """How often the threads of one Envoy went to sleep, while nothing was sent."""

    seconds: float
    by_thread: dict[str, int]
    """By name; threads of one name are put together."""


class Found(msgspec.Struct):
    """What was found in one scenario."""

    about: str
    commands: dict[str, list[str]]
    """What was run, by measure; ``PORT``, ``PID`` and the like stand for what differs."""
    rate: int = 0
    """Requests a second; 0: closed loop."""
    waits: list[tuple[str, str]] = []
    """Variants whose latency is compared with another one's."""
    computes: bool = False
    """A thread in Envoy computed all the time, so CPU time is not the requests'."""
    configs: dict[str, dict[str, Any]] = {}
    """Envoy's config, by variant; ``FOLDER`` stands for where the variant's files lie."""
    instructions: dict[str, float] = {}
    """Of one request, by variant: the least of ``counts``."""
    counts: dict[str, list[float]] = {}
    """Each count of them."""
    load: dict[str, list[Round]] = {}
    """By variant, one for each round."""
    lost: dict[str, int] = {}
    """Entries that were not written under load, by variant that can tell."""
    scaling: dict[str, dict[str, list[Round]]] = {}
    """By variant and number of workers."""
    memory: dict[str, list[Resident]] = {}
    """By variant: before the first request, when warm, and at each quarter."""
    idle: dict[str, dict[str, Wakes]] = {}
    """By variant, ``before`` and ``after`` the first requests."""


class Results(msgspec.Struct):
    """One run."""

    command: str
    profile: str
    envoy: str
    machine: dict[str, Any]
    tools: dict[str, str]
    scenarios: dict[str, Found] = {}
    lacking: list[str] = []
    """Scenarios of the run that were not measured yet."""


class Spread(msgspec.Struct, frozen=True):
    """A median with the smallest and the largest of its values."""

    median: float
    low: float
    high: float


def read(path: Path) -> Results:
    """Read ``results.json``; ``Trouble`` when it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as error:
        raise Trouble(f"{path}: {error}") from error


def spread(values: Sequence[float]) -> Spread:
    """Give median, smallest and largest of one value or more."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[int], part: float) -> int:
    """Give the smallest value that *part* of the values (0 to 1) do not exceed; 0 of none."""
    if not ordered:
        return 0
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def added(instructions: dict[str, float], variant: str) -> float | None:
    """Give what a variant adds to the bare proxy; None when one of them was not counted."""
    if variant not in instructions or "bare" not in instructions:
        return None
    return instructions[variant] - instructions["bare"]


def ratio(instructions: dict[str, float], target: Target) -> float | None:
    """Give the ratio of added instructions; None when one was not counted, or adds nothing."""
    ours, peer = added(instructions, target.ours), added(instructions, target.peer)
    return None if ours is None or not peer or peer < 0 else ours / peer


def against(
    rounds: Sequence[Round], base: Sequence[Round], value: Callable[[Round], float]
) -> Spread:
    """Give the spread of a value's ratio to the base's, each in the same round."""
    return spread([value(one) / value(other) for one, other in zip(rounds, base, strict=True)])


def over(rounds: Sequence[Round], base: Sequence[Round], value: Callable[[Round], float]) -> Spread:
    """Give the spread of what a value has more than the base's, each in the same round."""
    return spread([value(one) - value(other) for one, other in zip(rounds, base, strict=True)])


def lost(found: Found, variant: str, workers: str = "") -> float | None:
    """Give the part of the answered requests whose entry was not written; None: nothing tells."""
    rounds = found.scaling[variant][workers] if workers else found.load[variant]
    count = found.lost.get(f"{variant}, workers: {workers}" if workers else variant)
    answered = sum(one.done for one in rounds)
    return None if count is None or not answered else count / answered


def wakes(idle: dict[str, dict[str, Wakes]], variant: str, phase: str) -> float:
    """Give the wake-ups of a variant's Envoy each second."""
    found = idle[variant][phase]
    return sum(found.by_thread.values()) / found.seconds


def more_wakes(idle: dict[str, dict[str, Wakes]], variant: str, phase: str) -> float:
    """Give how many more they are than those of the bare proxy."""
    return wakes(idle, variant, phase) - wakes(idle, "bare", phase)
