# SPDX-License-Identifier: Apache-2.0
"""
What ``envoy_abi.h`` and ``envoy_abi_logger.h`` declare, as values to compare with the ABI table.

pycparser reads C without a preprocessor, so the few lines that need one are dropped and the two
``ABI_*`` words are replaced by storage classes, which it keeps: a weak callback becomes ``extern``,
a hook becomes ``static``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycparser import c_ast, c_parser  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
HEADERS = (ROOT / "abi" / "envoy_abi.h", ROOT / "abi" / "envoy_abi_logger.h")
TABLE = Path(__file__).with_name("abi_table.json")
OLDEST = "1.38.3"
HOOK_PREFIX = "envoy_dynamic_module_on_"

_KNOWN_TYPES = ("bool", "size_t", "int64_t", "uint32_t", "uint64_t")
_MARKS = {"ABI_WEAK": "extern", "ABI_HOOK": "static"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One prototype: its types as written, and how it is marked."""

    returns: str
    params: list[list[str]]
    weak: bool
    hook: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All declarations of the header, by name."""

    aliases: dict[str, str]
    structs: dict[str, list[list[str]]]
    enums: dict[str, dict[str, int]]
    functions: dict[str, Function]

    def hooks(self) -> set[str]:
        """Names of the functions that the shared object exports."""
        return {name for name, function in self.functions.items() if function.hook}

    def weak(self) -> set[str]:
        """Names of the callbacks that a host may lack."""
        return {name for name, function in self.functions.items() if function.weak}


def spelling(text: str) -> str:
    """One way of writing a type: single spaces, and none between stars."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*\*\s*", " *", text).replace("* *", "**")


def read_table(path: Path = TABLE) -> dict[str, Any]:
    """Return the ABI table as it stands in the file."""
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return table


def read_header(*paths: Path) -> Header:
    """Parse the headers at *paths*, or the ABI's two."""
    whole = "\n".join(path.read_text("utf-8") for path in paths or HEADERS)
    text = re.sub(r"/\*.*?\*/", " ", whole, flags=re.DOTALL)
    text = "\n".join("" if line.startswith("#") else line for line in text.splitlines())
    for mark, storage in _MARKS.items():
        text = re.sub(rf"\b{mark}\b", storage, text)
    known = "".join(f"typedef int {name};" for name in _KNOWN_TYPES)
    header = Header(aliases={}, structs={}, enums={}, functions={})
    for node in c_parser.CParser().parse(known + text).ext:
        if node.name not in _KNOWN_TYPES:
            _enter(header, node)
    return header


def _enter(header: Header, node: c_ast.Node) -> None:
    """Put one top-level declaration where it belongs; anything unexpected is an error."""
    inner = node.type.type if isinstance(node.type, c_ast.TypeDecl) else node.type
    if isinstance(node.type, c_ast.FuncDecl):
        header.functions[node.name] = _function(node)
    elif isinstance(inner, c_ast.Struct) and inner.decls:
        header.structs[node.name] = [[_type(member), member.name] for member in inner.decls]
    elif isinstance(inner, c_ast.Enum):
        header.enums[node.name] = {
            one.name: int(one.value.value) for one in inner.values.enumerators
        }
    elif isinstance(node, c_ast.Typedef):
        header.aliases[node.name] = _type(node)
    else:
        raise TypeError(f"{node.name}: neither type nor prototype")


def _function(node: c_ast.Decl) -> Function:
    params = [[_type(one), one.name] for one in node.type.args.params if one.name]  # none: (void)
    return Function(
        returns=_type(node.type),
        params=params,
        weak="extern" in node.storage,
        hook="static" in node.storage,
    )


def _type(node: c_ast.Node) -> str:
    """Write the type of a declaration, without the name that it declares."""
    inner = node.type
    if isinstance(inner, c_ast.PtrDecl):
        return spelling(f"{_type(inner)} *")
    if isinstance(inner, c_ast.TypeDecl):
        names = (
            inner.type.names if isinstance(inner.type, c_ast.IdentifierType) else [inner.type.name]
        )
        return " ".join([*inner.quals, *names])
    raise TypeError(f"a {type(inner).__name__} in a type")
