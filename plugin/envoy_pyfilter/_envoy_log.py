# SPDX-License-Identifier: Apache-2.0
"""Why Envoy refused something, out of its log."""

from __future__ import annotations

import re

_RECORD = re.compile(
    r"^\[\d{4}-\d\d-\d\d [\d:.]+\]\[\d+\]\[(\w+)\]\[\w+\] \[[^\]]*\] ", re.MULTILINE
)
_DUMP = re.compile(r"goo\.gle/debug\w+.*\n: ", re.DOTALL)
_MARK = re.compile(r"goo\.gle/debug\w+\s*")  # stands before what no program should parse
_ARGUMENTS = re.compile(r"(?:PARSE ERROR|error): (?:(?!\n *\n).)+", re.DOTALL)
_UNBOUND = re.compile(r"cannot bind '([^']+)': ([^`\n]+)")


def complaints(log: str) -> list[str]:
    """
    Give the errors of a log in Envoy's own format, each as one line, none twice.

    Where Envoy prints the whole configuration between the place and the reason, that is left out;
    so are the further lines of a traceback.
    """
    pieces = _RECORD.split(log)
    found = [
        _MARK.sub("", _DUMP.sub("", text)).strip().partition("\n")[0]
        for level, text in zip(pieces[1::2], pieces[2::2], strict=True)
        if level in ("error", "critical")
    ]
    return list(dict.fromkeys(found))


def refused_arguments(said: str) -> str | None:
    """Give as one line why Envoy refuses its arguments, which it says before it has a log."""
    found = _ARGUMENTS.match(said)
    return " ".join(found[0].split()) if found else None


def not_bound(log: str) -> tuple[str, str] | None:
    """Give the address on which Envoy could not listen, and why; None when that is not it."""
    found = _UNBOUND.search("\n".join(complaints(log)[-1:]))
    return (found[1], found[2].strip()) if found else None
