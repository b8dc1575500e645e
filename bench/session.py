# SPDX-License-Identifier: Apache-2.0
"""A whole run: the scenarios of a profile, each measure, and what is written at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from bench import charts, checking, idle, instructions, load, memory, place, report, tools
from bench.figures import Found, Results
from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.figures import Round
    from bench.running import Bench
    from bench.scenarios import Plan, Profile, Scenario

WORKERS = (1, 2)


class Session:
    """What is to be run: scenarios, their variants, and how often."""

    def __init__(self, plan: Plan, profile: str, scenario: str | None, only: list[str]) -> None:
        """*scenario*: only this one, with all its variants; *only*: only these variants."""
        self.profile: Profile = plan.profile(profile)
        names = [scenario] if scenario else self.profile.scenarios
        self._scenarios = {name: plan.scenario(name) for name in names}
        self._only = only or ([] if scenario else self.profile.variants)
        self._name = profile
        if self.steps() == 0:
            raise Trouble(f"nothing to measure: no {' nor '.join(only)} in {', '.join(names)}")

    def steps(self) -> int:
        """Give how many times ``run`` calls its *step*."""
        return sum(self._steps(scenario) for scenario in self._scenarios.values())

    def _steps(self, scenario: Scenario) -> int:
        of, rounds = self._measures(scenario), self.profile.rounds
        return (
            len({name for names in of.values() for name in names})
            + len(of["instructions"])
            + len(of["load"]) * rounds
            + len(of["scaling"]) * len(WORKERS) * rounds
            + len(of["memory"]) * memory.STEPS
            + len(idle.PHASES) * bool(of["idle"])
        )

    def run(self, bench: Bench, command: str, step: Callable[[str], None]) -> Iterator[Results]:
        """Run it all, and yield what was found so far after each scenario.

        *step* is told what comes before each step.
        """
        results = Results(
            command=command,
            profile=f"{self._name}: {self.profile.rounds} rounds of {self.profile.seconds:g} s",
            envoy=bench.release,
            machine=tools.machine(),
            tools={tool: tools.version(tool) for tool in ("valgrind", "h2load", "cc")},
            lacking=list(self._scenarios),
        )
        for name, scenario in self._scenarios.items():
            results.scenarios[name] = self._scenario(bench, scenario, _within(name, step))
            results.lacking.remove(name)
            yield results

    def _scenario(self, bench: Bench, scenario: Scenario, step: Callable[[str], None]) -> Found:
        of = self._measures(scenario)
        commands = self._commands(scenario)
        found = Found(
            about=scenario.about,
            commands=commands,
            rate=scenario.rate,
            waits=scenario.waits,
            computes=scenario.computes,
        )
        for name in dict.fromkeys(name for names in of.values() for name in names):
            step(f"{name}, its output")
            found.configs[name] = checking.check(bench, scenario, name)
        for name in of["instructions"]:
            step(f"{name}, instructions")
            found.counts[name] = instructions.counts(bench, scenario, name)
            found.instructions[name] = min(found.counts[name])
        if of["load"]:
            subjects = {name: (scenario, name) for name in of["load"]}
            found.load, found.lost = self._load(bench, subjects, step)
        if of["scaling"]:
            self._scale(bench, scenario, found, step)
        for name in of["memory"]:
            requests = self._requests(scenario)[name]
            found.memory[name] = memory.measure(bench, scenario, name, requests, step)
        if of["idle"]:
            found.idle = idle.measure(bench, scenario, of["idle"], step)
        return found

    def _load(
        self, bench: Bench, subjects: dict[str, tuple[Scenario, str]], step: Callable[[str], None]
    ) -> tuple[dict[str, list[Round]], dict[str, int]]:
        profile = self.profile
        return load.measure(
            bench, subjects, rounds=profile.rounds, seconds=profile.seconds, step=step
        )

    def _scale(
        self, bench: Bench, scenario: Scenario, found: Found, step: Callable[[str], None]
    ) -> None:
        """Put load on each variant with each number of workers, all in turn."""
        names = self._measures(scenario)["scaling"]
        subjects = {
            f"{name}, workers: {workers}": (replace(scenario, workers=workers), name)
            for name in names
            for workers in WORKERS
        }
        rounds, lost = self._load(bench, subjects, step)
        found.lost = {**found.lost, **lost}
        for name in names:
            found.scaling[name] = {
                str(workers): rounds[f"{name}, workers: {workers}"] for workers in WORKERS
            }

    def _commands(self, scenario: Scenario) -> dict[str, list[str]]:
        of, seconds = self._measures(scenario), self.profile.seconds
        commands = {
            "instructions": lambda: instructions.commands(scenario),
            "load": lambda: load.commands(scenario, seconds),
            "scaling": lambda: [
                line
                for workers in WORKERS
                for line in load.commands(replace(scenario, workers=workers), seconds)
            ],
            "memory": lambda: memory.commands(scenario, self._requests(scenario)),
            "idle": lambda: idle.commands(scenario),
        }
        return {measure: commands[measure]() for measure, names in of.items() if names}

    def _requests(self, scenario: Scenario) -> dict[str, int]:
        """Give the requests over which memory is watched; of bare, as many as of any other."""
        wanted = {name: scenario.memory[name] for name in self._measures(scenario)["memory"][1:]}
        return {"bare": max(wanted.values()), **wanted}

    def _measures(self, scenario: Scenario) -> dict[str, list[str]]:
        return {measure: self._with_bare(names) for measure, names in scenario.measures().items()}

    def _with_bare(self, names: list[str]) -> list[str]:
        """Put the bare proxy before those that are wanted; nothing when none is."""
        wanted = [name for name in names if not self._only or name in self._only]
        return ["bare", *wanted] if wanted else []


def _within(name: str, step: Callable[[str], None]) -> Callable[[str], None]:
    """Give a *step* that says of which scenario it is."""
    return lambda what: step(f"{name}: {what}")


def keep(results: Results, folder: Path) -> Path:
    """Write what was found so far, of which ``bench report`` makes a report, and give the file."""
    raw = folder / place.RAW
    place.put(raw, msgspec.json.format(msgspec.json.encode(results), indent=1))
    return raw


def write(results: Results, plan: Plan, folder: Path) -> Path:
    """Write the report with its charts into *folder*, and give the report's file."""
    text = folder / place.TEXT
    drawn = charts.draw(results, folder)
    place.put(text, report.markdown(results, plan, drawn).encode())
    return text
