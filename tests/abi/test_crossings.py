# SPDX-License-Identifier: Apache-2.0
"""Both sides of the seam name the same functions: cffi itself complains only when one is called."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from .header import ROOT, read_header

PACKAGE = ROOT / "plugin" / "envoy_pyfilter"
PROTOTYPE = re.compile(r"^(\w[\w ]*[ *])(pyfilter_\w+)\(", re.MULTILINE)
USED = re.compile(r"\blib\.(\w+)")


def prototypes(name: str) -> dict[str, str]:
    """Return the functions of one of C's headers, and what each returns."""
    text = (ROOT / "abi" / name).read_text("utf-8")
    return {function: returns.strip() for returns, function in PROTOTYPE.findall(text)}


def attached() -> dict[str, dict[str, str]]:
    """Return the functions that ``_hooks.py`` attaches, and the keywords of ``def_extern``."""
    tree = ast.parse((PACKAGE / "_hooks.py").read_text("utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "ffi.def_extern":
                    found[node.name] = {str(k.arg): ast.unparse(k.value) for k in call.keywords}
    return found


CROSSINGS = prototypes("crossing.h")
ATTACHED = attached()


def test_every_crossing_is_attached() -> None:
    """And nothing is attached that C never calls."""
    assert CROSSINGS.keys() == ATTACHED.keys()


@pytest.mark.parametrize("name", sorted(CROSSINGS))
def test_what_c_gets_when_python_fails(name: str) -> None:
    """
    Every crossing says what it answers then, and logs.

    A hook's status is -1, which C settles; only the local reply, which cannot be stopped, goes on.
    """
    errors = {
        "int": "0" if name == "pyfilter_local_reply" else "-1",
        "bool": "False",
        "void *": "ffi.NULL",
        "void": None,
    }
    assert errors[CROSSINGS[name]] == ATTACHED[name].get("error")
    assert "_seam_failed" == ATTACHED[name].get("onerror")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_what_python_calls_exists(path: Path) -> None:
    """Every name of ``lib`` is declared, and none is a callback that some host lacks."""
    header = read_header()
    constants = {name for values in header.enums.values() for name in values}
    services = (ROOT / "abi" / "services.h").read_text("utf-8")
    used = set(USED.findall(path.read_text("utf-8")))
    declared = constants | (header.functions.keys() - header.weak() - header.hooks())
    assert set() == {name for name in used - declared if not re.search(rf"\b{name}\b", services)}
