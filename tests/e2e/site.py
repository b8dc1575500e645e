# SPDX-License-Identifier: Apache-2.0
"""
A site: one listener with our filter, its upstream, and the three files that tell what happened.

``oracle`` is what Envoy's own access log says, ``entries`` what ours says, ``seen`` what the test's
filter saw. Each waits until as many lines are there as the test expects.
"""

from __future__ import annotations

import ast
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import bootstrap as b
from .bootstrap import HERE, Dict
from .clients import CLIENTS, GrpcResult, grpc_call
from .envoy import Envoy
from .exchange import Client
from .messages import Answer, Pairs, Request, Response
from .upstream import Upstream
from .waiting import until

# The hooks that return a status, in the order of a stream.
STEPS = (
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
)


def class_name(base: str, hooks: dict[str, str]) -> str:
    """Name of the class in ``filters.py`` that overrides these hooks."""
    return "filters:" + "__".join([base, *sorted(hooks)])


class Site:
    """One listener of an Envoy, and what a test does with it."""

    def __init__(self, envoy: Envoy, upstream: Upstream, folder: Path, name: str) -> None:
        """Prepare the files' names; ``open`` adds the listener."""
        self.envoy = envoy
        self.upstream = upstream
        self.folder = folder
        self.name = name
        self.oracle_path = folder / f"{name}.oracle"
        self.entries_path = folder / f"{name}.entries"
        self.logged_path = folder / f"{name}.logged"
        self.seen_path = folder / f"{name}.seen"
        self.port = 0
        self._read: dict[Path, int] = {}

    # --- config ---

    def filter(
        self,
        hooks: dict[str, str] | None = None,
        *,
        access: Dict | None = None,
        config: Dict | None = None,
    ) -> Dict:
        """
        Our filter with the test's hooks.

        *access*: an access filter with this config, whose entries go to the site's file unless it
        names sinks. *config*: more keys for either kind.
        """
        whole: Dict = {"instance": self.name, **(config or {})}
        if access is not None:
            file = {"type": "file", "path": str(self.entries_path)}
            whole = {**whole, "sinks": [file], **access}
        if hooks is None:
            return b.py_filter("access", whole)
        base = "Scripted" if access is None else "ScriptedAccess"
        whole |= {"python_path": [str(HERE)], "hooks": hooks, "seen": str(self.seen_path)}
        return b.py_filter(class_name(base, hooks), whole)

    def logger(self, config: Dict | None = None, **fields: Any) -> Dict:
        """Our access logger, whose entries go to a file of the site unless *config* names sinks."""
        file = {"type": "file", "path": str(self.logged_path)}
        whole = {"instance": f"{self.name}.logger", "sinks": [file], **(config or {})}
        return b.py_logger(whole, **fields)

    def listener(
        self,
        filters: list[Dict],
        *,
        oracle: dict[str, str] | None = None,
        loggers: Sequence[Dict] = (),
        **fields: Any,
    ) -> Dict:
        """Give the listener with these filters and Envoy's own access log; see ``bootstrap``."""
        logs = [*loggers, b.file_log(self.oracle_path, oracle)]
        return b.listener(self.name, filters=filters, access_log=logs, **fields)

    def offer(self, filters: list[Dict], **fields: Any) -> bool:
        """Give Envoy the listener, new or changed; false when Envoy rejects it."""
        self.envoy.listeners[self.name] = self.listener(filters, **fields)
        accepted = self.envoy.apply()
        if accepted:
            self.port = self.envoy.ports()[self.name]
        return accepted

    def open(self, filters: list[Dict], **fields: Any) -> Site:
        """Add the listener, which Envoy has to accept."""
        assert self.offer(filters, **fields), self.envoy.log()[-3000:]
        return self

    def close(self) -> None:
        """Remove the listener."""
        if self.envoy.listeners.pop(self.name, None) is not None:
            self.envoy.apply()

    def reopen(self, listener: Dict) -> None:
        """Add the listener that was removed."""
        self.envoy.listeners[self.name] = listener
        assert self.envoy.apply(), self.envoy.log()[-3000:]
        self.port = self.envoy.ports()[self.name]

    # --- traffic ---

    def client(self, protocol: str = "HTTP/1.1") -> Client:
        """Give a new connection."""
        return CLIENTS[protocol](self.port)

    def fetch(
        self,
        protocol: str = "HTTP/1.1",
        request: Request | None = None,
        *,
        answer: Answer | None = None,
        **fields: Any,
    ) -> Response:
        """Make one exchange on a connection of its own; *fields* are those of a ``Request``."""
        if answer is not None:
            fields["path"] = self.upstream.serve(answer)
        with self.client(protocol) as client:
            return client.fetch(request or Request(**fields))

    def raw(self, data: bytes) -> bytes:
        """Send these very bytes and read until Envoy closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def grpc(self, path: str = "/e2e.Echo/Stream", **fields: Any) -> GrpcResult:
        """Make one gRPC call."""
        return grpc_call(self.port, path, **fields)

    # --- what is told ---

    def _lines(self, path: Path, count: int) -> list[str]:
        def told() -> str:
            return f"{count} lines in {path.name}, found {whole_lines(path)}"

        until(lambda: len(whole_lines(path)) >= count, told)
        found = whole_lines(path)
        assert count == len(found), told()
        return found

    def oracle(self, count: int = 1) -> list[Dict]:
        """Envoy's own access log, once it has *count* lines: those streams are complete."""
        return [json.loads(line) for line in self._lines(self.oracle_path, count)]

    def entries(self, count: int) -> list[Dict]:
        """Our entries, once there are *count* of them."""
        return [json.loads(line) for line in self._lines(self.entries_path, count)]

    def logged(self, count: int = 1) -> list[Dict]:
        """Entries of our access logger, once there are *count* of them."""
        return [json.loads(line) for line in self._lines(self.logged_path, count)]

    def responses(self, count: int = 1, *, others: int | None = None) -> list[Dict]:
        """Our response entries; *others* is the number of entries of other kinds."""
        entries = self.entries(count + (count if others is None else others))
        found = [entry for entry in entries if entry["kind"] == "response"]
        assert count == len(found), entries
        return found

    def seen(self, count: int | None = None) -> list[Any]:
        """Read what the filter's hooks saw: now, or once there are *count* lines."""
        lines = whole_lines(self.seen_path) if count is None else self._lines(self.seen_path, count)
        return [ast.literal_eval(line) for line in lines]

    def stat(self, name: str) -> int:
        """Envoy's counter or gauge ``<instance>.<name>``; 0 while Envoy doesn't show it."""
        wanted = f"{self.name}.{name}"
        stats = self.envoy.stats(f"{re.escape(wanted)}$")
        return sum(value for found, value in stats.items() if found.endswith(wanted))

    def log_lines(self, pattern: str) -> list[str]:
        """Lines of Envoy's log that match *pattern*."""
        return [line for line in self.envoy.log().splitlines() if re.search(pattern, line)]


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that may still grow."""
    text = path.read_text() if path.exists() else ""
    return text.split("\n")[:-1]


def names(found: Pairs) -> list[bytes]:
    """Names of a header list, in order."""
    return [name for name, _ in found]


def as_dict(found: Pairs) -> dict[str, str | list[str]]:
    """Headers as our entry writes them: a list where a name repeats."""
    grouped: dict[str, list[str]] = {}
    for name, value in found:
        grouped.setdefault(name.decode(), []).append(value.decode())
    return {name: values[0] if len(values) == 1 else values for name, values in grouped.items()}


def only(found: Sequence[Dict], **wanted: Any) -> Dict:
    """Give the one dict that has these values."""
    matching = [one for one in found if wanted.items() <= one.items()]
    assert len(matching) == 1, (wanted, found)
    return matching[0]
