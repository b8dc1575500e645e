# SPDX-License-Identifier: Apache-2.0
"""What ends a run with one line, and how long one waits."""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


class Trouble(Exception):  # noqa: N818 (a line for a person, not a bug)
    """The run cannot go on; the text is the line that is printed."""


def unknown(what: str, name: str, there: Iterable[str]) -> str:
    """Say that there is none of that name, which one is near it, and which there are."""
    names = list(there)
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"no {what} {name!r}{hint} there are: {', '.join(names)}"


def wait_for(condition: Callable[[], _T | None], what: str, seconds: float = 60) -> _T:
    """Return what *condition* returns once it is true; ``Trouble`` naming *what* after that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (OSError, ValueError, LookupError):
            pass
        time.sleep(0.05)
    raise Trouble(f"gave up after {seconds:.0f} s: {what}")
