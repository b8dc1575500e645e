# SPDX-License-Identifier: Apache-2.0
"""
How a run ends before its time: by a signal, in order, with all that it started.

SIGINT, SIGTERM and SIGHUP unwind the run as an exception does, so Envoys, servers and load
generators are ended and the run's folder goes. Of a run that is killed the kernel ends them.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envoy_pyfilter import _child

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        """Keep the signal's *number*."""
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextmanager
def interruptible() -> Iterator[None]:
    """
    Raise ``Interrupted`` in the block at the first of ``SIGNALS``; later ones change nothing.

    SIGINT counts also where a shell has it ignored (a job in the background), for the Envoys end by
    it. SIGHUP does not where it is ignored, as ``nohup`` has it.
    """
    taken = [one for one in SIGNALS if not (one == signal.SIGHUP and _ignored(one))]
    terminals = [one for one in (1, 2) if os.isatty(one)]  # of one that was closed it says no

    def interrupt(number: int, _: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        if number == signal.SIGHUP:
            _let_go_of(terminals)
        raise Interrupted(number)

    before = {one: signal.signal(one, interrupt) for one in taken}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def with_us(command: list[str]) -> list[str]:
    """Give a command line by which *command* ends when we do, however that happens."""
    return [sys.executable, "-I", _child.__file__, str(os.getpid()), *command]


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def _let_go_of(terminals: list[int]) -> None:
    """Have what is still printed go nowhere: a terminal that was closed refuses it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
