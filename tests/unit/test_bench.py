# SPDX-License-Identifier: Apache-2.0
"""The load script's pure parts: what tools print, arithmetic, the report, the budget."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from bench import (
    figures,
    functions,
    h2load,
    instructions,
    job,
    report,
    scenarios,
    session,
    tools,
)
from bench.figures import Found, Results, Round, Spread
from bench.scenarios import Limits, Plan, Scenario, Target
from bench.trouble import Trouble
from bench.variants import VARIANTS

# h2load nghttp2/1.52.0: h2load --h1 -n 2000 -c 1 -t 1 URL
PRINTED = """\
starting benchmark...
spawning thread #0: 1 total client(s). 2000 total requests
Application protocol: http/1.1
progress: 100% done

finished in 512.30ms, 3903.97 req/s, 682.36KB/s
requests: 2000 total, 2000 started, 2000 done, 1990 succeeded, 10 failed, 0 errored, 0 timeout
status codes: 1990 2xx, 0 3xx, 0 4xx, 10 5xx
traffic: 349.58KB (357969) total, 257.81KB (263994) headers (space savings 0.00%)
                     min         max         mean         sd        +/- sd
time for request:      201us      2.51ms       254us        74us    94.25%
"""
# callgrind_annotate (valgrind 3.19.0)
ANNOTATED = """\
--------------------------------------------------------------------------------
I1 cache:
--------------------------------------------------------------------------------
Ir
--------------------------------------------------------------------------------
164,882,000 (100.0%)  PROGRAM TOTALS

--------------------------------------------------------------------------------
Ir                   file:function
--------------------------------------------------------------------------------
10,000,000 ( 6.06%)  ???:tc_malloc [/opt/envoy]
   500,000 ( 0.30%)  ./string/memmove.c:memcpy [/lib/libc.so.6]
   200,000 ( 0.12%)  ???:0x0000000000001010 [/venv/envoy_pyfilter/libenvoy_pyfilter.so]
   100,000 ( 0.06%)  /src/Python/ceval.c:_PyEval_EvalFrameDefault [/lib/libpython3.11.so.1.0]
    16,000 ( 0.01%)  /src/Python/ceval.c:_PyEval_EvalFrameDefault'2 [/lib/libpython3.11.so.1.0]
     4,000 ( 0.00%)  /src/Include/object.h:_PyEval_EvalFrameDefault
"""


def a_round(**changes: float) -> Round:
    """Give a round with some values changed."""
    values = {"done": 1000, "bad": 0, "rate": 1000.0, "cpu_us": 50.0, "server_cpu_us": 0.0}
    values |= {"p50_us": 200, "p99_us": 400, "p999_us": 900, "resident_mib": 60.0}
    return msgspec.convert({**values, **changes}, Round)


def results() -> Results:
    """Give what a run of two variants would find."""
    found = Found(
        about="HTTP/1.1.",
        commands={"load": ["h2load -D 1000ms"]},
        instructions={"bare": 80000.0, "native-json": 90000.0, "ours-json": 85000.0},
        counts={"bare": [80000.0] * 3, "ours-json": [85070.0, 85000.0, 85012.0]},
        load={
            "bare": [a_round(), a_round(rate=2000.0)],
            "ours-json": [a_round(rate=900.0, cpu_us=53.0), a_round(rate=1900.0, cpu_us=54.0)],
        },
    )
    return Results(
        command="python -m bench",
        profile="quick",
        envoy="1.40.0",
        machine={"processor": "a processor", "cores": 2},
        tools={"h2load": "h2load nghttp2/1.52.0"},
        scenarios={"h1-direct": found},
    )


def a_plan(*targets: Target) -> Plan:
    """Give a plan of targets and limits."""
    limits = Limits(memory_mib=40, growth_mib=1, wakes=1)
    return Plan(profiles={}, scenarios={}, targets=[*targets], limits=limits)


def test_what_h2load_prints() -> None:
    """Answers, bad ones among them, seconds and rate are read."""
    assert h2load.Outcome(done=2000, bad=10, seconds=0.5123, rate=3903.97) == h2load.parse(PRINTED)


@pytest.mark.parametrize("printed", ["", "finished in 1.00s, 1.00 req/s, 1B/s"])
def test_what_h2load_does_not_print(printed: str) -> None:
    """Anything else is an error, and it is shown."""
    with pytest.raises(Trouble, match="h2load printed something else"):
        h2load.parse(printed)


def test_latencies(tmp_path: Path) -> None:
    """The log's third column, sorted; requests without an answer have none."""
    log = tmp_path / "log"
    log.write_text("1700000000\t200\t300\n1700000001\t200\t100\n1700000002\t-1\t5\n")
    assert [100, 300] == h2load.latencies(log)


