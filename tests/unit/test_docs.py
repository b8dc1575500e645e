# SPDX-License-Identifier: Apache-2.0
"""``docs/config.md`` has every key with its default, every command and every operator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from envoy_pyfilter import formats
from envoy_pyfilter._sink_config import CiliumSinkConfig, FileSinkConfig, PythonSinkConfig
from envoy_pyfilter.access import AccessConfig

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "config.md").read_text()
ROW = re.compile(r"^\| `([a-z_.\[\]]+)` \| [^|]+ \| ([^|]+) \|", re.MULTILINE)


def keys(kind: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key of a config class with its default as the docs write it."""
    for field in msgspec.structs.fields(kind):
        name, default = f"{prefix}{field.name}", field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if isinstance(default, msgspec.Struct):
            yield name, "`{}`"
            yield from keys(type(default), f"{name}.")
        elif field.required:
            yield name, "required"
        else:
            yield name, f"`{json.dumps(msgspec.to_builtins(default))}`"


def test_every_key_and_default() -> None:
    """Each key has a row, each row is a key, and the defaults are right."""
    documented = {name: default for name, default in ROW.findall(TEXT) if "[]" not in name}
    actual = dict(keys(AccessConfig))
    actual["log.fields"] = "all"
    by_compat = {
        "log.aborted": "true",
        "log.tunnel_at": '"stream_complete"',
        "log.redirected": "true",
    }
    actual |= {name: f"by `compat`: `{default}`" for name, default in by_compat.items()}
    actual["sinks"] = '`[{"type": "file", "path": "/dev/stdout"}]'
    assert actual.keys() == documented.keys()
    for name, default in actual.items():
        assert documented[name].startswith(default), name


def test_every_key_of_sinks() -> None:
    """The same for sinks, of which each type has keys of its own."""
    documented = {name: default for name, default in ROW.findall(TEXT) if "[]" in name}
    actual = {
        "sinks[].type": "required",
        **dict(keys(FileSinkConfig, "sinks[].")),
        **dict(keys(PythonSinkConfig, "sinks[].")),
        **dict(keys(CiliumSinkConfig, "sinks[].")),
    }
    assert actual.keys() == documented.keys()
    for name, default in actual.items():
        assert documented[name].startswith(default), name


def test_every_command() -> None:
    """Each command of state formats is documented, and nothing else is."""
    documented = {
        name for row in re.findall(r"^\| (`%.*?) \|", TEXT, re.MULTILINE)
        for name in re.findall(r"%([A-Z_]+)", row)
    }  # fmt: skip
    assert {*formats.KNOWN} == documented


def test_the_examples_parse() -> None:
    """Formats that the page shows are formats."""
    shown = re.findall(r"[a-z.]+: \"(%.*)\"$|`(%[A-Z_]+\(.*?\):\d+%)`", TEXT, re.MULTILINE)
    assert 3 == len(shown)
    for example in shown:
        formats.parse("".join(example))


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Give the fragments of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link(page: Path) -> None:
    """Each relative link of a page leads to a file of the tree, and to a heading of it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert [] == broken
