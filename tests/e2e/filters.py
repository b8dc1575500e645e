# SPDX-License-Identifier: Apache-2.0
"""
The filters under test, whose behaviour comes from their config: each hook is the text of its body.

``filters:Scripted__on_request_headers__on_stream_complete`` overrides just the hooks that it
names, so the mask of wanted hooks is that of an ordinary class; ``ScriptedAccess__...`` records,
too. In a hook's text ``saw(...)`` appends what it is given to the file ``seen``, from where the
test reads it back as Python values.
"""

from __future__ import annotations

import os
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from envoy_pyfilter import (
    BUFFER,
    PASS,
    PAUSE,
    AccessConfig,
    AccessFilter,
    Config,
    Counter,
    Filter,
    Gauge,
    Histogram,
    Record,
    Reply,
    StreamGone,
    WrongThread,
)

ARGUMENTS = {
    "on_request_headers": "stream, end_of_stream",
    "on_request_body": "stream, end_of_stream",
    "on_request_trailers": "stream",
    "on_response_headers": "stream, end_of_stream",
    "on_response_body": "stream, end_of_stream",
    "on_response_trailers": "stream",
    "on_local_reply": "stream, reply",
    "on_stream_complete": "stream",
    "on_downstream_above_high_watermark": "stream",
    "on_downstream_below_low_watermark": "stream",
    "on_config_destroy": "",
}
kept: dict[str, Any] = {}  # what one hook's text keeps for another one's


class Script(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each hook does."""

    hooks: dict[str, str] = msgspec.field(default_factory=dict)
    seen: str = ""
    learns: bool = True


class AccessScript(AccessConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same for a filter that records."""

    hooks: dict[str, str] = msgspec.field(default_factory=dict)
    seen: str = ""
    learns: bool = True


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per-route config."""

    tenant: str = ""
    limit: int = 0


class Saw:
    """Appends what hooks saw to a file, one Python literal a line."""

    def __init__(self, path: str) -> None:
        """*path* is opened at the first line, so nothing is made while a config is validated."""
        self._path = path
        self._file = -1
        self._lock = threading.Lock()

    def __call__(self, *values: Any) -> None:
        """Append a tuple, or the value itself when it is only one."""
        with self._lock:
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            line = repr(values[0] if len(values) == 1 else values)
            os.write(self._file, line.encode() + b"\n")

    def close(self) -> None:
        """Close the file, as nothing may be left behind by a config that is gone."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def refusal(call: Callable[[], Any]) -> str:
    """Name of the exception that *call* raises; empty: it raised none."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test wants its name
        return type(error).__name__
    return ""


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    """Run *call* on a thread of its own."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def _compiled(name: str, text: str, names: dict[str, Any]) -> Callable[..., Any]:
    body = textwrap.indent(textwrap.dedent(text).strip() or "pass", "    ")
    source = f"def {name}(self, {ARGUMENTS[name]}):\n{body}\n"
    exec(compile(source, f"<{name}>", "exec"), names)  # noqa: S102 - it is the test's own text
    hook: Callable[..., Any] = names[name]
    return hook


class _Scripted:
    """What both kinds share: the texts compiled once, when the config loads."""

    hits = Counter("hits")
    by_tenant = Counter("by_tenant", labels=("tenant", "color"))
    open_now = Gauge("open_now")
    sizes = Histogram("sizes")

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg] # Filter follows in the subclasses
        self.saw = Saw(config.seen)
        self._learns = config.learns
        names = {**globals(), "saw": self.saw}
        self.code = {name: _compiled(name, text, names) for name, text in config.hooks.items()}


class Scripted(_Scripted, Filter):
    """A filter without records."""

    Config = Script
    RouteConfig = Route


class ScriptedAccess(_Scripted, AccessFilter):
    """A filter with records."""

    Config = AccessScript
    RouteConfig = Route


def _hook(name: str) -> Callable[..., Any]:
    def hook(self: _Scripted, *arguments: Any) -> Any:
        return self.code[name](self, *arguments)

    hook.__name__ = name
    return hook


def _on_config_destroy(self: _Scripted) -> None:
    if "on_config_destroy" in self.code:
        self.code["on_config_destroy"](self)
    self.saw.close()


def __getattr__(name: str) -> type[Filter]:
    """Make the class that overrides the hooks of its name."""
    base, *hooks = name.split("__")
    bases = {"Scripted": Scripted, "ScriptedAccess": ScriptedAccess}
    if base not in bases or not hooks or not ARGUMENTS.keys() >= set(hooks):
        raise AttributeError(name)
    members: dict[str, Any] = {hook: _hook(hook) for hook in hooks}
    members["on_config_destroy"] = _on_config_destroy
    return type(name, (bases[base],), members)


def class_name(base: str, hooks: dict[str, str]) -> str:
    """Name of the class with these hooks."""
    wanted = sorted(hooks.keys() - {"on_config_destroy"})
    return "__".join(
        [base, *wanted, *(["on_config_destroy"] if "on_config_destroy" in hooks else [])]
    )


class NotAFilter:
    """No subclass of ``Filter``."""


class FileSink:
    """A Python sink that appends what it gets to a file; see ``test_sinks``."""

    def __init__(self, config: dict[str, Any]) -> None:
        """
        *config* holds ``path``.

        For the tests of failures it may hold ``fail``, what to raise, and ``wait_for``, a file
        without which nothing goes on.
        """
        self._path = config["path"]
        self._fail = config.get("fail", "")
        self._wait_for = config.get("wait_for", "")

    def write(self, records: list[Record]) -> None:
        """Append the batch: the thread's name and each record as a dict."""
        if self._fail:
            raise RuntimeError(self._fail)
        while self._wait_for and not Path(self._wait_for).exists():
            time.sleep(0.01)
        with Path(self._path).open("a") as file:
            batch = [msgspec.to_builtins(record) for record in records]
            file.write(repr((threading.current_thread().name, batch)) + "\n")

    def close(self) -> None:
        """Append a last line."""
        with Path(self._path).open("a") as file:
            file.write(repr(("closed", [])) + "\n")


__all__ = [
    "BUFFER",
    "PASS",
    "PAUSE",
    "Reply",
    "StreamGone",
    "WrongThread",
    "in_thread",
    "kept",
    "refusal",
]
