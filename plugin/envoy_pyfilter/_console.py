# SPDX-License-Identifier: Apache-2.0
"""
How the command speaks: results go to stdout, what it does meanwhile to stderr.

A sentence that ends the command is a ``Refusal``; ``cli.main`` prints it and returns its code.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Refusal(Exception):  # noqa: N818 (not an error of the program but its answer)
    """The command cannot do what was asked; the text says why and what would help."""

    code = 1


class WrongUse(Refusal):
    """An argument that cannot be used; the text names it and says what was expected."""

    code = 2


def say(text: str) -> None:
    """Print one line about what is going on."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is done now and, when it is done, how long it took."""
    say(f"== {text}")
    start = time.monotonic()
    yield
    say(f"== done after {time.monotonic() - start:.0f} s")