def test_load_options() -> None:
    """A rate is divided between connections; without one, the loop is closed."""
    fixed = Scenario(about="", rate=2000, connections=8)
    assert ["-c", "8", "-m", "1", "--rps=250", "-D", "1500ms"] == h2load.load_options(fixed, 1.5)
    closed = Scenario(about="", connections=4, streams=8)
    assert ["-c", "4", "-m", "8", "-D", "2000ms"] == h2load.load_options(closed, 2)


def test_commands() -> None:
    """HTTP/1.1 is asked for by name, and large maps have 40 headers more."""
    small = h2load.command(Scenario(about=""), 80)
    assert "--h1" in small
    assert f"http://127.0.0.1:80{job.PATH}" == small[-1]
    large = h2load.command(Scenario(about="", protocol="h2", headers="large"), 80)
    assert "--h1" not in large
    assert 40 == large.count("-H") - small.count("-H")


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [([], 0.5, 0), ([7], 0.99, 7), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 1001)), 0.999, 999)],
)
def test_percentile(values: list[int], part: float, expected: int) -> None:
    """The smallest value that so many of the values do not exceed."""
    assert expected == figures.percentile(values, part)


def test_spread() -> None:
    """The median, the lowest and the highest."""
    assert Spread(2.0, 1.0, 9.0) == figures.spread([9.0, 1.0, 2.0])
    assert Spread(2.5, 1.0, 4.0) == figures.spread([4.0, 1.0, 2.0, 3.0])


def test_ratios_are_within_a_round() -> None:
    """A round is compared with the same round of the bare proxy, not with its median."""
    ours, bare = [a_round(rate=50.0), a_round(rate=400.0)], [a_round(rate=100.0), a_round(rate=500)]
    assert pytest.approx(0.65) == figures.against(ours, bare, lambda one: one.rate).median
    more = figures.over(ours, bare, lambda one: one.rate)
    assert Spread(-75.0, -100.0, -50.0) == more


def test_added_and_ratio() -> None:
    """Ratios are of what was added to the bare proxy; what was not counted has none."""
    counted = {"bare": 100.0, "ours": 130.0, "peer": 160.0, "nothing": 100.0}
    assert 30.0 == figures.added(counted, "ours")
    assert figures.added(counted, "other") is None
    assert 0.5 == figures.ratio(counted, Target(name="", ours="ours", peer="peer", at_most=1))
    for peer in ("other", "nothing"):
        target = Target(name="", ours="ours", peer=peer, at_most=1)
        assert figures.ratio(counted, target) is None


def test_callgrind_totals(tmp_path: Path) -> None:
    """A file's total is read; one without is an error that names it."""
    dump = tmp_path / "callgrind.out.1"
    dump.write_text("events: Ir\nfn=(1)\n12 40\ntotals: 2400\n")
    assert 2400 == instructions.total(dump)
    dump.write_text("events: Ir\n")
    with pytest.raises(Trouble, match=r"no totals into callgrind\.out\.1"):
        instructions.total(dump)


def test_functions() -> None:
    """Costs are per request; a function's inlined and recursive parts are one."""
    expected = {
        ("tc_malloc", "envoy"): 5000.0,
        ("memcpy", "libc.so.6"): 250.0,
        ("0x0000000000001010", "libenvoy_pyfilter.so"): 100.0,
        ("_PyEval_EvalFrameDefault", "libpython3.11.so.1.0"): 60.0,
    }
    costs = functions.parse(ANNOTATED, 2000)
    assert expected == costs
    more = functions.minus(costs, {("tc_malloc", "envoy"): 4000.0, ("gone", "envoy"): 1.0})
    assert (1000.0, -1.0) == (more[("tc_malloc", "envoy")], more[("gone", "envoy")])


def test_names_of_our_functions() -> None:
    """An address within a function of ours gets its name; others' addresses stay."""
    ours, other = "libenvoy_pyfilter.so", "envoy"
    costs = {("0x1010", ours): 100.0, ("0x1020", ours): 1.0, ("0x1010", other): 5.0}
    symbols = [(0x1000, "plan_complete"), (0x1100, "ring_put")]
    expected = {("plan_complete", ours): 101.0, ("0x1010", other): 5.0}
    assert expected == functions.named(costs, symbols)
    assert costs == functions.named(costs, [])


