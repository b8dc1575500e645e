# SPDX-License-Identifier: Apache-2.0
"""
A running stub host, driven line by line.

Each command returns the events that it caused, as dicts: hooks that returned (``hook``), callbacks
that did something (``call``), log lines (``log``) and so on; ``stub/script.c`` has the commands.
A breach of the ABI's rules, a sanitizer's report and a death of the process are errors at once, and
the host is ``broken`` after that.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from .builds import BUILD, Build

Event = dict[str, Any]
Word = str | bytes | int | None
Pairs = Iterable[tuple[Word, Word]]

SUPPRESSIONS = Path(__file__).with_name("suppressions")
PATIENCE = 60.0  # seconds until a silent host is stuck
LAST_WORDS = 6000  # characters of each output that an error shows
REPORTS = ("Sanitizer", "runtime error:")
_PLAIN = frozenset(b'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/_.-,{}[]"*%')


class HostDiedError(AssertionError):
    """The stub host ended, or never answered; the message has how, and what it wrote last."""


class BreachError(AssertionError):
    """The module did what no module may do."""


class Ending(Protocol):
    """What a test makes in a host and has to end: a config."""

    def end(self) -> object:
        """End it; again: nothing."""


def word(value: Word) -> str:
    """Write one word of a command; None is the NULL buffer, b"" one of length 0."""
    if value is None:
        return "\\0"
    data = value if isinstance(value, bytes) else str(value).encode()
    return "".join(chr(c) if c in _PLAIN else f"\\x{c:02x}" for c in data) or "\\e"


def pairs(headers: Pairs) -> list[str]:
    """Write headers as the words of a command."""
    return [f"{word(name)}={word(value)}" for name, value in headers]


def environment(build: Build) -> dict[str, str]:
    """
    Return what the process needs to find Python's packages, and how sanitizers behave.

    With PYTHONMALLOC each object of Python is one of malloc's too, so ASan sees through it. gcc's
    LeakSanitizer crashes on its own notes of thread-local memory, so it takes none.
    """
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(build.site), sysconfig.get_path("purelib")]),
        "PYTHONMALLOC": "malloc" if "address" in build.sanitize else "pymalloc",
        "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        "ASAN_OPTIONS": "detect_leaks=1:malloc_context_size=12:intercept_tls_get_addr=0",
        "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS / 'leaks'}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": f"halt_on_error=1:suppressions={SUPPRESSIONS / 'threads'}",
    }


class Host:
    """One process; ``end`` must be called, and finds what a sanitizer reports at the end."""

    def __init__(self, build: Build, executable: Path, folder: Path, **settings: int) -> None:
        """Start the process and let it open the module; *settings* are those of ``set``."""
        self.folder = folder
        self.module = build.module
        self.broken = False
        self.ended = False
        self.logged: list[str] = []  # all log lines so far, from any thread
        self.made: list[Ending] = []  # since the last ``tidy``
        self._names = 0
        self._unread = b""
        self._stderr = folder / "stderr"
        self._events, theirs = os.pipe()
        with self._stderr.open("wb") as stderr, (folder / "stdout").open("wb") as stdout:
            self._process = subprocess.Popen(
                [executable, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[theirs],
                env=environment(build),
            )
        os.close(theirs)
        for name, value in settings.items():
            self("set", name, value)
        self.opened = self("open", str(self.module))
        self._threads = self.left()["threads"]  # the host's own, and the sanitizer's
        self.abi = next((e["abi"] for e in self.opened if e.get("hook") == "program_init"), "")

    def __call__(self, *words: Word, more: Iterable[str] = ()) -> list[Event]:
        """Send one command and return its events."""
        return self.line(" ".join([*map(word, words), *more]))

    def line(self, line: str) -> list[Event]:
        """Send a line as it is."""
        try:
            return self._answer(line)
        except BaseException:
            self.broken = True
            raise

    def _answer(self, line: str) -> list[Event]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died(f"died before {line!r}") from None
        events: list[Event] = []
        while True:
            event = json.loads(self._read_line(line))
            if "done" in event:
                return events
            if "breach" in event:
                raise BreachError(f"{line}: {event}\n{self.stderr()}")
            if "error" in event:
                raise ValueError(f"{line}: {event}\n{self.stderr()}")
            if "log" in event:
                self.logged.append(event["text"])
            events.append(event)

    def _read_line(self, line: str) -> bytes:
        while b"\n" not in self._unread:
            if not select.select([self._events], [], [], PATIENCE)[0]:
                raise self._died(f"gave no answer to {line!r}")
            data = os.read(self._events, 65536)
            if not data:
                self._process.wait(PATIENCE)  # its pipe is closed, so it is on its way
                raise self._died(f"died of {line!r}")
            self._unread += data
        first, self._unread = self._unread.split(b"\n", 1)
        return first

    def name(self, prefix: str) -> str:
        """Return a name that nothing in this process has had."""
        self._names += 1
        return f"{prefix}{self._names}"

    def stats(self) -> dict[str, int]:
        """Return all stats; labels follow the name, in braces."""
        return {
            e["stat"] + (f"{{{e['labels']}}}" if e["labels"] else ""): int(e["value"])
            for e in self("stats")
            if "stat" in e  # another thread's log line may come in between
        }

    def left(self) -> Event:
        """Count live schedulers, threads and open files."""
        return next(e for e in self("left") if "threads" in e)

    def idle(self) -> Event:
        """Return what is left when no config is: once no thread is that is not the host's own."""
        deadline = time.monotonic() + PATIENCE
        while (left := self.left())["threads"] > self._threads and time.monotonic() < deadline:
            pass
        return left

    def tidy(self) -> None:
        """End what a test left, and what it told the host to fail at, for the next test's sake."""
        made, self.made = self.made, []
        try:
            if not (self.broken or self.ended):
                self("fail")
                for one in made:
                    one.end()
        except ValueError:  # not as the test thought: what is left cannot be told
            self.broken = True

    def _died(self, what: str) -> HostDiedError:
        parts = {"log": "\n".join(self.logged), "stderr": self.stderr(), "stdout": self.stdout()}
        told = [f"--- {name}: ---\n{text[-LAST_WORDS:]}" for name, text in parts.items() if text]
        return HostDiedError("\n".join([f"{what}; {_how(self._process.poll())}", *told]))

    def stderr(self) -> str:
        """Return what sanitizers and Python wrote."""
        return self._stderr.read_text("utf-8", "replace")

    def stdout(self) -> str:
        """Return what the process wrote to its stdout."""
        return (self.folder / "stdout").read_text("utf-8", "replace")

    def end(self) -> None:
        """
        Let the process exit, and raise if it does not do so in good order.

        One that broke has been reported already.
        """
        if self.ended:
            return
        if self.broken:
            self._kill()
            return
        self.ended = True
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise self._died("did not end") from None
        finally:
            os.close(self._events)
        if code != 0 or any(mark in self.stderr() for mark in REPORTS):
            raise self._died("did not end in good order")

    def _kill(self) -> None:
        self.ended = True
        self._process.kill()
        self._process.communicate()
        os.close(self._events)


def _how(code: int | None) -> str:
    """Tell how a process ended, by what ``poll`` gives."""
    if code is None:
        return "it still runs"
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
