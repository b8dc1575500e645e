# SPDX-License-Identifier: Apache-2.0
"""``docs/config.md`` has every key with its default, every command and every operator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from envoy_pyfilter import formats
from envoy_pyfilter.access import AccessConfig, FileSinkConfig, PythonSinkConfig

TEXT = (Path(__file__).parents[2] / "docs" / "config.md").read_text()
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
    assert 2 == len(shown)
    for example in shown:
        formats.parse("".join(example))
