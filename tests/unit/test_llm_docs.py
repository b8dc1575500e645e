# SPDX-License-Identifier: Apache-2.0
"""``docs/llm.md`` has the filter's own keys, what it writes and what it counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
from envoy_pyfilter.access import AccessConfig
from envoy_pyfilter.llm_usage import _HEADERS, LlmUsage, LlmUsageConfig
from envoy_pyfilter.metrics import declared

from .llm_forms import CHAT, CHAT_STREAM
from .test_llm_reading import read

TEXT = (Path(__file__).parents[2] / "docs" / "llm.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Give the cells of the rows whose first cell is code, up to the next heading."""
    part = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| `.*\|$", part, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_key_and_default() -> None:
    """Each key that ``access`` lacks has a row, with its default."""
    shared = {one.name for one in msgspec.structs.fields(AccessConfig)}
    actual = {
        f"`{one.name}`": one.default
        if one.default_factory is msgspec.NODEFAULT
        else one.default_factory()
        for one in msgspec.structs.fields(LlmUsageConfig)
        if one.name not in shared
    }
    documented = {name: default for name, _, default, _ in rows("Config")}
    assert {name: f"`{json.dumps(value)}`" for name, value in actual.items()} == documented


def test_what_is_written() -> None:
    """Each fact has a row with its header."""
    facts = {
        **read([CHAT.body], events=False).facts(),
        **read([CHAT_STREAM.body], events=True).facts(),
    }
    documented = {cells[0]: cells[1] for cells in rows("What it writes") if len(cells) == 3}
    actual = {
        f"`{name}`": f"`{_HEADERS[name].decode()}`" if name in _HEADERS else "none"
        for name in facts
    }
    assert actual == documented


def test_every_counter() -> None:
    """Each counter has a row."""
    own = [one.name for one in declared(LlmUsage)]
    assert [f"`{name}`" for name in own] == [name for name, _ in rows("Stats")]
