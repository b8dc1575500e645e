# SPDX-License-Identifier: Apache-2.0
"""``docs/hooks.md`` has every hook, verdict, member and attribute, as they are in the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from envoy_pyfilter import Body, Counter, Gauge, Headers, Histogram, Stream
from envoy_pyfilter.attributes import ATTRIBUTES, NEVER
from envoy_pyfilter.filter import HOOKS
from envoy_pyfilter.metadata import DynamicMetadata, FilterState
from envoy_pyfilter.notes import Notes
from envoy_pyfilter.verdict import _GRPC_OF_HTTP

from .test_flow_verdicts import STATUSES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "hooks.md").read_text()
HEADER = (ROOT / "abi" / "envoy_abi.h").read_text()


def rows(section: str) -> list[list[str]]:
    """Cells of the tables under one heading."""
    start = TEXT.index(f"\n{section}\n")
    end = re.compile(r"\n#+ ").search(TEXT, start + len(section))
    part = TEXT[start : end.start() if end else None]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| ")
    ]


def test_every_hook() -> None:
    """Each hook has a row, in the order of the mask, and its own ABI hook."""
    documented = [row[0].strip("`").partition("(")[0] for row in rows("## Hooks")[1:]]
    assert [*HOOKS, "on_config_destroy"] == documented


def test_every_status() -> None:
    """Each verdict's statuses are right."""
    found = {
        row[0]: dict(zip(("headers", "body", "trailers"), map(int, row[2:]), strict=True))
        for row in rows("## Verdicts")[1:]
    }
    names = {
        "PASS": "`None`, `PASS`",
        "BUFFER": "`BUFFER`",
        "PAUSE": "`PAUSE`",
        "Reply": "`Reply(...)`",
    }
    expected = {
        text: {kind: STATUSES[kind][name] for kind in STATUSES} for name, text in names.items()
    }
    assert expected == found


def test_every_grpc_status() -> None:
    """The mapping of HTTP statuses is right."""
    (text,) = re.findall(r"one, or (400 .*?), all others", TEXT, re.DOTALL)
    found = {
        int(http): int(grpc)
        for group, grpc in re.findall(r"((?:\d{3}[, and]*)+) → (\d+)", text)
        for http in re.findall(r"\d{3}", group)
    }
    assert _GRPC_OF_HTTP == found


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        (Stream, "## The stream"),
        (Headers, "### Headers"),
        (Body, "### Bodies"),
        (FilterState, "### State and metadata"),
        (DynamicMetadata, "### State and metadata"),
        (Notes, "### The record"),
        (Counter, "## Metrics"),
        (Gauge, "## Metrics"),
        (Histogram, "## Metrics"),
    ],
)
def test_every_member(kind: type, section: str) -> None:
    """Each public member is in its section."""
    start = TEXT.index(f"\n{section}\n")
    part = TEXT[start : TEXT.index("\n## ", start + 5) if "\n## " in TEXT[start + 5 :] else None]
    members = {name for name in dir(kind) if not name.startswith("_")} - {"kind", "labels", "name"}
    assert set() == {name for name in members if not re.search(rf"[`. ]{name}[`(]", part)}


def test_every_attribute() -> None:
    """Each attribute has its type and its release."""
    kinds = {"text": "`str`", "int": "`int`", "bool": "`bool`"}
    assert [
        [f"`{name}`", kinds[attribute.kind], f"1.{attribute.since}"]
        for name, attribute in ATTRIBUTES.items()
        if attribute.since != NEVER
    ] == rows("### Attributes")[1:]
    (never,) = re.findall(r"always `None`: (.*)\.\n", TEXT)
    assert [name for name, attribute in ATTRIBUTES.items() if attribute.since == NEVER] == (
        re.findall(r"`([\w.]+)`", never)
    )


def test_every_abi_name() -> None:
    """What is named as the ABI's is in the ABI."""
    names = {
        name
        for name in re.findall(r"`((?:on_http|http|get)_[a-z_]+)(?:_\*)?`", TEXT)
        if name not in {"get_all", "http_get_metadata", "http_set_dynamic_metadata"}
    }
    names -= {"http_add_dynamic_metadata_list"}
    assert 30 < len(names)
    assert set() == {
        name
        for name in names
        if f"envoy_dynamic_module_callback_{name}(" not in HEADER
        and f"envoy_dynamic_module_{name}(" not in HEADER
    }


def test_the_examples_run() -> None:
    """The filter at the top passes the tests at the bottom."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Callable[[], None]] = {}
    exec(compile(blocks[0], "top", "exec"), names)  # noqa: S102 (our own page)
    exec(compile(blocks[-1], "bottom", "exec"), names)  # noqa: S102 (our own page)
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert 2 == len(tests)
    for test in tests:
        test()
