# SPDX-License-Identifier: Apache-2.0
"""
A running stub host, driven line by line.

Each command returns the events that it caused, as dicts: hooks that returned (``hook``), callbacks
that did something (``call``), log lines (``log``) and so on; ``stub/script.c`` has the commands.
A breach of the ABI's rules, a sanitizer's report and a death of the process are errors at once.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .builds import BUILD, Build

Event = dict[str, Any]
Word = str | bytes | int | None
Pairs = Iterable[tuple[Word, Word]]

SCRIPTED = Path(__file__).parents[1] / "e2e"  # filters.py: filters whose hooks are texts
PATIENCE = 60.0  # seconds until a silent host is stuck
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/_.-,{}[]\"*%")

LEAKS = Path(__file__).with_name("leaks.supp")


class HostDiedError(AssertionError):
    """The stub host ended, or never answered; the message has what it wrote."""


class BreachError(AssertionError):
    """The module did what no module may do."""


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
    """Return what the process needs to find Python's packages, and how sanitizers behave."""
    site = sysconfig.get_path("purelib")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(build.site), site]),
        "PYTHONMALLOC": "malloc" if build.sanitize else "pymalloc",
        "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
        "ASAN_OPTIONS": "detect_leaks=1:malloc_context_size=10",
        "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
    }


