# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, which is what tests do instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: object, *, seconds: float = 30.0) -> T:
    """
    Call *condition* until it gives something true, and return that.

    *what* names the thing waited for; a callable is asked when the time is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            told = what() if callable(what) else what
            raise AssertionError(f"not within {seconds} s: {told}")
        time.sleep(0.002)
