# SPDX-License-Identifier: Apache-2.0
"""The load script's verdicts and its measures beside instructions and load, without an Envoy."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from bench import charts, idle, losses, memory, report, session, tables, verdicts
from bench.figures import Found, Resident, Results, Round, Spread, Wakes
from bench.scenarios import Limits, Pair, Plan, Profile, Scenario, Target

LIMITS = Limits(memory_mib=40, growth_mib=1, wakes=1)
# Envoy 1.40.0: GET /stats?filter=dropped
STATS = """\
access_logs.grpc_access_log.logs_dropped: 2
cluster.als.upstream_rq_dropped: 7
dynamicmodulescustom.access.dropped_notes: 5
dynamicmodulescustom.access.dropped_queue_full: 30
dynamicmodulescustom.access.dropped_ring_full: 400
"""


def cpu(*values: float, rate: float = 1000.0) -> list[Round]:
    """Give rounds with these microseconds of CPU time."""
    same = {"done": 1000, "bad": 0, "server_cpu_us": 0.0, "resident_mib": 60.0, "rate": rate}
    same |= {"p50_us": 200, "p99_us": 400, "p999_us": 900}
    return [msgspec.convert({**same, "cpu_us": value}, Round) for value in values]


def rates(*values: float) -> list[Round]:
    """Give rounds with these requests a second."""
    return [cpu(50.0, rate=value)[0] for value in values]


def results(**scenarios: Found) -> Results:
    """Give a run of these scenarios."""
    named = {name.replace("_", "-"): found for name, found in scenarios.items()}
    return Results(
        command="python -m bench", profile="", envoy="1.40.0", machine={}, tools={}, scenarios=named
    )


def told(found: Found, *targets: Target) -> str:
    """Give the report of one scenario."""
    plan = Plan(profiles={}, scenarios={}, targets=[*targets], limits=LIMITS)
    return report.markdown(results(one=found), plan, {})


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        (Spread(-2.0, -3.0, -1.0), "faster"),
        (Spread(-2.0, -3.0, 0.0), "not slower beyond the spread"),
        (Spread(1.0, -0.1, 3.0), "not slower beyond the spread"),
        (Spread(1.0, 0.1, 3.0), "slower"),
    ],
)
def test_not_slower_beyond_the_spread(more: Spread, verdict: str) -> None:
    """Slower is what took more in each round, faster what took less in each."""
    assert verdict == verdicts.judged(more)


def test_cpu_time_of_pairs() -> None:
    """Both figures, their difference within a round, the ratio, and what holds."""
    found = Found(
        about="",
        commands={},
        load={
            "bare": cpu(50.0, 60.0),
            "native-json": cpu(54.0, 66.0),
            "ours-json": cpu(53.0, 63.0),
        },
    )
    target = Target(name="JSON", ours="ours-json", peer="native-json", at_most=1)
    row = (
        "| JSON | one | 3.0 (3.0 to 3.0) | 5.0 (4.0 to 6.0) | -2.0 (-3.0 to -1.0) | 0.60 | faster |"
    )
    assert row in told(found, target)
    strict = msgspec.structs.replace(target, cpu_at_most=0.5)
    assert "| 0.60 | faster; **not met** (at most 0.50) |" in told(found, strict)
    gone = msgspec.structs.replace(target, peer="lua")
    assert "## CPU time" not in told(found, gone)


def test_a_peer_that_costs_nothing() -> None:
    """There is no ratio to what cannot be told from nothing."""
    load = {"bare": cpu(50.0), "empty-c": cpu(50.2), "ours-json": cpu(50.6)}
    target = Target(name="JSON", ours="ours-json", peer="empty-c", at_most=1, cpu_at_most=1)
    text = told(Found(about="", commands={}, load=load), target)
    assert "| 0.4 (0.4 to 0.4) |  | slower |" in text


def test_ratios_near_a_limit() -> None:
    """Two digits are enough unless they are the limit's and the ratio is not."""
    assert ["0.84", "0.85", "0.849", "0.8503"] == [
        tables.near(value, 0.85) for value in (0.84, 0.85, 0.849, 0.8503)
    ]


def test_beside_a_process() -> None:
    """Requests a second, and CPU time of both processes, in the same round."""
    ours = [msgspec.structs.replace(one, rate=2000.0) for one in cpu(40.0, 50.0)]
    peer = [msgspec.structs.replace(one, server_cpu_us=100.0) for one in cpu(60.0, 100.0)]
    load = {"bare": cpu(1.0, 1.0), "ours-hook": ours, "ext-proc": peer}
    plan = Plan(
        profiles={},
        scenarios={},
        targets=[],
        limits=LIMITS,
        beside=[Pair(name="hook", ours="ours-hook", peer="ext-proc")],
    )
    text = report.markdown(results(one=Found(about="", commands={}, load=load)), plan, {})
    assert "| 2.00 (2.00 to 2.00) | 45.0 (40.0 to 50.0) | 180.0 (160.0 to 200.0) | 0.25" in text


