# SPDX-License-Identifier: Apache-2.0
"""``docs/operator.md`` says what the code does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from envoy_pyfilter._operator import alias_file, command
from envoy_pyfilter.operators import PROFILES, resolve_format

TEXT = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
KINDS = alias_file.read(Path("docs"), EXAMPLES[1])
ROWS = [
    re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| (`%+EG_.*) \|$", TEXT, re.MULTILINE)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_rows(row: list[str]) -> None:
    """Each row of the tables of formats."""
    text, *expected = row

    assert expected == [
        resolve_format(text, KINDS, profile).text for profile in PROFILES[: len(expected)]
    ]


def test_all_kinds_have_rows() -> None:
    """Each alias of the example is used, and there is one of each kind."""
    used = {match[1] for row in ROWS if (match := re.search(r"\((\w+):", row[0]))}

    assert {alias.name for alias in KINDS} <= used
    assert 5 == len({alias.kind for alias in KINDS})
    assert 6 == len(KINDS)  # and one that keeps statistics
    assert (16, 7) == (sum(len(row) == 2 for row in ROWS), sum(len(row) == 4 for row in ROWS))


def test_the_first_example() -> None:
    """The example of the page's beginning."""
    before, after = re.findall(r"^`(auth=[^`]+)`", TEXT, re.MULTILINE)

    assert after == resolve_format(before, alias_file.read(Path("docs"), EXAMPLES[0])).text


def test_options() -> None:
    """Each option of the command has a row, and each row is an option."""
    parser = argparse.ArgumentParser(add_help=False)
    command.add(parser)
    options = {one for action in parser._actions for one in action.option_strings}

    assert options == {*re.findall(r"^\| `(--[a-z-]+)", TEXT, re.MULTILINE)}
