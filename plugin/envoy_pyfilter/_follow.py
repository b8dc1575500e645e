# SPDX-License-Identifier: Apache-2.0
"""
Entries on their way to the reader: a file that is followed, and what prints a line or an entry.

People read a table (``_table``), programs JSON lines. ``run`` and ``tail`` share both.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any, TextIO

from envoy_pyfilter._cells import safe
from envoy_pyfilter._match import KINDS
from envoy_pyfilter._table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from envoy_pyfilter._table import Entry

INTERVAL = 0.1  # seconds between two looks at a file that had nothing new
_GRACE = 0.5  # seconds that a new file waits for the one before it, whose writer may be late
_QUIET = 60.0  # seconds that nothing has to come into a file that was moved away, to let go of it
_CHUNK = 1 << 16
_MAX_LINE = 1 << 24  # bytes; what is longer is no entry, and must not fill the memory
_PATIENCE = 1.0  # seconds for a reader that does not read, when the command is to end
_PIPE = 4096  # bytes that a pipe takes without waiting once it is writable
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # JSON would not escape these itself


def entry_of(line: str) -> Entry | None:
    """Read a line that has an entry; None when it is something else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return None
    return value if isinstance(value.get("response_code", 0), int) else None


def as_json(entry: Entry) -> str:
    """Write an entry as one line of JSON in which every control character is escaped."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Stuck(Exception):  # noqa: N818 (the reader's choice, not an error)
    """What was to be printed cannot be, and the command was told to end."""


class Printer:
    """
    Prints lines and entries to a file descriptor, from any thread.

    ``closed`` is called once when nobody reads them any more. A reader that does not read is waited
    for until *wake* is readable, and from then on for a second at most.
    """

    def __init__(
        self,
        out: TextIO,
        closed: Callable[[], None],
        *,
        as_table: bool | None = None,
        headers: bool = True,
        wake: int | None = None,
    ) -> None:
        """*as_table*: None for what *out* is: people read a terminal, programs a pipe."""
        self._fd = out.fileno()
        self._closed = closed
        terminal = out.isatty()
        self.as_table = terminal if as_table is None else as_table
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._table = Table(colour=colour, headers=headers)
        self._encoding = out.encoding if self.as_table else "utf-8"
        self._wake = [] if wake is None else [wake]
        self._lock = threading.Lock()
        self._broken = False

    def line(self, text: str) -> None:
        """Print one line: an entry, or something else that shares its way."""
        entry = entry_of(text) if self.as_table else None
        if entry is not None:
            self.entry(entry)
        else:
            with self._lock:
                self._print([safe(text) if self.as_table else text])

    def entry(self, entry: Entry) -> None:
        """Print one entry; Stuck when the reader does not read and we are to end."""
        with self._lock:
            if self.as_table:
                self._print(self._table.rows(entry, *_size(self._fd)))
            else:
                self._print([as_json(entry)])

    def _print(self, lines: list[str]) -> None:
        if self._broken:
            return
        data = "".join(f"{line}\n" for line in lines).encode(self._encoding, "backslashreplace")
        try:
            self._write(data)
        except OSError:  # the reader of the pipe left, or the terminal closed
            self._broken = True
            self._closed()

    def _write(self, data: bytes) -> None:
        while data:
            _, writable, _ = select.select(self._wake, [self._fd], [])
            if not writable and not select.select([], [self._fd], [], _PATIENCE)[1]:
                raise Stuck
            data = data[os.write(self._fd, data[:_PIPE]) :]

    def lines(self, source: Iterable[str]) -> None:
        """Print all lines of a source, until its end."""
        for text in source:
            self.line(text.rstrip("\n"))


def _size(fd: int) -> tuple[int, int]:
    """Give the columns and lines of a terminal, which may have changed since the last time."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return 80, sys.maxsize
    return size.columns or 80, size.lines or sys.maxsize


class Lines:
    """Cuts what comes in pieces into lines."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = b""

    def add(self, data: bytes) -> Iterator[str]:
        """Give the lines that are whole with this piece."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            yield from self.end()
        for one in whole:
            yield one.decode("utf-8", "replace")

    def end(self) -> Iterator[str]:
        """Give the last line, which has no end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield rest.decode("utf-8", "replace")


class _Held:
    """A file that has, or had, the path."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.lines = Lines()
        self.moved_at: float | None = None  # when another one had the path
        self._came_at = time.monotonic()  # when there was something in it

    def is_at(self, path: Path) -> bool:
        return os.path.samestat(os.fstat(self._file.fileno()), path.stat())

    def more(self) -> bytes:
        """Give what came, in pieces; nothing at the end."""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self.lines = Lines()
        data = self._file.read(_CHUNK)
        if data:
            self._came_at = time.monotonic()
        return data

    def moved_for(self, seconds: float) -> bool:
        """Tell whether it has been another's path for that long."""
        return self.moved_at is not None and time.monotonic() - self.moved_at >= seconds

    @property
    def is_over(self) -> bool:
        return self.moved_for(_QUIET) and time.monotonic() - self._came_at >= _QUIET

    def close(self) -> None:
        self._file.close()


class Followed:
    """
    A file that grows: it may appear later, be cut, and be moved away for a new one.

    The new one is read from its start, a little later than it is there, and the old one as long as
    somebody still writes it. A file that had the path between two calls of ``read`` is not seen.
    """

    def __init__(self, path: Path, start: int) -> None:
        """*start*: the byte from which on it is read."""
        self.path = path
        self._start = start
        self._files: list[_Held] = []  # the last one is that which had the path last

    def read(self, *, at_end: bool = False) -> Iterator[str]:
        """Give the lines that are there, without waiting for more; *at_end*: for the last time."""
        self._look()
        position = 0
        while position < len(self._files):
            file = self._files[position]
            while data := file.more():
                yield from file.lines.add(data)
                self._look()  # who prints the lines may take long
            if file.is_over or (at_end and file.moved_at is not None):
                del self._files[position]
                file.close()
                yield from file.lines.end()
                continue
            if file.moved_at is not None and not file.moved_for(_GRACE):
                return
            position += 1

    def _look(self) -> None:
        """Open the file that has the path, where it is another one than before."""
        try:
            if not self.path.is_file() or (self._files and self._files[-1].is_at(self.path)):
                return
            file = self.path.open("rb")
        except OSError:  # a new file that is not ours to read yet
            return
        file.seek(self._start)
        self._start = 0
        if self._files:
            self._files[-1].moved_at = time.monotonic()
        self._files.append(_Held(file))

    def close(self) -> None:
        """Close what is open."""
        for file in self._files:
            file.close()
        self._files.clear()


def follow(path: Path, line: Callable[[str], Any], ended: threading.Event, start: int) -> None:
    """Call *line* with each line that a file gets from the byte *start* on, until *ended*."""
    file = Followed(path, start)
    while True:
        last_round = ended.wait(INTERVAL)
        for one in file.read(at_end=last_round):
            line(one)
        if last_round:
            break
    file.close()