def test_a_thread_that_computes() -> None:
    """Latency with and without it stands there, CPU time does not."""
    slow = [msgspec.structs.replace(one, p50_us=500, p99_us=600) for one in cpu(50.0)]
    found = Found(
        about="",
        commands={},
        rate=500,
        waits=[("ours-hook-busy", "ours-hook-quiet")],
        computes=True,
        load={"bare": cpu(50.0), "ours-hook-busy": slow, "ours-hook-quiet": cpu(50.0)},
    )
    text = told(found)
    row = "| `ours-hook-busy` | `ours-hook-quiet` | 2.50 (2.50 to 2.50) | 1.50 (1.50 to 1.50) |"
    assert row in text
    assert "CPU µs" not in text
    assert ["load-p99"] == [key for key, *_ in charts.bars_of(found)]


@pytest.mark.parametrize(
    ("two", "verdict"),
    [
        ((95, 98, 99, 100, 140), "scales as bare"),
        ((40, 98, 99, 100, 101), "scales as bare"),
        ((60, 70, 75, 80, 95), "scales less than bare"),
        ((80, 88, 89, 95, 99), "scales less than bare"),
        ((50, 60, 95, 99, 105), "spread too wide to tell"),
    ],
)
def test_whether_it_scales(two: tuple[float, ...], verdict: str) -> None:
    """The middle three of five tell, if they agree or lie near each other."""
    bare = {"1": rates(*[50] * 5), "2": rates(*[100] * 5)}
    assert verdict == verdicts.scales({"1": rates(*[50] * 5), "2": rates(*two)}, bare)[1]


def test_scaling() -> None:
    """The ratio of two workers to one, beside that of the bare proxy in the same round."""
    bare = {"1": rates(100, 200), "2": rates(150, 300)}
    good = {"1": rates(100, 100), "2": rates(140, 160)}
    bad = {"1": rates(100, 100), "2": rates(90, 120)}
    assert "scales as bare" == verdicts.scales(good, bare)[1]
    of_bare, verdict = verdicts.scales(bad, bare)
    assert "scales less than bare" == verdict
    assert pytest.approx(0.6) == of_bare.low
    assert Spread(1.5, 1.4, 1.6) == verdicts.two_to_one(good)
    scaling = {"bare": bare, "ours-json": good, "ours-hook": bad}
    text = told(Found(about="", commands={}, scaling=scaling))
    assert "| 1.05 (0.90 to 1.20) | 0.70 (0.60 to 0.80) |" in text
    assert "| scales less than bare |" in text


def test_memory() -> None:
    """What is over bare, and what grew more than bare did after it was warm."""
    found = Found(
        about="",
        commands={},
        memory={
            "bare": [Resident(-1, 50), Resident(0, 60), Resident(500, 60.5), Resident(1000, 61)],
            "ours-json": [Resident(-1, 70), Resident(0, 90), Resident(500, 92), Resident(1000, 94)],
        },
    )
    text = told(found)
    assert "| memory over bare, at the end | one | `ours-json` | 33.0 MiB | 40 | met |" in text
    grown = "| growth over bare, 1,000 requests | one | `ours-json` | 3.0 MiB | 1 | **not met** |"
    assert grown in text
    moving = msgspec.structs.replace(LIMITS, moving=["ours-json"])
    plan = Plan(profiles={}, scenarios={}, targets=[], limits=moving)
    text = report.markdown(results(one=found), plan, {})
    assert "`ours-json` | 3.0 MiB |  | goes up and down with its queue |" in text
    assert "`ours-json` | 33.0 MiB | 40 | met |" in text


def test_wake_ups() -> None:
    """Counts between two looks; threads that came in between count from the start."""
    begin = {1: ("envoy", 10), 2: ("wrk:worker_0", 5)}
    end = {1: ("envoy", 30), 2: ("wrk:worker_0", 5), 3: ("pyfilter_flush", 2)}
    bare = Wakes(2.0, {"envoy": 18, "wrk:worker_0": 5})
    ours = idle.between(begin, end, 2.0)
    assert {"envoy": 20, "pyfilter_flush": 2, "wrk:worker_0": 0} == ours.by_thread
    both = {"bare": {"after": bare}, "ours-json": {"after": ours}}
    text = told(
        Found(
            about="",
            commands={},
            idle={name: {**one, "before": bare} for name, one in both.items()},
        )
    )
    assert "| pyfilter_flush 2 |" in text
    assert "after the first requests | one | `ours-json` | -0.5 a second | 1 | met |" in text


