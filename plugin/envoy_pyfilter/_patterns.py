# SPDX-License-Identifier: Apache-2.0
"""Header patterns: names and globs, checked so that fnmatch(3) can take them as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME: Final = r"!#$%&'*+\-.^_`|~0-9a-z"  # RFC 9110, lower case
_ALLOWED: Final = re.compile(rf"[{_NAME}?\[\]]+")
_SET: Final = re.compile(r"\[(?:[!^]([^\[\]]+)|([^!^\[\]][^\[\]]*))\]")
_RANGE: Final = re.compile(r"(.)-(.)")
_LONGEST: Final = 256


def compiled(path: str, patterns: Iterable[str]) -> tuple[str, ...]:
    """
    Return *patterns* in lower case, each once.

    Raises ``ConfigError`` with the path of the first pattern that cannot be one.
    """
    unique = {
        _compiled(f"{path}[{index}]", pattern): None for index, pattern in enumerate(patterns)
    }
    return tuple(unique)


def _compiled(path: str, pattern: str) -> str:
    lower = pattern.lower()
    why = _fault(lower)
    if why is not None:
        raise problem(path, why, got=pattern, expected="a header name or a glob of * ? [a-z] [!a]")
    return lower


def _fault(pattern: str) -> str | None:
    if not pattern:
        return "empty pattern"
    if len(pattern) > _LONGEST:
        return f"pattern longer than {_LONGEST} characters"
    if pattern.startswith(":"):
        return "pseudo headers have fields of their own (method, path, authority, response_code)"
    if _ALLOWED.fullmatch(pattern) is None:
        return "a character that no header name has"
    return _glob_fault(pattern)


def _glob_fault(pattern: str) -> str | None:
    rest = _SET.sub("", pattern)
    if "[" in rest or "]" in rest:
        return "a glob that cannot be compiled (a set [...] is empty, nested or not closed)"
    for excluded, included in _SET.findall(pattern):
        for first, last in _RANGE.findall(excluded or included):
            if first > last:
                return f"a glob that cannot be compiled (the range {first}-{last} is empty)"
    return None
