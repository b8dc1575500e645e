# SPDX-License-Identifier: Apache-2.0
"""
``envoy-pyfilter tail``: entries as they come, from a socket like the agent's and from files.

1. Each source gives what is there when it is asked: packets, or lines.
2. ``Tail`` makes entries of them, adds a response's time, and prints those that are asked for.
3. It ends with a signal, with its reader, with its last source, or after so many entries; then it
   says what it counted. After a signal it shows first what the socket holds: nobody else will.

All of it runs on one thread, which waits in ``poll``; a signal wakes it through a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envoy_pyfilter import _listen
from envoy_pyfilter._cilium import Decoder, Unreadable
from envoy_pyfilter._console import WrongUse, say
from envoy_pyfilter._follow import INTERVAL, Printer, Stuck
from envoy_pyfilter._listen import Listener
from envoy_pyfilter._match import Pairs, Wanted
from envoy_pyfilter._sources import Empty, Packets, Read, Source, Truncated, from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from envoy_pyfilter._table import Entry

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOT_SHOWN = (Truncated, Unreadable, Empty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command is asked for."""

    socket: str | None = None
    mode: int | None = None  # None: the default, where the socket has a file
    max_packet: int = _listen.MAX_PACKET
    files: list[str]
    from_start: bool = False
    wanted: Wanted
    count: int | None = None
    json: bool = False
    headers: bool = False


def _sources(asked: Asked, stack: ExitStack) -> list[Source]:
    if asked.socket is None and not asked.files:
        raise WrongUse("tail: expected --socket PATH, or a FILE, or - for stdin")
    if asked.socket is None and asked.mode is not None:
        raise WrongUse("--mode is that of a socket's file: it needs --socket PATH")
    found: list[Source] = []
    for name in asked.files:
        found.append(from_file(name, from_start=asked.from_start))
        stack.callback(found[-1].close)
    if asked.socket is not None:
        if asked.mode is not None and asked.socket.startswith("@"):
            raise WrongUse("--mode has no meaning for an abstract name: it has no file")
        decoder = Decoder()
        mode = _listen.MODE if asked.mode is None else asked.mode
        listener = Listener(asked.socket, mode=mode, max_packet=asked.max_packet)
        stack.callback(listener.close)
        found.append(Packets(listener, decoder))
        say(f"Listening on {asked.socket}. Ctrl-C ends it.")
    return found


class _Signals:
    """The signals that are to end the command."""

    def __init__(self, fd: int) -> None:
        self.fd = fd  # readable once one came
        self.came = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


@contextmanager
def _caught() -> Iterator[_Signals]:
    """Catch signals until the end of the block."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signals = _Signals(read)
    before_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    before = {number: signal.signal(number, signals.on_signal) for number in SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        os.close(read)
        os.close(write)


class Tail:
    """One run: what it counts, and when it ends."""

    def __init__(self, asked: Asked, sources: list[Source], signals: _Signals) -> None:
        """*signals* tell it to end."""
        self._asked = asked
        self._sources = sources
        self._signals = signals
        self._pairs = Pairs()
        words = ("received", "shown", *(one.counted_as for one in NOT_SHOWN))
        self._counts = dict.fromkeys(words, 0)
        self._printer = Printer(
            sys.stdout,
            self._leave,
            as_table=False if asked.json else None,
            headers=asked.headers,
            wake=signals.fd,
        )
        self.left = False  # nobody reads what we print

    def _leave(self) -> None:
        self.left = True

    @property
    def _enough(self) -> bool:
        return self.left or self._counts["shown"] == self._asked.count

    @property
    def _ended(self) -> bool:
        return self._enough or self._signals.came or not self._sources

    def until_end(self) -> None:
        """Show entries until something ends it."""
        with suppress(Stuck):
            while not self._ended:
                ready = self._ready()
                for source in self._sources:
                    if source.fileno() is None or source.fileno() in ready:
                        self._take(source.read(), lambda: self._ended)
                self._sources = [source for source in self._sources if not source.ended]
            for source in self._sources:
                self._take(source.rest(), lambda: self._enough)

    def _ready(self) -> set[int]:
        """Wait until there may be something, and give the file descriptors that have it."""
        poll = select.poll()
        numbers = [source.fileno() for source in self._sources]
        for fd in (*numbers, self._signals.fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        poll.register(sys.stdout, 0)  # tells when its reader leaves
        ready = {fd for fd, _ in poll.poll(INTERVAL * 1000 if None in numbers else None)}
        if sys.stdout.fileno() in ready:
            self._leave()
        return ready

    def _take(self, reads: Iterator[Read], ended: Callable[[], bool]) -> None:
        """Show what a source has; nothing is taken from it that is not shown, or counted."""
        while not ended() and (read := next(reads, None)) is not None:
            self._counts["received"] += 1
            try:
                self._show(read())
            except NOT_SHOWN as error:
                self._count(error.counted_as, str(error))

    def _count(self, what: str, text: str) -> None:
        """Count what is wrong with an entry, and say it the first time."""
        self._counts[what] += 1
        if self._counts[what] == 1:
            say(f"envoy-pyfilter: {text}")

    def _show(self, entry: Entry) -> None:
        self._pairs.add_times(entry)
        if not self._asked.wanted.takes(entry):
            return
        self._printer.entry(entry)
        self._counts["shown"] += not self.left

    def summary(self) -> str:
        """Say what was counted."""
        told = dict(self._counts)
        if not told[Empty.counted_as]:
            del told[Empty.counted_as]
        return ", ".join(f"{number} {what}" for what, number in told.items())


def tail(asked: Asked) -> int:
    """Show entries until the end; 0, or WrongUse when it cannot begin."""
    with ExitStack() as stack:
        signals = stack.enter_context(_caught())
        one = Tail(asked, _sources(asked, stack), signals)
        one.until_end()
    if not one.left:
        say(f"envoy-pyfilter: {one.summary()}")
    return 0