class Host:
    """One process; ``end`` must be called, and finds what a sanitizer reports at the end."""

    def __init__(self, build: Build, executable: Path, folder: Path, **settings: int) -> None:
        """Start the process and let it open the module; *settings* are those of ``set``."""
        self.folder = folder
        self.module = build.module
        self._stderr = folder / "stderr"
        mine, theirs = os.pipe()
        self._events = mine
        self._unread = b""
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
        self.ended = False
        for name, value in settings.items():
            self("set", name, value)
        self.opened = self("open", str(self.module))

    # --- commands ---

    def __call__(self, *words: Word, more: Iterable[str] = ()) -> list[Event]:
        """Send one command and return its events."""
        return self.line(" ".join([*map(word, words), *more]))

    def line(self, line: str) -> list[Event]:
        """Send a line as it is."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise HostDiedError(self.stderr()) from None
        return self._answer(line)

    def _answer(self, line: str) -> list[Event]:
        events: list[Event] = []
        while True:
            event = json.loads(self._read_line(line))
            if "done" in event:
                return events
            if "breach" in event:
                raise BreachError(f"{line}: {event}\n{self.stderr()}")
            if "error" in event:
                raise ValueError(f"{line}: {event}\n{self.stderr()}")
            events.append(event)

    def _read_line(self, line: str) -> bytes:
        while b"\n" not in self._unread:
            if not select.select([self._events], [], [], PATIENCE)[0]:
                raise HostDiedError(f"no answer to {line!r}\n{self.stderr()}")
            data = os.read(self._events, 65536)
            if not data:
                raise HostDiedError(f"died of {line!r}\n{self.stderr()}")
            self._unread += data
        first, self._unread = self._unread.split(b"\n", 1)
        return first

    # --- what a test asks of it ---

    def config(self, name: str, filter_name: Word, config: Any) -> bool:
        """Load a filter config (a dict, or the bytes as they are); whether it was accepted."""
        text = json.dumps(config) if isinstance(config, dict) else config
        self.events = self("config", name, filter_name, text)
        return bool(self.events[-1]["accepted"])

    def access(self, name: str = "c", **config: Any) -> Path:
        """Load an access filter whose entries go to a file of that name, and return the file."""
        path = self.folder / f"{name}.log"
        sinks = [{"type": "file", "path": str(path)}]
        whole = {"instance": name, "sinks": sinks, **config}
        assert self.config(name, "access", whole), self.events
        return path

    def scripted(self, name: str = "c", *, access: bool = False, **hooks: str) -> Path:
        """Load a filter whose hooks are these texts, and return the file of what they saw."""
        seen = self.folder / f"{name}.seen"
        config = {"instance": name, "python_path": [str(SCRIPTED)], "hooks": hooks}
        config["seen"] = str(seen)
        if access:
            path = str(self.folder / f"{name}.log")
            config["sinks"] = [{"type": "file", "path": path}]
        base = "ScriptedAccess" if access else "Scripted"
        assert self.config(name, "filters:" + "__".join([base, *sorted(hooks)]), config), self.events
        return seen

    def stream(self, config: str = "c", name: str = "s", *, worker: int = 0, route: str = "") -> Stream:
        """Begin a stream on a worker."""
        self.line(f"@{worker} new {name} {config} {route}")
        return Stream(self, name)

    def stats(self) -> dict[str, int]:
        """Return all stats; labels follow the name, in braces."""
        return {
            event["stat"] + (f"{{{event['labels']}}}" if event["labels"] else ""): int(event["value"])
            for event in self("stats")
        }

    def left(self) -> Event:
        """Count live schedulers, threads and open files."""
        return self("left")[0]

    def stderr(self) -> str:
        """Return what sanitizers and Python wrote."""
        return self._stderr.read_text("utf-8", "replace")

    def end(self) -> None:
        """Let the process exit, and raise if it does not do so in good order."""
        if self.ended:
            return
        self.ended = True
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise HostDiedError(f"did not end\n{self.stderr()}") from None
        finally:
            os.close(self._events)
        reported = [mark for mark in ("Sanitizer", "runtime error:") if mark in self.stderr()]
        if code != 0 or reported:
            raise HostDiedError(f"ended with {code}\n{self.stderr()}")


class Stream:
    """One stream of a stub host; hooks return Envoy's status."""

    def __init__(self, host: Host, name: str) -> None:
        """Name a stream that the host has."""
        self.host = host
        self.name = name
        self.events: list[Event] = []

    def _hook(self, command: str, *words: Word, more: Iterable[str] = ()) -> int:
        """Send a hook's command; the hook itself is the last event of its name."""
        self.events = self.host(command, self.name, *words, more=more)
        found = [e for e in self.events if "status" in e and e["stream"] == self.name]
        return int(found[-1]["status"]) if found else 0

    def request_headers(self, headers: Pairs = (), *, end: bool = True) -> int:
        """Begin the request; without *headers* it is an ordinary GET with the stream's name."""
        headers = headers or request(self.name)
        return self._hook("request_headers", int(end), more=pairs(headers))

    def request_body(self, data: Word, *, end: bool = True) -> int:
        """Give a piece of the request's body."""
        return self._hook("request_body", int(end), data)

    def request_trailers(self, trailers: Pairs) -> int:
        """End the request with trailers."""
        return self._hook("request_trailers", more=pairs(trailers))

    def response_headers(self, headers: Pairs = ((":status", 200),), *, end: bool = True) -> int:
        """Begin the response."""
        return self._hook("response_headers", int(end), more=pairs(headers))

    def response_body(self, data: Word, *, end: bool = True) -> int:
        """Give a piece of the response's body."""
        return self._hook("response_body", int(end), data)

    def response_trailers(self, trailers: Pairs) -> int:
        """End the response with trailers."""
        return self._hook("response_trailers", more=pairs(trailers))

    def local_reply(self, code: int, details: Word = "direct_response", *, reset: bool = False) -> int:
        """Somebody else answers."""
        return self._hook("local_reply", code, details, int(reset))

    def complete(self) -> None:
        """End the stream, as Envoy sees it."""
        self._hook("complete")

    def destroy(self) -> None:
        """End the stream for good."""
        self._hook("destroy")

    def finish(self) -> None:
        """Complete and destroy it."""
        self.complete()
        self.destroy()

    def pump(self, count: int = 0) -> int:
        """Deliver wake-ups, once there are *count* of them."""
        return self._hook("pump", count)

    def when(self, callback: str, *words: Word, more: Iterable[str] = ()) -> None:
        """Run a command for this stream inside of a callback."""
        command, *rest = words
        self.host("when", self.name, callback, command, self.name, *rest, more=more)

    def attribute(self, number: int, value: str | int | bool) -> None:
        """Give Envoy's attribute of that number a value."""
        kind = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "s"
        self.host("attribute", self.name, number, kind, int(value) if kind == "b" else value)

    def calls(self, *names: str) -> list[Event]:
        """Return the callbacks that the last hook made."""
        return [e for e in self.events if "call" in e and (not names or e["call"] in names)]

    def state(self) -> dict[str, Any]:
        """Return filter state by key and metadata by ``namespace/key``."""
        printed = [e for e in self.host("print", self.name) if "state" in e]
        return {
            e["key"] if e["source"] < 0 else f"{e['namespace']}/{e['key']}": e.get("value", "")
            for e in printed
        }

    def headers(self, number: int) -> list[tuple[str, str]]:
        """Return one of the stream's header maps, by the ABI's number."""
        maps = [e for e in self.host("print", self.name) if "map" in e]
        return [(name, value) for name, value in maps[number]["headers"]]


def request(request_id: str, *more: tuple[Word, Word]) -> list[tuple[Word, Word]]:
    """Return the headers of an ordinary request."""
    return [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "example.org"),
        (":scheme", "http"),
        ("x-request-id", request_id),
        *more,
    ]


def entries(path: Path) -> list[Event]:
    """Return the entries of a log file; each line has to be one whole JSON object."""
    text = path.read_text("utf-8") if path.exists() else ""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def kinds(path: Path) -> list[str]:
    """Return the kinds of a log file's entries, in order."""
    return [entry["kind"] for entry in entries(path)]


if sys.platform != "linux":
    raise RuntimeError("the stub host opens the module as Envoy does on Linux")
