# SPDX-License-Identifier: Apache-2.0
"""
Python sinks: user code that gets batches of records on a thread of its own.

1. C's record lane puts an entry (a line of JSON) into a ring of the worker.
2. The sink's thread waits in *take*, which C serves without the GIL, and gets many lines at once.
3. Each line becomes a ``Record``; the sink's ``write`` gets them in batches.
4. What ``write`` raises is counted, logged once for each sink, and the batch is lost.
5. When the config is gone and the rings are empty, *take* says None: ``close`` is called, and the
   thread ends.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._imports import ABOVE, raised
from ._problems import problem
from .record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("envoy_pyfilter")

THREAD: Final = "pyfilter_sink"  # at most 15 characters
MAX_BATCH: Final = 1000
"""Records that ``write`` gets at most in one call."""

_WAIT_MS: Final = -1  # for ever: C wakes the thread, so an idle Envoy sleeps


class Sink:
    """
    Base of Python sinks; overriding ``write`` is enough.

    A sink is made when its config is loaded, on Envoy's main thread, and not at all while a config
    is only validated. Everything else runs on the sink's own thread, so it may block: entries
    wait in the ring meanwhile, and are dropped and counted when that is full.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Take the sink's ``config``; what this raises makes Envoy refuse the filter's config."""

    def write(self, records: list[Record]) -> None:
        """Take *records*, oldest first for each worker; never empty, ``MAX_BATCH`` at most."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything: the last call, after the last ``write``."""


def check_sink_class(cls: type[Any], path: str) -> None:
    """Raise ``ConfigError`` for *path* when *cls* has no ``write`` that could be called."""
    write = getattr(cls, "write", None)
    if not callable(write) or write is Sink.write:
        raise problem(path, f"{cls.__qualname__} has no write(self, records)")


def make_sink(cls: type[Any], config: dict[str, Any], path: str) -> Sink:
    """Make a sink; ``ConfigError`` for *path* when its constructor raises."""
    try:
        made: Sink = cls(config)
    except BaseException as error:  # SystemExit included: user code never ends Envoy
        log.exception("%s: the constructor of %s raised", path, cls.__qualname__)
        what = f"the constructor of {cls.__qualname__} raised {raised(error)}; {ABOVE}"
        raise problem(path, what) from None
    return made


def _name_this_thread() -> None:
    """Give the kernel a name for it, which ``top -H`` shows; before Python 3.14 Python does not."""
    with contextlib.suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(THREAD, "ascii")


class PythonSink:
    """
    The thread that empties C's rings into one ``Sink``.

    *take(timeout_ms)* blocks without the GIL and returns whole lines, ``b""`` after the time-out,
    and None when the sink is closed and empty. *count_error(entries)* counts one error and the
    *entries* that were lost by it. *done()* is the thread's last call.
    """

    def __init__(
        self,
        sink: Sink,
        take: Callable[[int], bytes | None],
        count_error: Callable[[int], None],
        *,
        done: Callable[[], None] = lambda: None,
        name: str = "sink",
    ) -> None:
        self._sink = sink
        self._take = take
        self._count_error = count_error
        self._done = done
        self._name = name
        self._logged = False
        self._decode = msgspec.json.Decoder(Record).decode
        self._thread = threading.Thread(target=self._run, name=f"pyfilter {name}", daemon=True)

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait up to *timeout* seconds for the end; whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        _name_this_thread()
        try:
            while (lines := self._take(_WAIT_MS)) is not None:
                for batch in self._batches(lines):
                    self._write(batch)
        except BaseException as error:  # noqa: BLE001 (the thread ends in order)
            self._failed(error, 0)
        try:
            getattr(self._sink, "close", lambda: None)()
        except BaseException as error:  # noqa: BLE001 (the thread ends in order)
            self._failed(error, 0)
        self._done()

    def _batches(self, lines: bytes) -> Iterator[list[Record]]:
        batch: list[Record] = []
        for line in filter(None, lines.split(b"\n")):
            try:
                batch.append(self._decode(line))
            except BaseException as error:  # noqa: BLE001 (one line never ends the thread)
                self._failed(error, 1)
            if len(batch) == MAX_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _write(self, batch: list[Record]) -> None:
        lost = len(batch)  # the sink may change its list
        try:
            self._sink.write(batch)
        except BaseException as error:  # noqa: BLE001 (SystemExit included: the thread goes on)
            self._failed(error, lost)

    def _failed(self, error: BaseException, lost: int) -> None:
        self._count_error(lost)
        if self._logged:
            return
        self._logged = True
        with contextlib.suppress(BaseException):  # logging must not end the thread either
            log.error("sink %s failed; later failures are only counted", self._name, exc_info=error)
