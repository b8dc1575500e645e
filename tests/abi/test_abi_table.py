# SPDX-License-Identifier: Apache-2.0
"""``abi/envoy_abi.h`` against the table of Envoy's ABI: names, types and values."""

from __future__ import annotations

import pytest

from .header import OLDEST, Function, read_header, read_table, spelling

HEADER = read_header()
TABLE = read_table()
FUNCTIONS = TABLE["functions"]


def expected(name: str) -> Function:
    """Return what the table says of a function, in the header's shape."""
    row = FUNCTIONS[name]
    hook = row["kind"] == "hook"
    return Function(
        returns=spelling(row["returns"]),
        params=[[spelling(of_type), param] for of_type, param in row["params"]],
        weak=not hook and OLDEST not in row["envoy"],
        hook=hook,
    )


def test_the_header_declares_something() -> None:
    """The parser sees all four sorts of declarations."""
    assert 100 < len(HEADER.functions)
    assert 10 <= len(HEADER.aliases)
    assert 4 <= len(HEADER.structs)
    assert 10 <= len(HEADER.enums)


@pytest.mark.parametrize("name", sorted(HEADER.functions))
def test_function(name: str) -> None:
    """Return type, parameter types and names, weak if 1.38 lacks it, and only then."""
    assert name in FUNCTIONS, "no such function in the ABI"
    assert "params" in FUNCTIONS[name], "its signature is not known: it must not be called"
    assert expected(name) == HEADER.functions[name]


@pytest.mark.parametrize("name", sorted(HEADER.structs))
def test_struct(name: str) -> None:
    """Members, in order, with their types."""
    members = [[spelling(of_type), member] for of_type, member in TABLE["structs"][name]]
    assert members == HEADER.structs[name]


@pytest.mark.parametrize("name", sorted(HEADER.enums))
def test_enum(name: str) -> None:
    """Every value, none missing and none of our own."""
    values = {f"{name}_{short}": value for short, value in TABLE["enums"][name].items()}
    assert values == HEADER.enums[name]


@pytest.mark.parametrize("name", sorted(HEADER.aliases))
def test_alias(name: str) -> None:
    """The type behind an opaque pointer, with its const."""
    assert spelling(TABLE["aliases"][name]) == HEADER.aliases[name]


def test_every_hook_of_the_http_filter_is_declared() -> None:
    """Optional hooks too: a host that looks one up finds it."""
    hooks = {name for name, row in FUNCTIONS.items() if row["kind"] == "hook"}
    assert hooks == HEADER.hooks()


def test_no_type_is_declared_for_nothing() -> None:
    """A type that no function reaches is dead text."""
    reached = set()
    for function in HEADER.functions.values():
        reached |= {function.returns, *(of_type for of_type, _ in function.params)}
    for members in HEADER.structs.values():
        reached |= {of_type for of_type, _ in members}
    words = {word for text in reached for word in text.replace("*", " ").split()}
    declared = HEADER.aliases.keys() | HEADER.structs.keys() | HEADER.enums.keys()
    assert set() == declared - words


def test_spelling() -> None:
    """Types compare by meaning, not by blanks."""
    assert "const char *" == spelling("const  char*")
    assert "void **" == spelling("void * *")
