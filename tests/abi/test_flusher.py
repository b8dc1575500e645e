# SPDX-License-Identifier: Apache-2.0
"""The flusher by itself, under sanitizers: what a slow reader, or the end of a sink, may not do."""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .host import PATIENCE
from .sinks import Sinks
from .test_sinks import until

A_PIPE = 65536
PATIENCE_MS = 5000  # sink.h
HANDFUL = 3


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Make a FIFO of the usual size, and a reader of it that does not read yet."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, A_PIPE)
    yield path, reader
    os.close(reader)


def waiting(reader: int) -> int:
    """Bytes that wait in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


def read_lines(reader: int, count: int) -> list[bytes]:
    """Read that many lines."""
    found = b""
    while found.count(b"\n") < count:
        assert select.select([reader], [], [], PATIENCE)[0], found[-100:]
        found += os.read(reader, A_PIPE)
    return found.splitlines()


def torn(sinks: Sinks, reader: int, sink: int) -> None:
    """Have the sink's second line begun, of which the pipe holds only a part."""
    sinks.put(sink, "x", 60_000, slot=1)
    until(lambda: waiting(reader) >= 60_000)
    sinks.put(sink, "y", 60_000, slot=1)
    until(lambda: waiting(reader) > 60_000)


def looked(sinks: Sinks) -> Callable[[], bool]:
    """Return what tells whether the flusher has looked at its sinks since now."""
    before = sinks("reads")
    return lambda: sinks("reads") > before


def asleep(sinks: Sinks) -> None:
    """Wait until the flusher waits for something to happen, and see that nothing wakes it."""
    until(lambda: sinks("for_ever") == 1)
    before = sinks("polls")
    for _ in range(500):
        sinks("for_ever")
    assert sinks("polls") - before <= HANDFUL


def test_a_begun_line_outlives_another_sink(sinks: Sinks, fifo: tuple[Path, int]) -> None:
    """A sink that ends beside a begun line of the same file does not end that line."""
    path, reader = fifo
    sinks.open(0, path)
    sinks.open(1, path, 4 * A_PIPE)
    torn(sinks, reader, 1)
    seen = looked(sinks)
    sinks("release", 0)
    until(seen)
    sinks.put(1, "z", 20, slot=0)
    assert [b"x" * 59_999, b"y" * 59_999, b"z" * 19] == read_lines(reader, 3)
    sinks("release", 1)


def test_waiting_for_a_begun_line_takes_no_time(sinks: Sinks, fifo: tuple[Path, int]) -> None:
    """A sink past its deadline that waits for a begun line does not keep the flusher awake."""
    path, reader = fifo
    sinks.open(0, path)
    sinks.open(1, path, 4 * A_PIPE)
    torn(sinks, reader, 1)
    sinks.put(0, "z", 20)
    sinks("release", 0)
    sinks("move", 0, PATIENCE_MS + 1000)
    seen = looked(sinks)
    sinks.open(2, path, 2 * A_PIPE)  # a sink of its own, which wakes the flusher
    until(seen)
    asleep(sinks)
    assert [b"x" * 59_999, b"y" * 59_999] == read_lines(reader, 2)[:2]
    sinks("release", 1)
    sinks("release", 2)


def test_what_cannot_be_opened(sinks: Sinks, tmp_path: Path) -> None:
    """A FIFO without a reader is told from what can never be opened, though open() is not."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket"))
        sinks.open(0, tmp_path / "fifo")
        sinks.open(1, tmp_path / "socket")
        told = {
            f"{tmp_path}/fifo: nobody reads it;",
            f"{tmp_path}/socket: cannot be opened: No such device or address;",
        }
        until(lambda: all(text in sinks.log.read_text() for text in told))
    sinks("release", 0)
    sinks("release", 1)


def test_one_file_has_one_spelling(sinks: Sinks, fifo: tuple[Path, int]) -> None:
    """Two ways to write a path are one file, so that its lines are not mixed."""
    path, reader = fifo
    sinks.open(1, path, 4 * A_PIPE)
    sinks.open(0, f"{path.parent}/../{path.parent.name}//./{path.name}")  # a newer file goes first
    torn(sinks, reader, 1)
    sinks.put(0, "z", 20)
    assert [b"x" * 59_999, b"y" * 59_999, b"z" * 19] == read_lines(reader, 3)
    sinks("release", 0)
    sinks("release", 1)


def test_more_full_files_than_are_polled(sinks: Sinks, tmp_path: Path) -> None:
    """Each of many readers that stalled gets the rest when it goes on, whoever else stalls."""
    count = 70
    readers = []
    for number in range(count):
        path = tmp_path / str(number)
        os.mkfifo(path)
        readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        fcntl.fcntl(readers[-1], fcntl.F_SETPIPE_SZ, A_PIPE)
        sinks.open(number, path, 4 * A_PIPE)
        torn(sinks, readers[-1], number)
    sinks("move", 0, 2000)  # all of them are known to be stalled
    until(looked(sinks))
    for reader in (readers[0], readers[-1], *readers[1:-1]):
        assert [b"x" * 59_999, b"y" * 59_999] == read_lines(reader, 2)
    for number in range(count):
        sinks("release", number)
        os.close(readers[number])


def test_without_an_event(sinks: Sinks, fifo: tuple[Path, int]) -> None:
    """When no descriptor is left to wake the flusher by, it looks by itself."""
    path, reader = fifo
    sinks("no_events")
    sinks.open(0, path)
    for letter in "ab":
        sinks.put(0, letter, 20)
        assert [letter.encode() * 19] == read_lines(reader, 1)
    sinks("release", 0)


def test_drops_after_the_last_stream(sinks: Sinks, tmp_path: Path) -> None:
    """What is given up with a sink is in the log, once, and left for the next stream to count."""
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    sinks.open(0, path)
    sinks.put(0, "x", 20)
    sinks("release", 0)
    sinks("move", 0, PATIENCE_MS + 1000)
    until(lambda: sinks("dropped", 0) == 1)
    assert 1 == sinks.log.read_text().count(f"{path}: 1 entries were not delivered\n")
    assert 0 == sinks("dropped", 0)
