# SPDX-License-Identifier: Apache-2.0
"""The thread of a Python sink: batches in order, failures counted, an end in order."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter.record import Record
from envoy_pyfilter.sinks import MAX_BATCH, PythonSink, Sink

PATIENCE = 10  # seconds until a test gives up


class Ring:
    """Stands for C: hands out what the test put in."""

    def __init__(self) -> None:
        self.lines: queue.Queue[bytes | BaseException | None] = queue.Queue()
        self.errors: list[int] = []
        self.done = 0

    def take(self, timeout_ms: int) -> bytes | None:
        """Wait as C does."""
        try:
            lines = self.lines.get(timeout=None if timeout_ms < 0 else timeout_ms / 1000)
        except queue.Empty:
            return b""
        if isinstance(lines, BaseException):
            raise lines
        return lines

    def count_error(self, entries: int) -> None:
        """Count as C does."""
        self.errors.append(entries)

    def finished(self) -> None:
        """Take the thread's last call."""
        self.done += 1


class Collector(Sink):
    """Keeps what it gets, or raises what it is told to."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__(config or {})
        self.batches: list[list[str | None]] = []
        self.raises: list[BaseException | None] = []
        self.threads: set[str] = set()
        self.closed = 0
        self.close_raises: BaseException | None = None

    def write(self, records: list[Record]) -> None:
        """Keep the paths."""
        self.threads.add(threading.current_thread().name)
        paths = [record.path for record in records]
        records.clear()  # a sink may do what it likes with its list
        if self.raises and (error := self.raises.pop(0)):
            raise error
        self.batches.append(paths)

    def close(self) -> None:
        """Count."""
        self.closed += 1
        if self.close_raises:
            raise self.close_raises


def run(sink: Any, *given: bytes | BaseException | None) -> Ring:
    """Run a sink's thread over what C would hand out, to the end."""
    ring = Ring()
    for lines in given:
        ring.lines.put(lines)
    ring.lines.put(None)
    runner = PythonSink(sink, ring.take, ring.count_error, done=ring.finished, name="access s:S")
    runner.start()
    assert runner.join(PATIENCE)
    assert 1 == ring.done
    return ring


def lines(*paths: str) -> bytes:
    """Entries as C encodes them."""
    return b"".join(b'{"kind":"request","path":"%s"}\n' % path.encode() for path in paths)


def test_batches_in_order() -> None:
    """What C hands out arrives in order, on a thread with a name, and then the sink is closed."""
    sink = Collector()
    ring = run(sink, lines("/1", "/2"), b"", lines("/3"))
    assert [["/1", "/2"], ["/3"]] == sink.batches
    assert {"pyfilter access s:S"} == sink.threads
    assert (1, []) == (sink.closed, ring.errors)


def test_batches_are_bounded() -> None:
    """However much C hands out, a batch has a bound."""
    sink = Collector()
    run(sink, lines(*map(str, range(2 * MAX_BATCH + 1))))
    assert [MAX_BATCH, MAX_BATCH, 1] == [len(batch) for batch in sink.batches]


def test_the_thread_has_a_name() -> None:
    """The kernel knows it by a name, as ``top -H`` shows it."""
    names = []

    class Named(Sink):
        def write(self, _: list[Record]) -> None:
            own = f"/proc/self/task/{threading.get_native_id()}/comm"
            names.append(Path(own).read_text(encoding="ascii"))

    run(Named({}), lines("/a"))
    assert ["pyfilter_sink\n"] == names


def test_the_thread_is_a_daemon() -> None:
    """A sink that hangs does not keep a process alive."""
    ring = Ring()
    runner = PythonSink(Collector(), ring.take, ring.count_error, name="d")
    runner.start()
    assert [True] == [t.daemon for t in threading.enumerate() if t.name == "pyfilter d"]
    assert not runner.join(0)
    ring.lines.put(None)
    assert runner.join(PATIENCE)


FAILURES = [RuntimeError("x"), SystemExit(1), KeyboardInterrupt(), MemoryError(), GeneratorExit()]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_write_that_raises(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that failed is lost and counted; it is logged once, and the sink goes on."""
    sink = Collector()
    sink.raises = [error, error, None]
    with caplog.at_level(logging.ERROR, "envoy_pyfilter"):
        ring = run(sink, lines("/1", "/2"), lines("/3"), lines("/4"))
    assert [["/4"]] == sink.batches
    assert ([2, 1], 1) == (ring.errors, sink.closed)
    expected = ["sink access s:S failed; later failures are only counted"]
    assert expected == [record.message for record in caplog.records]
    assert caplog.records[0].exc_info is not None
    assert error is caplog.records[0].exc_info[1]


def test_a_line_that_is_no_record() -> None:
    """A line that cannot be read is lost alone."""
    sink = Collector()
    ring = run(sink, lines("/1") + b'{"path":5}\nnonsense\n' + lines("/2"))
    assert [["/1", "/2"]] == sink.batches
    assert [1, 1] == ring.errors


def test_a_carriage_return_does_not_end_a_line() -> None:
    """Only a line feed ends an entry."""
    sink = Collector()
    run(sink, b'{"kind":"request",\r"path":"/1"}\n')
    assert [["/1"]] == sink.batches


def test_a_close_that_raises() -> None:
    """A close that raises is counted, and the thread still ends in order."""
    sink = Collector()
    sink.close_raises = SystemExit(1)
    ring = run(sink)
    assert ([0], 1) == (ring.errors, sink.closed)


def test_a_ring_that_breaks() -> None:
    """Should C's side fail, the sink is closed rather than asked again for ever."""
    sink = Collector()
    ring = run(sink, lines("/1"), RuntimeError("seam"), lines("/2"))
    assert [["/1"]] == sink.batches
    assert ([0], 1) == (ring.errors, sink.closed)


def test_logging_that_raises() -> None:
    """A log that fails does not end the thread."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit(record.levelno)

    handler = Broken()
    logger = logging.getLogger("envoy_pyfilter")
    logger.addHandler(handler)
    try:
        sink = Collector()
        sink.raises = [RuntimeError("x")]
        run(sink, lines("/1"), lines("/2"))
    finally:
        logger.removeHandler(handler)
    assert [["/2"]] == sink.batches


def test_a_class_that_is_no_sink_by_birth() -> None:
    """Whatever has ``write`` is a sink; ``close`` is not needed."""
    taken: list[Record] = []

    class Duck:
        def write(self, records: list[Record]) -> None:
            taken.extend(records)

    run(Duck(), lines("/1"))
    assert [Record(kind="request", path="/1")] == taken


def test_the_base_cannot_write() -> None:
    """``Sink`` itself takes nothing and closes quietly."""
    sink = Sink({})
    with pytest.raises(NotImplementedError):
        sink.write([])
    sink.close()