def test_report() -> None:
    """Each table has its figures, ratios and targets."""
    target = Target(name="JSON", ours="ours-json", peer="native-json", at_most=0.4)
    text = report.markdown(results(), a_plan(target), {"h1-direct-load-cpu": "cpu.svg"})
    assert "| JSON | h1-direct | 0.50 | 0.40 | **not met** |" in text
    assert "| `ours-json`: The access filter with a JSON file | 85,000 | 5,000 | 70 |" in text
    assert "| 1,400 (900 to 1,900) | 0.93 (0.90 to 0.95) |" in text
    assert "| 3.5 (3.0 to 4.0) |" in text
    assert "\n    h2load -D 1000ms\n" in text
    assert "![h1-direct-load-cpu](cpu.svg)" in text
    assert "h1-direct-instructions" not in text


def test_many_headers() -> None:
    """They stand once below the commands, and few of them in each command."""
    many = results()
    scenario = Scenario(about="", headers="large")
    sent = [shlex.join(h2load.command(scenario, "PORT", *("-n", str(n)))) for n in (1, 2)]
    many.scenarios["h1-direct"].commands["load"] = sent
    text = report.markdown(many, a_plan(), {})
    for number in (1, 2):
        assert f"\n    h2load --h1 -t 1 -n {number} HEADERS 'http://127.0.0.1:PORT" in text
    assert 1 == text.count("-H 'x-request-filler-00: ")
    assert "\n    HEADERS: -H ':authority: " in text
    many.scenarios["h1-direct"].commands["load"] = ["h2load -H 'a: b' -H 'c: d' URL"]
    assert "\n    h2load -H 'a: b' -H 'c: d' URL\n" in report.markdown(many, a_plan(), {})


def test_results_are_read_back(tmp_path: Path) -> None:
    """What was written can be read, and what is no result is an error that names the file."""
    path = tmp_path / "results.json"
    path.write_bytes(msgspec.json.encode(results()))
    assert results() == figures.read(path)
    path.write_text("{}")
    with pytest.raises(Trouble, match=r"results\.json"):
        figures.read(path)


def test_the_scenarios() -> None:
    """All that scenarios.toml names is there: scenarios of profiles, variants, targets."""
    plan = scenarios.read()
    for profile in plan.profiles.values():
        assert set(profile.scenarios) <= set(plan.scenarios)
        assert 5 <= profile.rounds
    for one in plan.scenarios.values():
        for variants in one.measures().values():
            assert set(variants) <= set(VARIANTS)
    for target in plan.targets:
        assert {target.ours, target.peer} <= set(VARIANTS)


def test_wrong_names(tmp_path: Path) -> None:
    """A wrong name, or a wrong key of the file, is one line that says what there is."""
    plan = scenarios.read()
    with pytest.raises(Trouble, match="no scenario 'h9'; there are: h1-direct"):
        plan.scenario("h9")
    with pytest.raises(Trouble, match="no profile 'slow'; there are: quick"):
        plan.profile("slow")
    path = tmp_path / "scenarios.toml"
    path.write_text("profiles = {}\ntargets = []\n[scenarios.one]\nabout = ''\nprotocl = 'h1'")
    with pytest.raises(Trouble, match="protocl"):
        scenarios.read(path)


def test_one_scenario() -> None:
    """It is run with all its variants, whatever the profile; one that it lacks is named."""
    plan = scenarios.read()
    for name in plan.scenarios:
        whole = session.Session(plan, "full", name, [])
        assert whole.steps() > 0
        quick = session.Session(plan, "quick", name, [])
        assert whole.steps() == quick.steps()
    with pytest.raises(Trouble, match="nothing to measure: no lua in memory"):
        session.Session(plan, "quick", "memory", ["lua"])


def test_steps() -> None:
    """The bar counts each check, each count and each round."""
    plan = scenarios.read()
    quick = session.Session(plan, "quick", None, [])
    assert 4 + 4 + 4 * 5 == quick.steps()
    one = session.Session(plan, "quick", "h1-rate", ["lua"])
    assert 2 + 2 * 5 == one.steps()


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the tools and their Debian packages."""
    monkeypatch.setenv("PATH", "")
    expected = r"^missing: valgrind, h2load \(Debian: apt-get install nghttp2-client valgrind\)$"
    with pytest.raises(Trouble, match=expected):
        tools.need("valgrind", "h2load")
