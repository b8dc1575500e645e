# SPDX-License-Identifier: Apache-2.0
"""
Ordinary filters, as users write them: type-checked by mypy --strict, never run.

What stands here must go on type-checking; a line that has to be refused says so in its ignore.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import envoy_pyfilter
import msgspec
from envoy_pyfilter import (
    BUFFER,
    PASS,
    PAUSE,
    AccessConfig,
    AccessFilter,
    Body,
    Config,
    ConfigError,
    Counter,
    Filter,
    Gauge,
    Headers,
    Histogram,
    LocalReply,
    Record,
    Reply,
    ResetReason,
    Sink,
    Stream,
    StreamGone,
    Verdict,
)
from envoy_pyfilter.operators import Alias, Resolved, resolve_format
from envoy_pyfilter.testing import FakeStream, run_stream


class Plain(Filter):
    """No config, one hook."""

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        if stream.request_headers.get("x-user") is None:
            return Reply(401, "who are you?")
        return None


class LimitConfig(Config, frozen=True):
    """A typed config."""

    limit: int = 10
    paths: list[str] = []


class Limit(Filter):
    """Typed config, per-route config, metrics, state of a stream."""

    Config = LimitConfig
    config: LimitConfig

    class RouteConfig(msgspec.Struct, frozen=True):
        """A route's own limit."""

        limit: int

    denied = Counter("denied", labels=("path",))
    open_streams = Gauge("open_streams")
    sizes = Histogram("sizes")

    def __init__(self, config: LimitConfig) -> None:
        super().__init__(config)
        if config.limit < 1:
            raise ConfigError(f"limit: must be 1 or more, got {config.limit}")
        self.limit: int = config.limit

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> Verdict:
        headers: Headers = stream.request_headers
        path: bytes = headers[":path"]
        tenant: bytes = headers.get("x-tenant", b"none")
        maybe: bytes | None = headers.get("x-tenant")
        either: bytes | int = headers.get("x-tenant", 0)
        everything: list[bytes] = headers.get_all(b"x-tenant")
        headers.set("x-limit", str(self.config.limit))
        headers.add(b"x-raw", b"\xff")
        headers.remove("x-internal")
        for name, value in headers:
            stream.data[name.decode()] = value
        self.open_streams.add(stream)
        route: Limit.RouteConfig | None = stream.route_config
        limit = self.limit if route is None else route.limit
        if limit < len(everything):
            self.denied.add(stream, path=path)
            self.denied.add(stream, 1, path)
            return Reply(429, headers={"retry-after": "1"}, details="limit")
        del tenant, maybe, either
        return PASS if end_of_stream else BUFFER

    def on_request_body(self, stream: Stream, end_of_stream: bool) -> Verdict:
        body: Body = stream.request_body
        if not end_of_stream:
            return BUFFER
        self.sizes.record(stream, len(body.complete))
        body.replace(body.complete.lower())
        body.append(b"!")
        body.drain(1)
        return PASS

    def on_local_reply(self, stream: Stream, reply: LocalReply) -> None:
        stream.data["answered"] = (reply.status, reply.details, reply.reset_imminent)

    def on_stream_complete(self, stream: Stream) -> None:
        self.open_streams.sub(stream)
        code: str | int | bool | None = stream.attribute("response.code")
        stream.filter_state["limit.code"] = str(code)
        known: bytes | None = stream.filter_state.get("limit.code")
        sure: bytes = stream.filter_state.get("limit.code", b"0")
        stream.metadata.set("limit", "code", 5)
        stream.metadata.set("limit", "codes", ["a", "b"])
        del known, sure

    def on_config_destroy(self) -> None:
        self.limit = 0


class Nested(Filter):
    """A config inside of its filter."""

    class Config(envoy_pyfilter.Config, frozen=True):
        """Its own."""

        word: str = "x"

    config: Config

    def on_stream_complete(self, stream: Stream) -> None:
        stream.record.note("word", self.config.word)


class Ask(Filter):
    """Asks somebody else while the request waits."""

    pool: ClassVar = ThreadPoolExecutor()

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> Verdict:
        self.pool.submit(self.ask, stream, stream.request_headers.get("x-user", b""))
        return PAUSE

    def ask(self, stream: Stream, user: bytes) -> None:
        try:
            if user:
                stream.run_on_worker(lambda worker: worker.request_headers.set("x-known", b"yes"))
                stream.resume_request()
            else:
                stream.reply(Reply(403, grpc_status=7, grpc_message="unknown"))
        except StreamGone:
            pass


class Answer(Filter):
    """Answers in pieces."""

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> None:
        if "x-bad" in stream.request_headers:
            stream.reset(ResetReason.LOCAL_REFUSED_STREAM, "bad")
            return
        stream.start_response(200, {"content-type": "text/plain"})
        stream.send_response_data(b"one")
        stream.send_response_trailers([("x-sum", b"1")])


class NotedConfig(AccessConfig, frozen=True):
    """The access filter's config, and one key more."""

    wanted: str = "x-user"


class Noted(AccessFilter):
    """Adds to the record."""

    Config = NotedConfig
    config: NotedConfig

    def on_stream_complete(self, stream: Stream) -> None:
        stream.record.note("score", {"of": [1, 2.5, None]})
        stream.record.reject("x-bad", b"\xff")
        stream.record.missing(self.config.wanted, None)


class Print(Sink):
    """A sink."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.prefix: str = config["prefix"]

    def write(self, records: list[Record]) -> None:
        for record in records:
            print(self.prefix, record.kind, record.path, record.response_code)


def test_of_a_user() -> None:
    """A user's test."""
    fake: FakeStream = run_stream(
        Limit(LimitConfig(limit=1)),
        request_headers={":path": "/a", "x-tenant": "b"},
        request_body=[b"a", b"b"],
        route_config=Limit.RouteConfig(limit=5),
        attributes={"source.address": "127.0.0.1:5"},
    )
    assert 200 == fake.downstream.status
    assert b"ab" == fake.upstream.body
    assert 1 == fake.metric("denied", "/a")


# --- what has to be refused ---


class Wrong(Filter):
    """Each line is a mistake."""

    count = Counter("count")

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> int:  # type: ignore[override]
        return 0

    def on_request_body(self, stream: Stream) -> None:  # type: ignore[override]
        stream.request_headers.set("a", 5)  # type: ignore[arg-type]
        stream.request_body.append("text")  # type: ignore[arg-type]
        stream.request_headers["a"] = b"b"  # type: ignore[index]
        stream.route_metadata.set("a", "b", "c")  # type: ignore[attr-defined]
        stream.metadata.set("a", "b", b"c")  # type: ignore[arg-type]
        stream.worker_index = 5  # type: ignore[misc]
        self.count.add(stream, 1.5)  # type: ignore[arg-type]
        Reply("403")  # type: ignore[arg-type]
        Reply(403, b"", (), 7)  # type: ignore[call-arg]


def formats() -> str:
    """Resolve the operators of a format; the profile is one of three words."""
    aliases = [Alias(name="auth", filter="my-ext-proc"), Alias(name="script", kind="lua")]
    found: Resolved = resolve_format("%EG_EXT_FILTER_STATE(auth:PLAIN)%", aliases)
    resolve_format("", aliases, "eg-v2")  # type: ignore[arg-type]
    return "; ".join(f"{one.line}:{one.column}: {one.text}" for one in found.notices)
