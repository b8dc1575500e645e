# SPDX-License-Identifier: Apache-2.0
"""
What filters cost, ours and Envoy's own: `python -m bench [COMMAND]`.

run: measure the scenarios of a profile, and write report.md, its charts and results.json.
budget: count our cheapest variants, and fail when one is over bench/budget.toml.
functions: list the functions in which a variant's added instructions are spent.
report: write the report anew from the results.json in --out.
list: name the profiles, scenarios and variants.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import budget, figures, functions, instructions, place, scenarios, session, tools
from bench.ending import Interrupted, interruptible
from bench.running import bench
from bench.trouble import Trouble
from bench.variants import VARIANTS, variant

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT = tools.ROOT / "build" / "bench"
MAKE_REPORT = "`python -m bench report` makes a report of it"


def main() -> int:
    """Do what the command line asks; 1 with one line on stderr when it cannot be done."""
    given = _parser().parse_args()
    try:
        with interruptible():
            for line in COMMANDS[given.command](given):
                print(line, flush=True)
    except Trouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        print(f"bench: interrupted by {interrupted}", file=sys.stderr)
        return 128 + interrupted.number
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("command", nargs="?", default="run", choices=list(COMMANDS))
    add("--envoy", help="a release or the path of a binary")
    add("--profile", default="quick", help="how much is run (default: quick)")
    add("--scenario", help="run only this one; for functions: of which (default: h1-direct)")
    add("--variant", action="append", default=[], help="only this one (and bare); repeatable")
    add("--out", type=Path, default=OUT, help="where the report goes (default: build/bench)")
    add("--all", action="store_true", help="budget: count all that it names")
    add("--lines", type=_above_zero, default=30, help="functions: how many (default: 30)")
    return parser


def _above_zero(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _run(given: argparse.Namespace) -> Iterator[str]:
    plan = scenarios.read()
    for name in given.variant:
        variant(name)
    wanted = session.Session(plan, given.profile, given.scenario, given.variant)
    tools.need(*instructions.TOOLS, "cc")
    try:
        from tqdm import tqdm  # noqa: PLC0415 (only here)
    except ImportError as error:
        raise Trouble(f"{error}; pip install 'envoy-pyfilter[bench]'") from error
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    with (
        place.held(given.out),
        bench(given.envoy) as here,
        tqdm(total=wanted.steps(), unit="step") as bar,
    ):

        def step(what: str) -> None:
            bar.update(bool(bar.desc))  # the one before is done
            bar.set_description(what)

        raw = None
        try:
            for results in wanted.run(here, command, step):
                raw = session.keep(results, given.out)
        except (Trouble, Interrupted):
            if raw:
                print(f"bench: {raw} has what was measured before: {MAKE_REPORT}", file=sys.stderr)
            raise
        bar.update()
        text = session.write(results, plan, given.out)
    yield str(text)
    yield str(raw)


def _budget(given: argparse.Namespace) -> Iterator[str]:
    tools.need(*instructions.TOOLS)
    with bench(given.envoy) as here:
        yield from budget.keep(here, scenarios.read(), budget.read(), everything=given.all)


def _functions(given: argparse.Namespace) -> Iterator[str]:
    tools.need(*instructions.TOOLS, "callgrind_annotate")
    scenario = scenarios.read().scenario(given.scenario or "h1-direct")
    if not given.variant:
        raise Trouble(f"functions: which? --variant NAME, of {', '.join(VARIANTS)}")
    for name in given.variant:
        variant(name)
    with bench(given.envoy) as here:
        bare = functions.costs_of(here, scenario, "bare")
        for name in given.variant:
            yield from functions.added(here, scenario, name, bare, given.lines)


def _report(given: argparse.Namespace) -> Iterator[str]:
    results = figures.read(given.out / place.RAW)
    with place.held(given.out):
        yield str(session.write(results, scenarios.read(), given.out))


def _list(_: argparse.Namespace) -> Iterator[str]:
    plan = scenarios.read()
    yield "profiles:"
    yield from (f"  {name:20} {one.about}" for name, one in plan.profiles.items())
    yield "scenarios:"
    yield from (f"  {name:20} {one.about}" for name, one in plan.scenarios.items())
    yield "variants:"
    yield from (f"  {name:20} {make.__doc__}" for name, make in VARIANTS.items())


COMMANDS = {
    "run": _run,
    "budget": _budget,
    "functions": _functions,
    "report": _report,
    "list": _list,
}


if __name__ == "__main__":
    sys.exit(main())
