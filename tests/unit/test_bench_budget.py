# SPDX-License-Identifier: Apache-2.0
"""The budget of instructions: what holds where, and who is over it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import budget, scenarios
from bench.budget import Allowed, Budget
from bench.trouble import Trouble

GIVEN = Budget(
    envoy="1.40.0",
    scenario="s",
    over=0.02,
    elsewhere=0.15,
    added={"gcc-12-x86_64": {"a": 1000, "b": 10, "c": 20, "d": 30}},
)
FILE = """\
envoy = "1.40.0"
scenario = "h1-direct"
over = 0.02
elsewhere = 0.15
[added.gcc-12-x86_64]
ours-json = 8500
"""


def test_the_cheapest_are_counted() -> None:
    """Three of them, or all, the cheapest first."""
    added = GIVEN.added["gcc-12-x86_64"]
    assert ["b", "c", "d"] == budget.chosen(added, everything=False)
    assert ["b", "c", "d", "a"] == budget.chosen(added, everything=True)


def test_two_percent_more_is_too_much() -> None:
    """The verdict and its line."""
    here = budget.allowed(GIVEN, "gcc-12-x86_64")
    assert "" == here.said
    line = "a                         1,020 added, budget 1,000 (+2.0%)"
    assert (True, line) == budget.verdict(here, "a", 1020)
    assert not budget.verdict(here, "a", 1021)[0]


def test_another_compiler() -> None:
    """It is held to the budget of one that is known, with more room, and it is said."""
    here = budget.allowed(GIVEN, "clang-17-x86_64")
    assert "no budget for clang-17-x86_64: gcc-12-x86_64's holds, with 15% more" == here.said
    assert budget.verdict(here, "a", 1150)[0]
    assert not budget.verdict(here, "a", 1151)[0]


def test_another_architecture() -> None:
    """Nothing is compared, and it is said."""
    here = budget.allowed(GIVEN, "gcc-12-aarch64")
    assert here.said.startswith("NOT COMPARED: no budget for gcc-12-aarch64")
    assert (True, "a                         9,999 added") == budget.verdict(here, "a", 9999)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (b"\0GCC: (Debian 12.2.0-14+deb12u1) 12.2.0\0", "gcc-12-x86_64"),
        (b"\0GCC: (GNU) 14.2.1 20250207\0", "gcc-14-x86_64"),
        (b"\0Debian clang version 14.0.6\0", "clang-14-x86_64"),
        (b"\0", "unknown-x86_64"),
    ],
)
def test_who_compiled_it(left: bytes, expected: str) -> None:
    """What compilers leave in the section .comment."""
    assert expected == budget.builder(b"\x7fELF" + left, "x86_64")


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (
            "8500",
            "'much'",
            r"^budget\.toml: added\.gcc-12-x86_64\.ours-json is 'much'; a number of",
        ),
        ("8500", "-1", r"added\.gcc-12-x86_64\.ours-json is -1; a number of instructions above 0"),
        ("ours-json", "ours-jsn", "^budget.toml: no variant 'ours-jsn'; did you mean ours-json?"),
        ("h1-direct", "h1-dirct", "^budget.toml: no scenario 'h1-dirct'; did you mean h1-direct?"),
        ("h1-direct", "h1-rate", "'h1-rate' counts no instructions; these do: h1-direct, "),
        ("ours-json = 8500", "", "^budget.toml: added names no variant"),
        ("over", "ovr", "ovr"),
        ("0.02", "'x'", r"\$\.over"),
    ],
)
def test_a_wrong_file(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    """One line says what is wrong, before anything is counted."""
    path = tmp_path / "budget.toml"
    path.write_text(FILE.replace(wrong, right))
    with pytest.raises(Trouble, match=said):
        budget.counted(budget.read(path), scenarios.read())


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(Trouble, match=r"budget\.toml: No such file or directory$"):
        budget.read(tmp_path / "budget.toml")


def test_the_file() -> None:
    """What it names is counted in its scenario, is ours, and has budgets that tell something."""
    given = budget.read()
    counted = scenarios.read().scenario(given.scenario).instructions
    for here, added in given.added.items():
        assert re.fullmatch(r"(gcc|clang)-\d+-\w+", here)
        assert set(added) <= set(counted)
        assert all(name.startswith("ours") for name in added)
        assert isinstance(budget.allowed(given, here), Allowed)
