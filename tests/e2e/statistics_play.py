# SPDX-License-Identifier: Apache-2.0
"""
Plays a scene through one listener, step by step, and reads what Envoy tells of it.

A step is one chunk, or one message's headers or trailers. The next one is taken when Envoy has read
it and, with an external processor, has its answer: so the number of calls is the scene's, not the
machine's.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .exchange import Client
from .messages import Answer, Gate, Request, Response
from .site import Site
from .statistics_scenes import Scene
from .waiting import until

_UPSTREAM = "cluster.upstream.upstream_cx_rx_bytes_total"
METERS = (
    r"http\..*\.(ext_proc\..*|downstream_(cx_rx_bytes_total|rq_total|rq_active))"
    r"|cluster\.upstream\.upstream_cx_rx_bytes_total"
)
"""All that is read of Envoy's stats: without the others asking for them is quick."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the client got, what a line of the access log says, and Envoy's counters."""

    status: int
    body: bytes
    line: dict[str, Any]
    counters: dict[str, int]


class Player:
    """Plays on one listener; *probe* is the port of another one, of the same worker."""

    def __init__(self, site: Site, probe: int, protocol: str) -> None:
        """*site* is open."""
        self._site = site
        self._probe = probe
        self._protocol = protocol
        self._head = Gate()

    def play(self, scene: Scene) -> Told:
        """Send the scene's request, get its answer, and wait until all is told."""
        answer = self._gated(scene.answer)
        path = self._site.upstream.serve(answer)
        request = replace(scene.request, path=scene.path or path)
        try:
            with self._site.client(self._protocol) as client:
                got = self._exchange(scene, client, request, answer)
        finally:
            for gate in (self._head, *answer.gates):
                gate.open()
        line = self._site.oracle(scene.lines)[-1]
        self._settle(scene)
        return Told(status=got.status, body=got.body, line=line, counters=self._counters(scene))

    def _exchange(self, scene: Scene, client: Client, request: Request, answer: Answer) -> Response:
        sending = self._steps_of_request(client, request)
        for number, step in enumerate(sending, 1):
            if not self._step(scene, f"http.{self._site.name}.downstream_cx_rx_bytes_total", step):
                return client.finish()
            if number == scene.gone_after_sending:
                return self._abort(client)
        for number, gate in enumerate((self._head, *answer.gates), 1):
            if not scene.reaches_upstream or not self._step(scene, _UPSTREAM, gate.open):
                break
            if number == scene.gone_after_answering:
                return self._abort(client)
        return client.finish()

    def _abort(self, client: Client) -> Response:
        client.abort()
        until(self._over, "the end of the stream")
        return client.so_far()

    def _gated(self, answer: Answer) -> Answer:
        """Let the upstream wait before the head, each chunk, and what ends the body."""
        count = len(answer.body)
        if (
            answer.body
            and answer.reset == "never"
            and b"content-length" not in dict(answer.headers)
        ):
            count += 1
        return replace(answer, wait=self._head, gates=[Gate() for _ in range(count)])

    def _steps_of_request(self, client: Client, request: Request) -> list[Callable[[], None]]:
        has_more = bool(request.body or request.trailers)
        steps: list[Callable[[], None]] = [lambda: client.open(request, ends=not has_more)]
        chunks = [chunk for chunk in request.body if chunk]
        has_length = b"content-length" in dict(request.headers)
        for number, chunk in enumerate(chunks, 1):
            last = has_length and number == len(chunks)
            steps.append(lambda data=chunk, ends=last: client.send(data, ends=ends))  # type: ignore[misc]
        if request.trailers:
            steps.append(lambda: client.send_trailers(request.trailers))
        elif has_more and not has_length:
            steps.append(lambda: client.send(b"", ends=True))
        return steps

    # --- knowing that a step has been taken ---

    def _step(self, scene: Scene, meter: str, action: Callable[[], None]) -> bool:
        """Take it and wait until it has been worked off; false when the stream is over."""
        before = self._stats().get(meter, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            action()
        until(
            lambda: self._stats().get(meter, 0) > before or self._over(),
            lambda: f"{meter} over {before}: {self._stats()}",
        )
        self._settle(scene)
        return not self._over()

    def _settle(self, scene: Scene) -> None:
        """Wait until the worker has worked off what it read, and calls have been answered."""
        self._round()
        if not scene.holds:
            until(lambda: self._answered(scene), self._stats)
            self._round()

    def _round(self) -> None:
        """Let the worker go once around: it accepts a connection, and reads and writes on it."""
        with socket.create_connection(("127.0.0.1", self._probe), 10) as probe:
            probe.sendall(b"GET / HTTP/1.1\r\nhost: probe\r\n\r\n")
            assert probe.recv(1)

    def _answered(self, scene: Scene) -> bool:
        told = self._counters(scene)
        over = ("streams_closed", "streams_failed")
        same = told.get("stream_msgs_sent", 0) == told.get("stream_msgs_received", 0)
        return same or any(told.get(name, 0) for name in over)

    def _over(self) -> bool:
        name = f"http.{self._site.name}"
        stats = self._stats()
        begun = stats.get(f"{name}.downstream_rq_total", 0)
        return bool(begun) and stats.get(f"{name}.downstream_rq_active", 0) == 0

    def _stats(self) -> dict[str, int]:
        name = re.escape(self._site.name)
        return self._site.envoy.stats(f"^(http\\.{name}\\.|cluster\\.upstream\\.upstream_cx_rx)")

    def _counters(self, scene: Scene) -> dict[str, int]:
        """Give the counters of the filter, without those that begin with our instance's name."""
        whole = f"http.{self._site.name}.ext_proc."
        prefix = whole + (f"{scene.stat_prefix.rstrip('.')}." if scene.stat_prefix else "")
        return {
            name.removeprefix(prefix): value
            for name, value in self._stats().items()
            if name.startswith(whole) and not name.startswith(f"{whole}{self._site.name}.")
        }
