# SPDX-License-Identifier: Apache-2.0
"""A filter config and its streams in a stub host, as a test wants to talk of them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .host import Event, Host, Pairs, Word, pairs

FILTERS = Path(__file__).parents[1] / "e2e"  # filters.py: filters whose hooks are texts

REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS = range(4)


class Config:
    """One filter config; its instance name, its files and its streams carry its name."""

    def __init__(self, host: Host, filter_name: Word, config: Any, *, name: str = "") -> None:
        """Load *config*: a dict, or anything else as it is."""
        self.host = host
        self.name = name or host.name("c")
        self.streams: list[Stream] = []
        text = json.dumps(config) if isinstance(config, dict) else config
        self.events = host("config", self.name, filter_name, text)
        self.accepted = any(event.get("accepted") for event in self.events)
        self.ended = not self.accepted
        host.made.append(self)

    @classmethod
    def access(cls, host: Host, **config: Any) -> Config:
        """Load an access filter that writes to ``self.log``."""
        name = host.name("c")
        return cls(host, "access", {**_recording(host, name), **config}, name=name)

    @classmethod
    def scripted(
        cls, host: Host, *, access: bool = False, config: Any = None, **hooks: str
    ) -> Config:
        """Load a filter whose hooks are these texts; ``saw(...)`` in them fills ``seen()``."""
        name = host.name("c")
        whole: dict[str, Any] = {"instance": name, "python_path": [str(FILTERS)], "hooks": hooks}
        whole["seen"] = str(host.folder / f"{name}.seen")
        base = "ScriptedAccess" if access else "Scripted"
        whole |= {**(_recording(host, name) if access else {}), **(config or {})}
        return cls(host, "filters:" + "__".join([base, *sorted(hooks)]), whole, name=name)

    @property
    def log(self) -> Path:
        """The file of the entries."""
        return self.host.folder / f"{self.name}.log"

    def stream(self, *, worker: int = 0, route: str = "") -> Stream:
        """Begin a stream on a worker."""
        stream = Stream(self, self.host.name("s"))
        self.host.line(f"@{worker} new {stream.name} {self.name} {route}")
        self.streams.append(stream)
        return stream

    def end(self, *, thread: str = "") -> list[Event]:
        """
        End what streams are left, and the config, on the main thread or another ("@x", "@1").

        What a test does not end, its host's ``tidy`` ends. Afterwards all entries are in the file,
        if no other config has a sink.
        """
        for stream in self.streams:
            if not stream.ended:
                stream.finish()
        if self.ended:
            return []
        self.ended = True
        return self.host.line(f"{thread} config_destroy {self.name}")

    def entries(self) -> list[Event]:
        """End the config and return its entries; each line has to be one whole JSON object."""
        self.end()
        return read_entries(self.log)

    def kinds(self) -> list[str]:
        """End the config and return the kinds of its entries, in order."""
        return [entry["kind"] for entry in self.entries()]

    def stat(self, name: str) -> int:
        """Return one of its stats."""
        return self.host.stats()[f"{self.name}.{name}"]

    def counts(self) -> dict[str, int]:
        """Return its stats that are not zero, by the name behind the instance's."""
        prefix = f"{self.name}."
        found = self.host.stats().items()
        return {name[len(prefix) :]: n for name, n in found if name.startswith(prefix) and n}

    def seen(self) -> list[Any]:
        """Return what the hooks saw, so far."""
        path = self.host.folder / f"{self.name}.seen"
        lines = path.read_text().splitlines() if path.exists() else []
        return [ast.literal_eval(line) for line in lines]


class Stream:
    """One stream; its hooks return Envoy's status."""

    def __init__(self, config: Config, name: str) -> None:
        """Name a stream that the host has."""
        self.config = config
        self.host = config.host
        self.name = name
        self.events: list[Event] = []
        self.ended = False

    def _hook(self, command: str, *words: Word, more: Iterable[str] = ()) -> int:
        """Send a hook's command; the hook itself is the last one to return."""
        self.events = self.host(command, self.name, *words, more=more)
        found = [e for e in self.events if "status" in e and e["stream"] == self.name]
        return int(found[-1]["status"]) if found else 0

    def request_headers(self, headers: Pairs = (), *, end: bool = True) -> int:
        """Begin the request; without *headers* an ordinary GET whose id is the stream's name."""
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

    def local_reply(
        self, code: int, details: Word = "direct_response", *, reset: bool = False
    ) -> int:
        """Somebody else answers."""
        return self._hook("local_reply", code, details, int(reset))

    def hook(self, name: str, *words: Word) -> int:
        """Run another hook: above, below, wake (with an event's number), pump (with a count)."""
        return self._hook(name, *words)

    def complete(self) -> None:
        """End the stream, as Envoy sees it."""
        self._hook("complete")

    def destroy(self) -> None:
        """End the stream for good."""
        self._hook("destroy")
        self.ended = True

    def finish(self) -> None:
        """Complete and destroy it."""
        self.complete()
        self.destroy()

    def exchange(self) -> None:
        """Live an ordinary life."""
        self.request_headers()
        self.response_headers()
        self.finish()

    def when(self, callback: str, *commands: str) -> None:
        """Run commands for this stream inside of a callback, in order."""
        for command in commands:
            first, *rest = command.split()
            words = [first, self.name, *rest]
            self.host.line(" ".join(["when", self.name, callback, *words]))

    def gone_when(self, callback: str) -> None:
        """Let Envoy end the stream inside of a callback, as it does up to 1.39."""
        self.when(callback, "complete", "destroy")
        self.ended = True

    def map(self, number: int, headers: Pairs) -> None:
        """Change a header map, as another filter does."""
        self.host("map", self.name, number, more=pairs(headers))

    def attribute(self, number: int, value: str | int | bool) -> None:
        """Give Envoy's attribute of that number a value."""
        kind = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "s"
        self.host("attribute", self.name, number, kind, int(value) if kind == "b" else value)

    def put_state(self, source: int, namespace: Word, key: Word, kind: str, *values: Word) -> None:
        """Put filter state (source -1; o: an object) or metadata there: s, n, b; lists: S, N, B."""
        self.host("state", self.name, source, namespace, key, kind, *values)

    def calls(self) -> list[str]:
        """Return the names of the callbacks that the last hook made and that did something."""
        return [e["call"] for e in self.events if "call" in e]

    def call(self, name: str) -> Event:
        """Return the last hook's one call of that name."""
        (found,) = [e for e in self.events if e.get("call") == name]
        return found

    def logged(self) -> list[str]:
        """Return the log lines of the last hook."""
        return [e["text"] for e in self.events if "log" in e]

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


def read_entries(path: Path) -> list[Event]:
    """Return the entries of a file; each line has to be one whole JSON object."""
    text = path.read_text("utf-8") if path.exists() else ""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _recording(host: Host, name: str) -> dict[str, Any]:
    path = str(host.folder / f"{name}.log")
    file = {"type": "file", "path": path, "ring_bytes": 4 << 20}  # a load never fills it
    return {"instance": name, "sinks": [file]}
