# SPDX-License-Identifier: Apache-2.0
"""
Where ``tail`` gets entries from: the agent's socket, files that grow, stdin and FIFOs.

A source is asked for what is there and never waits. What it gives is read one by one, so that each
that cannot be read is counted for itself.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from envoy_pyfilter._cells import safe
from envoy_pyfilter._cilium import Decoder, Unreadable
from envoy_pyfilter._console import Refusal, WrongUse, say
from envoy_pyfilter._follow import Followed, Lines, entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envoy_pyfilter._listen import Listener, Packet
    from envoy_pyfilter._table import Entry

_CHUNK = 1 << 16
_SHOWN = 80  # characters of a line that is no entry


class Truncated(Exception):  # noqa: N818 (what is counted, as Unreadable)
    """A packet larger than the buffer."""

    counted_as: Final = "truncated"


class Empty(Exception):  # noqa: N818 (what is counted, as Unreadable)
    """A packet without bytes."""

    counted_as: Final = "empty"


Read: TypeAlias = "Callable[[], Entry]"  # raises Unreadable, Truncated or Empty


class Source(Protocol):
    """Where entries come from."""

    ended: bool  # nothing will come any more

    def fileno(self) -> int | None:
        """Give what is readable when there is something; None: ask again after a while."""

    def read(self) -> Iterator[Read]:
        """Give what is there, without waiting."""

    def rest(self) -> Iterator[Read]:
        """Let nothing more come, and give what would be lost."""

    def close(self) -> None:
        """Let go of it."""


class Packets:
    """What comes to a socket as the agent has it."""

    ended = False

    def __init__(self, listener: Listener, decoder: Decoder) -> None:
        self._listener = listener
        self._decoder = decoder
        self.close = listener.close

    def fileno(self) -> int | None:
        return self._listener.fileno()

    def read(self) -> Iterator[Read]:
        for packet in self._listener.read():
            yield partial(self._entry, packet)

    def rest(self) -> Iterator[Read]:
        self._listener.hang_up()
        for packet in self._listener.rest():
            yield partial(self._entry, packet)

    def _entry(self, packet: Packet) -> Entry:
        if packet.size == 0:
            raise Empty("a packet without bytes came; as the agent would, it ends the connection")
        if packet.is_cut:
            raise Truncated(
                f"a packet of {packet.size} bytes was cut at {len(packet.data)}, as the agent "
                "would do: --max-packet takes larger ones"
            )
        try:
            return self._decoder(packet.data)
        except Unreadable as error:
            raise Unreadable(f"a packet is no cilium.LogEntry: {error}") from error


def _line_entry(name: str, line: str) -> Entry:
    entry = entry_of(line)
    if entry is None:
        shown = safe(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")
        raise Unreadable(f"{name}: a line is no entry in JSON: {shown}")
    return entry


class _File:
    """A file that grows."""

    ended = False

    def __init__(self, name: str, *, from_start: bool) -> None:
        path = Path(name)
        there = path.exists()
        self._name = name
        self._followed = Followed(path, 0 if from_start or not there else path.stat().st_size)
        self.close = self._followed.close

    def fileno(self) -> int | None:
        return None

    def read(self) -> Iterator[Read]:
        for line in filter(None, self._followed.read()):
            yield partial(_line_entry, self._name, line)

    def rest(self) -> Iterator[Read]:
        yield from ()  # it stays where it is


class _Stream:
    """Stdin or a FIFO."""

    def __init__(self, name: str, fd: int) -> None:
        self.ended = False
        self._name = name
        self._fd = fd
        self._lines = Lines()

    def fileno(self) -> int | None:
        return self._fd

    def read(self) -> Iterator[Read]:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:  # a terminal that is gone, say
            raise Refusal(f"{self._name}: {error.strerror}") from error
        self.ended = not data
        for line in filter(None, self._lines.add(data) if data else self._lines.end()):
            yield partial(_line_entry, self._name, line)

    def rest(self) -> Iterator[Read]:
        yield from ()  # its writer may be about to write more

    def close(self) -> None:
        if self._fd > 0:
            os.close(self._fd)


def from_file(name: str, *, from_start: bool) -> Source:
    """Make the source of a file; WrongUse says why it cannot be read."""
    if name == "-":
        return _Stream("stdin", 0)
    try:
        status = Path(name).stat()
        if stat.S_ISFIFO(status.st_mode):
            # With a writer of our own it has no end when the last of the others leaves.
            return _Stream(name, os.open(name, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        if not stat.S_ISREG(status.st_mode):
            hint = f": --socket {name} listens there" if stat.S_ISSOCK(status.st_mode) else ""
            raise WrongUse(f"{name}: expected a file of JSON lines, a FIFO or - for stdin{hint}")
        with Path(name).open("rb"):
            pass
    except FileNotFoundError:
        if not Path(name).parent.is_dir():
            raise WrongUse(f"{name}: there is no folder {Path(name).parent}") from None
        say(f"{name} is not there yet; it is shown from its start once it is.")
    except OSError as error:
        raise WrongUse(f"{name}: {error.strerror}") from error
    return _File(name, from_start=from_start)
