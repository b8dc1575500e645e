# SPDX-License-Identifier: Apache-2.0
"""
The words of config errors: where, what is wrong, what was found, what was expected.

``<filter>: <dotted.path>: <problem>, got <value>; expected <what>``, where the filter's name is
put in front by ``_config``.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_PART: Final = 3  # characters from which on a part of a name tells which one is meant
_SHOWN: Final = 60  # characters of a value; the rest of a long one helps nobody


def problem(path: str, what: str, *, expected: str = "", **got: Any) -> ConfigError:
    """Make the error for *path*; pass ``got=value`` to show the value."""
    text = f"{path}: {what}" if path else what
    if "got" in got:
        text += f", got {shown(got['got'])}"
    if expected:
        text += f"; expected {expected}"
    return ConfigError(text)


def shown(value: Any) -> str:
    """*value* as JSON, on one line, cut when long."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def joined(path: str, key: str) -> str:
    """Path of a key inside *path*."""
    if _PLAIN_KEY.fullmatch(key) is None or len(key) > _SHOWN:
        return f"{path}[{shown(key)}]"
    return f"{path}.{key}" if path else key


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that *name* most likely means, or None."""
    folded = {_folded(candidate): candidate for candidate in known}
    meant = _folded(name[:_SHOWN])
    found = difflib.get_close_matches(meant, folded, n=1)
    if not found and len(meant) >= _PART:
        found = sorted((one for one in folded if meant in one), key=len)
    return folded[found[0]] if found else None


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return the end of an "unknown ..." message: the nearest known name, or all of them."""
    near = nearest(name, known)
    if near is not None:
        return f"; did you mean {near}?"
    return f"; known: {', '.join(known)}" if known else "; there are none"


def one_of(choices: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
