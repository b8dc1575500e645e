# SPDX-License-Identifier: Apache-2.0
"""``docs/endings.md`` has the rows of the table of endings, and the table has the page's."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from e2e.endings import ROWS

DOCS = Path(__file__).parents[2] / "docs"
PARTS = re.split(r"^## (.*)$", (DOCS / "endings.md").read_text(), flags=re.MULTILINE)
SECTIONS = dict(zip(PARTS[1::2], PARTS[2::2], strict=True))
NAMES = re.compile(r"`([a-z_0-9]+)`")


def rows(section: str) -> list[list[str]]:
    """Give the cells of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def test_every_ending() -> None:
    """The page has the 24 endings once each, in order, and each has all cells but the last two."""
    found = rows("The endings")
    assert [str(number) for number in range(1, 25)] == [cells[0] for cells in found]
    assert {6} == {len(cells) for cells in found}
    assert all(all(cells[:4]) for cells in found)


def test_every_row_of_the_table() -> None:
    """Each test is named beside its ending, and nothing else is."""
    expected = defaultdict(list)
    for name, row in ROWS.items():
        expected[str(row.number)].append(name)
    assert expected == {number: NAMES.findall(names) for number, names in rows("The tests")}


def test_what_protocols_cannot_express() -> None:
    """The page has the reasons that the table has."""
    expected = {
        (name, protocol, why) for name, row in ROWS.items() for protocol, why in row.cannot.items()
    }
    assert expected == {
        (name, protocol, why)
        for names, protocols, why in rows("What a protocol cannot express")
        for name in NAMES.findall(names)
        for protocol in protocols.split(", ")
    }


def test_what_an_access_logger_has_otherwise() -> None:
    """The page names the rows in which the other host's entry differs, and the fields."""
    expected = {(name, field) for name, row in ROWS.items() for field in row.logged}
    assert expected == {
        (name, field)
        for names, fields, _, _ in rows("An access logger")
        for name in NAMES.findall(names)
        for field in NAMES.findall(fields)
    }


def test_settings() -> None:
    """A row that runs with Cilium's defaults, too, belongs to an ending with a setting."""
    settings = {cells[0]: cells[5] for cells in rows("The endings")}
    for name, row in ROWS.items():
        assert row.cilium is None or settings[str(row.number)], name


def test_rows_with_settings() -> None:
    """The page names the rows that run with Cilium's defaults, too."""
    prose, _, _ = SECTIONS["The tests"].partition("\n|")
    expected = {name for name, row in ROWS.items() if row.cilium is not None}
    assert expected == ROWS.keys() & set(NAMES.findall(prose))


def test_links() -> None:
    """The page is found from the others."""
    assert "docs/endings.md" in (DOCS.parent / "README.md").read_text()
    assert "(endings.md)" in (DOCS / "entry.md").read_text()