def test_the_kernel_counts_sleeps() -> None:
    """A process goes to sleep again each time that it was given something to do."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None

        def slept() -> int:
            ((name, count),) = idle.sleeps(cat.pid).values()
            assert "cat" == name
            return count

        deadline = time.monotonic() + 10
        for number in range(1, 11):
            cat.stdin.write(b"x\n")
            cat.stdin.flush()
            assert b"x\n" == cat.stdout.readline()
            while slept() < number:
                assert time.monotonic() < deadline
        asleep = slept()
        time.sleep(0.05)
        assert asleep == slept()
        cat.stdin.close()


def test_what_was_lost(tmp_path: Path) -> None:
    """Our counters of dropped entries and Envoy's, and no others; lines are counted."""
    assert 432 == losses.dropped(STATS)
    assert losses.dropped("cluster.als.upstream_rq_dropped: 7\n") is None
    path = tmp_path / "out.log"
    path.write_text("one\ntwo\nthr")
    assert 2 == losses.lines(path)
    load = {"bare": cpu(50.0), "ours-json": cpu(53.0), "ours-python": cpu(53.0)}
    none = {"ours-json": 0, "ours-python": 0}
    whole = Found(about="", commands={}, load=load, lost=none)
    assert "None that can tell lost an entry under load.\n" in told(whole)
    assert "Lost*" not in told(Found(about="", commands={}, load=load))
    some = Found(about="", commands={}, load=load, lost={**none, "ours-python": 160})
    target = Target(name="P", ours="ours-python", peer="ours-json", at_most=1)
    text = told(some, target)
    assert "**Not all was written**: `ours-python` 160 entries are lacking.\n" in text
    ends = [row.split(" | ")[-1] for row in text.splitlines() if row.startswith("| `ours-")]
    assert ["0 |", "**16.0%** |"] == ends[:2]
    assert "not slower beyond the spread; `ours-python` lost 16.0% |" in text
    drawn = charts.draw(results(one=some), tmp_path)
    assert "ours-python (lost 16.0%)" in (tmp_path / drawn["one-load-rate"]).read_text()
    assert "less than 0.1%" == tables.part(0.0001)


def test_steps_of_the_measures() -> None:
    """The bar counts both numbers of workers in each round, each part of memory, both counts."""
    one = Scenario(
        about="", scaling=["ours-json"], memory={"ours-json": 1000}, idle=["ours-json", "lua"]
    )
    plan = Plan(
        profiles={"p": Profile(about="", scenarios=["one"], rounds=3, seconds=1)},
        scenarios={"one": one},
        targets=[],
        limits=LIMITS,
    )
    checks, scaled, watched, counted = 3, 2 * 2 * 3, 2 * memory.STEPS, 2
    assert checks + scaled + watched + counted == session.Session(plan, "p", None, []).steps()


def measured() -> Found:
    """Give a scenario in which everything was measured."""
    workers = {"1": rates(100), "2": rates(150)}
    points = [Resident(-1, 50), Resident(0, 60), Resident(1000, 61)]
    wakes = {"before": Wakes(1.0, {"envoy": 1}), "after": Wakes(1.0, {"envoy": 2})}
    return Found(
        about="",
        commands={},
        instructions={"bare": 1.0, "ours-json": 3.0},
        load={"bare": cpu(50.0), "ours-json": cpu(53.0)},
        scaling={"bare": workers, "ours-json": workers},
        memory={"bare": points, "ours-json": points},
        idle={"bare": wakes, "ours-json": wakes},
    )


def test_what_is_drawn() -> None:
    """Added costs without bare, which has none; at a fixed rate latency, else how many requests."""
    found = measured()
    drawn = {key: bars for key, _, bars in charts.bars_of(found)}
    assert ["instructions", "load-cpu", "load-rate", "scaling", "idle"] == list(drawn)
    assert {"ours-json": Spread(2.0, 2.0, 2.0)} == drawn["instructions"]
    assert Spread(1.5, 1.5, 1.5) == drawn["scaling"]["bare"]
    at_rate = Found(about="", commands={}, rate=500, load=found.load)
    assert ["load-cpu", "load-p99"] == [key for key, *_ in charts.bars_of(at_rate)]


def test_what_a_chart_says(tmp_path: Path) -> None:
    """What colors and lines mean, numbers with commas between thousands, past the line's end."""
    load = {"bare": rates(60000, 61000, 90000), "ours-json": rates(1, 2, 3)}
    drawn = charts.draw(results(one=Found(about="", commands={}, load=load)), tmp_path)
    text = (tmp_path / drawn["one-load-rate"]).read_text()
    for said in ("ours", "others", "from the lowest round to the highest", "61,000", "20,000"):
        assert f"<!-- {said} -->" in text
    assert "server" not in text


def test_charts(tmp_path: Path) -> None:
    """Bars and lines become files beside the report."""
    found = Found(about="", commands={}, idle=measured().idle, memory=measured().memory)
    drawn = charts.draw(results(one=found), tmp_path)
    assert {"one-idle": "one-idle.svg", "one-memory": "one-memory.svg"} == drawn
    for file in drawn.values():
        assert "<svg" in (tmp_path / file).read_text()
