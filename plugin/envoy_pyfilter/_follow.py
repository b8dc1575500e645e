# SPDX-License-Identifier: Apache-2.0
"""
Entries on their way to the reader: JSON lines as they are, or one coloured line each.

A line that is no entry (Envoy's own access log may share the file) passes unchanged. What a header
holds cannot reach the terminal as a control sequence.
"""

from __future__ import annotations

import json
import os
import re
import threading
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = {"request": "\x1b[36m", "denied": "\x1b[31m", "response": "\x1b[32m"}
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_ERROR_COLOURS = {_CLIENT_ERROR: "\x1b[33m", _SERVER_ERROR: "\x1b[31m"}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NANOSECONDS = 1_000_000_000


def safe(value: object) -> str:
    """Give *value* as text in which control characters are written as escapes."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _time(entry: dict[str, Any]) -> str:
    nanoseconds = entry.get("time_unix_nano")
    if not isinstance(nanoseconds, int):
        return "--:--:--.---"
    moment = datetime.fromtimestamp(nanoseconds // _NANOSECONDS, tz=timezone.utc).astimezone()
    return f"{moment:%H:%M:%S}.{nanoseconds % _NANOSECONDS // 1_000_000:03}"


def _head(entry: dict[str, Any]) -> str:
    """Say what happened: the status of a response, the request line, how long it took."""
    parts = [f"{safe(entry.get('kind', '?')):8}"]
    if "response_code" in entry:
        parts.append(safe(entry["response_code"]))
    parts += [safe(entry[key]) for key in ("method", "authority", "path") if key in entry]
    if "duration_us" in entry:
        parts.append(f"{entry['duration_us'] / 1000:.1f} ms")
    return " ".join(parts)


def _rest(entry: dict[str, Any]) -> str:
    """Give the headers of the entry's own side, and what is out of the ordinary."""
    side = "response" if entry.get("kind") == "response" else "request"
    parts = []
    for key in (f"{side}_headers", f"{side}_trailers"):
        parts += [f"{safe(name)}: {safe(value)}" for name, value in entry.get(key, {}).items()]
    for key in ("response_flags", "failed_hook", "denied", "notes", "rejected", "missing"):
        if entry.get(key) not in (None, "", "-"):
            parts.append(f"[{key}: {safe(entry[key])}]")
    return "  ".join(parts)


def _colour(entry: dict[str, Any]) -> str:
    code = entry.get("response_code", 0)
    for least in sorted(_ERROR_COLOURS, reverse=True):
        if isinstance(code, int) and code >= least:
            return _ERROR_COLOURS[least]
    return _COLOURS.get(str(entry.get("kind")), "")


def pretty(line: str, *, colour: bool) -> str:
    """Give one entry as one line for people; a line that is no entry only loses its controls."""
    try:
        entry = json.loads(line)
    except ValueError:
        return safe(line)
    if not isinstance(entry, dict) or "kind" not in entry:
        return safe(line)
    time, head, rest = _time(entry), _head(entry), _rest(entry)
    if not colour:
        return f"{time} {head}  {rest}".rstrip()
    return f"{_DIM}{time}{_RESET} {_colour(entry)}{head}{_RESET}  {_DIM}{rest}{_RESET}"


class Printer:
    """Prints lines to *out* from any thread; ``closed`` is called once when nobody reads them."""

    def __init__(self, out: IO[str], closed: Callable[[], None]) -> None:
        """People read a terminal, programs a pipe."""
        self._out = out
        self._closed = closed
        self._terminal = out.isatty()
        self._colour = self._terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._broken = False

    def line(self, text: str) -> None:
        """Print one line."""
        shown = pretty(text, colour=self._colour) if self._terminal else text
        with self._lock:
            if self._broken:
                return
            try:
                self._out.write(shown + "\n")
                self._out.flush()
            except OSError:  # the reader of the pipe left, or the terminal closed
                self._broken = True
                self._forget()
                self._closed()

    def _forget(self) -> None:
        """Send what Python still holds nowhere, so that the end of the process does not fail."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._out.fileno())
        os.close(nowhere)

    def lines(self, source: Iterable[str]) -> None:
        """Print all lines of a source, until its end."""
        for text in source:
            self.line(text.rstrip("\n"))


def tail(path: Path, line: Callable[[str], None], ended: threading.Event, start: int) -> None:
    """
    Call *line* with each line that a file gets from the byte *start* on, until *ended* is set.

    The file may appear later, and may be moved away: then the new one is followed from its start.
    """
    file: IO[bytes] | None = None
    rest = b""
    while True:
        last_round = ended.is_set()
        if file is None and path.is_file():
            file = path.open("rb")
            file.seek(start)
            start = 0
        text = file.read() if file is not None else b""
        *whole, rest = (rest + text).split(b"\n")
        for one in whole:
            line(one.decode("utf-8", "replace"))
        if last_round:
            break
        if file is not None and not text and _moved(file, path):
            file.close()
            file = None
        elif not text:
            ended.wait(0.1)
    if file is not None:
        file.close()


def _moved(file: IO[bytes], path: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
