# SPDX-License-Identifier: Apache-2.0
"""The load script against a real Envoy: each measure once, with numbers that say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import checking, idle, job, memory, ours, report, scenarios, session, tools
from bench.running import bench
from bench.scenarios import Profile, Scenario
from bench.setup import Setup
from bench.trouble import Trouble
from bench.variants import VARIANTS

WATCHED = 400


@pytest.mark.long
def test_each_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measure has figures for its variant and bare, and its part of the report."""
    tools.need("h2load", "valgrind", "callgrind_control", "cc")
    monkeypatch.setattr(memory, "WARM_UP", 200)
    monkeypatch.setattr(idle, "SECONDS", 1.0)
    one = Scenario(
        about="Tiny.",
        instructions=["ours-unwanted"],
        load=["fixed-c", "ours-hook-busy"],
        scaling=["ours-json"],
        memory={"ours-hook": WATCHED},
        idle=["ours-python"],
    )
    given = scenarios.read()
    plan = scenarios.Plan(
        profiles={"tiny": Profile(about="", scenarios=["one"], rounds=2, seconds=0.3)},
        scenarios={"one": one},
        targets=given.targets,
        limits=given.limits,
    )
    steps: list[str] = []
    whole = session.Session(plan, "tiny", None, [])
    with bench("1.40.0") as here:
        (results,) = whole.run(here, "a test", steps.append)
    assert whole.steps() == len(steps)
    found = results.scenarios["one"]
    assert 0 < found.instructions["ours-unwanted"] - found.instructions["bare"]
    assert found.instructions["bare"] == min(found.counts["bare"])
    assert {"bare", "fixed-c", "ours-hook-busy"} == {*found.load}
    assert "FOLDER/out.log" in str(found.configs["ours-json"])
    assert all(one.done and not one.bad for rounds in found.load.values() for one in rounds)
    assert 0 == found.lost["ours-json, workers: 2"]
    assert ["1", "2"] == list(found.scaling["ours-json"])
    assert [-1, 0, 100, 200, 300, 400] == [point.requests for point in found.memory["ours-hook"]]
    assert {"before", "after"} == {*found.idle["ours-python"]}
    text = report.markdown(results, plan, {})
    for title, _ in report.MEASURES.values():
        assert f"### {title}\n" in text


@pytest.mark.long
def test_a_variant_that_does_not_do_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything is measured."""
    monkeypatch.setitem(job.EXPECTED, "method", "PUT")
    with bench("1.40.0") as here, pytest.raises(Trouble, match="ours-json does not do the work"):
        checking.check(here, Scenario(about=""), "ours-json")


@pytest.mark.long
def test_a_variant_that_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The end of Envoy's log, which says why, stands below."""
    (tmp_path / "raising.py").write_text(
        "from envoy_pyfilter import Filter\n"
        "class Raising(Filter):\n"
        "    def on_request_headers(self, stream, end_of_stream):\n"
        "        raise ValueError('none of this')\n"
    )
    raising = ours.our_filter("raising:Raising", python_path=[str(tmp_path)])
    monkeypatch.setitem(VARIANTS, "ours-raising", lambda _: Setup(filters=[raising]))
    with bench("1.40.0") as here, pytest.raises(Trouble) as raised:
        checking.check(here, Scenario(about="", requests=20), "ours-raising")
    first, second, *rest = str(raised.value).splitlines()
    assert "ours-raising does not do the work: 20 requests: " in first
    assert "envoy.log ends with:" == second
    assert "ValueError: none of this" in "\n".join(rest)
