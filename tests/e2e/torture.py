# SPDX-License-Identifier: Apache-2.0
"""
A filter that does anything that the API offers, at random, in every hook.

What it does in a stream follows from the seed in its config and the stream's request id; when its
other threads come to do their part does not. Streams whose request says ``x-calm`` are left alone.
"""
# ruff: noqa: ARG002 (the hooks do the same, whatever they get)

from __future__ import annotations

import contextlib
import json
import logging
import queue
import random
import threading
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from envoy_pyfilter import (
    BUFFER,
    PASS,
    PAUSE,
    AccessConfig,
    AccessFilter,
    Counter,
    Gauge,
    Histogram,
    LocalReply,
    Reply,
    ResetReason,
    Stream,
    Verdict,
)
from envoy_pyfilter.attributes import ATTRIBUTES

log = logging.getLogger("torture")

Act = Callable[["Torture", Stream, random.Random], Any]
HELPERS: Final = 2  # threads of each filter that use its streams
KEPT: Final = 100  # streams that it holds longer than they live
NAMES: Final = ("x-a", "X-B", "content-length", "content-type", "te", "host", "bad name", "")
VALUES: Final = (b"1", b"", b"a\xff", b"x" * 5000, b"two words", b"line\nfeed", "text")
PSEUDO: Final = (
    (":path", b"/bytes/7"),
    (":path", b"/a b"),
    (":path", b""),
    (":authority", b"other.test"),
    (":method", b"POST"),
    (":status", b"299"),
    (":status", b"100"),
    (":none", b"x"),
)
SETTABLE: Final[tuple[Any, ...]] = (
    "text",
    1.5,
    7,
    True,
    ["a", "b"],
    [1, 2.5],
    [True],
    ["a", 1],
    None,
    {},
)
ERRORS: Final = (ValueError, SystemExit, KeyboardInterrupt, RecursionError, MemoryError)


def _some_map(stream: Stream, dice: random.Random) -> Any:
    side, part = dice.choice(("request", "response")), dice.choice(("headers", "trailers"))
    return getattr(stream, f"{side}_{part}")


def _some_body(stream: Stream, dice: random.Random) -> Any:
    return dice.choice((stream.request_body, stream.response_body))


def _some_reply(dice: random.Random) -> Reply:
    return Reply(
        dice.choice((200, 204, 403, 503)),
        dice.choice((b"", "no", b"x" * 100_000)),
        dice.choice(((), {"x-reply": "1"})),
        details=dice.choice(("", "torture said no")),
    )


def _read(stream: Stream, dice: random.Random) -> None:
    found = _some_map(stream, dice)
    name = dice.choice(NAMES)
    list(found), len(found), found.items(), found.get(name), found.get_all(name), name in found


def _record(stream: Stream, dice: random.Random) -> None:
    how = dice.choice((stream.record.note, stream.record.reject, stream.record.missing))
    how(dice.choice(NAMES), dice.choice((1, "text", b"\xff", [1], {"a": None}, float("nan"), {1})))


def _metadata(stream: Stream, dice: random.Random) -> None:
    sources = (
        stream.metadata,
        stream.route_metadata,
        stream.cluster_metadata,
        stream.host_metadata,
    )
    source = dice.choice(sources)
    for namespace in source.namespaces():
        for key in source.keys(namespace):
            source.get(namespace, key)
    stream.metadata.set("torture", dice.choice("abc"), dice.choice(SETTABLE))


def _state(stream: Stream, dice: random.Random) -> None:
    key = dice.choice("abc")
    stream.filter_state.get(key)
    stream.filter_state[key] = dice.choice((b"", b"v\xff\x00", "text"))


def _metrics(own: Torture, stream: Stream, dice: random.Random) -> None:
    own.hits.add(stream, dice.randrange(5))
    own.labelled.add(stream, 1, dice.choice(("a", "b")))
    own.level.add(stream, 2)
    own.level.sub(stream, 1)
    own.level.set(stream, dice.randrange(9))
    own.sizes.record(stream, dice.randrange(1000))


def _pieces(stream: Stream, dice: random.Random) -> None:
    stream.start_response(200, {"x-pieces": "1"})
    for _ in range(dice.randrange(3)):
        stream.send_response_data(b"piece" * dice.randrange(1, 2000))
    if dice.random() < 0.5:
        stream.send_response_trailers({"x-end": "1"})
    else:
        stream.send_response_data(b"", end_of_stream=True)


def _raise(_own: Torture, _stream: Stream, dice: random.Random) -> None:
    raise dice.choice(ERRORS)("on purpose")


