# SPDX-License-Identifier: Apache-2.0
"""The flusher by itself, under sanitizers: what a slow reader, or the end of a sink, may not do."""

from __future__ import annotations

import array
import fcntl
import os
import select
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .builds import build_sinks
from .host import PATIENCE
from .test_sinks import until

A_PIPE = 65536
PATIENCE_MS = 5000  # sink.h


class Sinks:
    """The program ``parts/sinks.c``; each sink has a number."""

    def __init__(self, program: Path, log: Path) -> None:
        """Start it; what it would log goes to *log*."""
        self.log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def __call__(
        self, what: str, sink: int = 0, first: int = 0, second: int = 0, text: str | Path = "-"
    ) -> int:
        """Have a command carried out, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, sink, first, second, text, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def open(self, sink: int, path: Path | str, ring_bytes: int = A_PIPE) -> None:
        """Ask for the file's sink."""
        self("open", sink, ring_bytes, 0, path)

    def put(self, sink: int, letter: str, length: int, *, slot: int = 0) -> None:
        """Put a line of that many bytes, which the ring has to take."""
        assert self("put", sink, slot, length, letter) == 0

    def end(self) -> None:
        """Let the program end, and the sanitizers say what they found."""
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, self.log.read_text()


@pytest.fixture(scope="session", params=["address,undefined", "thread"])
def program(request: pytest.FixtureRequest) -> Path:
    """Build the program with either set of sanitizers."""
    return build_sinks(request.param)


@pytest.fixture
def sinks(program: Path, tmp_path: Path) -> Iterator[Sinks]:
    """Start the program for one test."""
    started = Sinks(program, tmp_path / "log")
    yield started
    started.end()


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
    before = sinks("reads")
    assert not select.select([], [], [], 0.3)[0]  # the time in which it should do nothing
    assert sinks("reads") - before < 100
    assert [b"x" * 59_999, b"y" * 59_999] == read_lines(reader, 2)[:2]
    sinks("release", 1)
    sinks("release", 2)


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


def test_drops_that_no_stream_can_count(sinks: Sinks, tmp_path: Path) -> None:
    """What is given up after the last stream is in the log, with what the counter lacks."""
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    sinks.open(0, path)
    sinks.put(0, "x", 20)
    sinks("release", 0)
    sinks("move", 0, PATIENCE_MS + 1000)
    until(lambda: "after the last stream" in sinks.log.read_text())
    assert f"{path}: 1 entries were not delivered\n" in sinks.log.read_text()