ACTS: Final[dict[str, Act]] = {
    "read headers": lambda _, s, d: _read(s, d),
    "set a header": lambda _, s, d: _some_map(s, d).set(d.choice(NAMES), d.choice(VALUES)),
    "add a header": lambda _, s, d: _some_map(s, d).add(d.choice(NAMES), d.choice(VALUES)),
    "remove a header": lambda _, s, d: _some_map(s, d).remove(d.choice(NAMES)),
    "set a pseudo header": lambda _, s, d: _some_map(s, d).set(*d.choice(PSEUDO)),
    "read a body": lambda _, s, d: (_some_body(s, d).read(), _some_body(s, d).complete),
    "read a buffer": lambda _, s, d: (_some_body(s, d).read_buffered(), _some_body(s, d).size),
    "drain a body": lambda _, s, d: _some_body(s, d).drain(d.randrange(2000)),
    "append to a body": lambda _, s, d: _some_body(s, d).append(b"more" * d.randrange(500)),
    "replace a body": lambda _, s, d: _some_body(s, d).replace(b"other" * d.randrange(500)),
    "attributes": lambda _, s, d: [s.attribute(n) for n in d.sample(sorted(ATTRIBUTES), 9)],
    "filter state": lambda _, s, d: _state(s, d),
    "metadata": lambda _, s, d: _metadata(s, d),
    "metrics": _metrics,
    "route config": lambda _, s, __: (s.route_config, s.worker_index, s.failed, s.filter),
    "record": lambda _, s, d: _record(s, d),
    "log": lambda _, s, d: log.log(d.choice((5, 10, 20, 30, 40)), "%r with \n and \x00", s),
    "buffer limit": lambda _, s, d: setattr(s, "buffer_limit", d.choice((1, 1000, 1 << 20))),
    "custom flag": lambda _, s, d: s.add_custom_flag(d.choice(("X", "A B", ""))),
    "clear the route": lambda _, s, __: s.clear_route_cache(),
    "clear the cluster": lambda _, s, __: s.clear_route_cluster_cache(),
    "resume the request": lambda _, s, __: s.resume_request(),
    "resume the response": lambda _, s, __: s.resume_response(),
    "keep it reachable": lambda _, s, __: s.keep_reachable(),
    "run on the worker": lambda o, s, d: s.run_on_worker(lambda t: o.act(t, "on the worker", d)),
    "use it elsewhere": lambda o, s, d: o.leave_to_helper(s, d),
    "use an old one": lambda o, _, d: o.act(d.choice(list(o.kept)), "too late", d),
}
RARE: Final[dict[str, Act]] = {
    "reply": lambda _, s, d: s.reply(_some_reply(d)),
    "reply in pieces": lambda _, s, d: _pieces(s, d),
    "reset": lambda _, s, d: s.reset(d.choice(list(ResetReason)), "torture reset it"),
    "raise": _raise,
}


class TortureConfig(AccessConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to torture."""

    seed: int
    tally: str  # the file that says, in the end, what was done how often


class Torture(AccessFilter):
    """Does anything."""

    Config = TortureConfig

    hits = Counter("hits")
    labelled = Counter("labelled", labels=("which",))
    level = Gauge("level")
    sizes = Histogram("sizes")

    def __init__(self, config: TortureConfig) -> None:
        super().__init__(config)
        self._seed = config.seed
        self._tally_path = Path(config.tally)
        self._tally: Tally[str] = Tally()
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self.kept: deque[Stream] = deque(maxlen=KEPT)

    # --- what it does ---

    def act(self, stream: Stream, where: str, dice: random.Random) -> None:
        """Do a few things; most of what they raise is caught, as a careful filter does."""
        for _ in range(dice.randrange(4)):
            acts = RARE if dice.random() < 0.02 else ACTS
            name = dice.choice(sorted(acts))
            self._tally[f"{where}: {name}"] += 1
            if dice.random() < 0.01 or name == "raise":
                acts[name](self, stream, dice)
                continue
            with contextlib.suppress(Exception):
                acts[name](self, stream, dice)

    def leave_to_helper(self, stream: Stream, dice: random.Random, side: str = "") -> None:
        """Let another thread use the stream; with a *side* it ends that side's pause."""
        with self._starting:
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._help, daemon=True) for _ in range(HELPERS)
                ]
                for thread in self._threads:
                    thread.start()
        own = random.Random(dice.random())  # noqa: S311 (one for each thread)

        def task() -> None:
            if own.random() < 0.3:
                self.act(stream, "in a thread", own)
            if side == "reply":
                stream.reply(_some_reply(own))
            elif side:
                getattr(stream, f"resume_{side}")()

        self._tasks.put(task)

    def _help(self) -> None:
        while (task := self._tasks.get()) is not None:
            with contextlib.suppress(BaseException):
                task()

    def _hook(self, stream: Stream, hook: str, side: str) -> Verdict | None:
        dice = stream.data.get("dice")
        if dice is None:
            headers = stream.request_headers
            name = "calm" if "x-calm" in headers else headers.get("x-request-id", b"").decode()
            dice = stream.data["dice"] = random.Random(f"{self._seed} {name}")  # noqa: S311
            stream.data["calm"] = name == "calm"
        if stream.data["calm"]:
            return None
        if dice.random() < 0.2:
            self.kept.append(stream)
        self.act(stream, hook, dice)
        if not side:
            return None
        kind = dice.random()
        if kind < 0.03:
            return _some_reply(dice)
        if kind < 0.15:
            self._tally[f"{hook}: pause"] += 1
            if dice.random() < 0.95:  # else Envoy's timeout ends it
                self.leave_to_helper(stream, dice, side if dice.random() < 0.9 else "reply")
            return PAUSE
        return BUFFER if kind < 0.3 else dice.choice((None, PASS))

    # --- where it does it ---

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "request headers", "request")

    def on_request_body(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "request body", "request")

    def on_request_trailers(self, stream: Stream) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "request trailers", "request")

    def on_response_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "response headers", "response")

    def on_response_body(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "response body", "response")

    def on_response_trailers(self, stream: Stream) -> Verdict | None:
        """Do anything."""
        return self._hook(stream, "response trailers", "response")

    def on_local_reply(self, stream: Stream, reply: LocalReply) -> None:
        """Do anything."""
        self._hook(stream, "local reply", "")

    def on_stream_complete(self, stream: Stream) -> None:
        """Do anything."""
        self._hook(stream, "stream complete", "")

    def on_downstream_above_high_watermark(self, stream: Stream) -> None:
        """Do anything."""
        self._hook(stream, "above watermark", "")

    def on_downstream_below_low_watermark(self, stream: Stream) -> None:
        """Do anything."""
        self._hook(stream, "below watermark", "")

    def on_config_destroy(self) -> None:
        """Say what was done, and end the threads."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(5)
        self._tally_path.write_text(json.dumps(self._tally))
