# SPDX-License-Identifier: Apache-2.0
"""What a row of the table of endings may do: talk to its listener, and see what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .bootstrap import Dict
from .exchange import Client
from .http3 import Http3
from .messages import Answer, Gate, Pairs, Request, Response
from .site import Site, whole_lines
from .waiting import until

MARK = "mark "
ID = (b"x-request-id", b"row")
WEBSOCKET = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
HELLO = b"GET /tunnelled HTTP/1.1\r\nhost: inner\r\n\r\n"


class Scene:
    """One listener, one protocol, and a gate that is opened when the row is over."""

    def __init__(self, site: Site, protocol: str) -> None:
        """*site* is open."""
        self.site = site
        self.protocol = protocol
        self.gate = Gate()
        self.asked = b""  # the path of the last request
        self.exchanges = 0  # of our own, besides the row's
        self.amid: list[str] = []  # kinds of entries that were there amid a tunnel
        self._log_start = site.envoy.log_path.stat().st_size

    def client(self) -> Client:
        """Give a new connection."""
        return self.site.client(self.protocol)

    def slow_client(self) -> Client:
        """Give a new connection that takes little before somebody reads."""
        if self.protocol == "HTTP/3":
            return Http3(self.site.port, window=16_384)
        return self.client()

    def request(self, answer: Answer | None = None, **fields: Any) -> Request:
        """Make a request that the upstream answers with *answer*."""
        if answer is not None:
            fields["path"] = self.site.upstream.serve(answer)
        headers: Pairs = fields.pop("headers", ())
        made = Request(headers=[ID, *headers], **fields)
        self.asked = made.path
        return made

    def fetch(self, answer: Answer | None = None, **fields: Any) -> Response:
        """Make a whole exchange."""
        with self.client() as client:
            return client.fetch(self.request(answer, **fields))

    def websocket(self, answer: Answer | None = None) -> Request:
        """Make a request for a tunnel for WebSocket, as the protocol has it."""
        answer = answer or Answer(headers=WEBSOCKET, echo=1000)
        if self.protocol == "HTTP/1.1":
            return self.request(answer, headers=WEBSOCKET)
        return self.request(answer, method=b"CONNECT", protocol=b"websocket")

    # --- what came of it ---

    def entries(self) -> list[Dict]:
        """Our entries so far."""
        return [json.loads(line) for line in whole_lines(self.site.entries_path)]

    def entries_now(self) -> list[Dict]:
        """
        Give the row's entries: what its streams have written stands before one more exchange's.

        There is one worker, so there is one ring.
        """
        self.exchanges += 1
        name = f"{MARK}{self.exchanges}"
        with self.client() as client:
            client.fetch(Request(path=b"/mark", headers=[(b"x-request-id", name.encode())]))
        until(lambda: ("response", name) in self._told(), f"the response's entry of {name}")
        return [
            entry for entry in self.entries() if not entry.get("request_id", "").startswith(MARK)
        ]

    def _told(self) -> list[tuple[str, str]]:
        return [(entry["kind"], entry.get("request_id", "")) for entry in self.entries()]

    def entries_of_all(self) -> list[Dict]:
        """Give all entries of an Envoy that has ended, or is ended."""
        if self.site.envoy.alive:
            self.site.envoy.stop()
        return self.entries()

    # --- waiting, which a connection has to live through ---

    def wait(self, client: Client, condition: Callable[[], object], what: object) -> None:
        """Wait for *condition*, which *what* names, while nobody reads from the client."""

        def fulfilled() -> object:
            client.stay()
            return condition()

        until(fulfilled, what)

    def wait_for_entries(self, client: Client, count: int) -> None:
        """Wait until the sink has *count* entries."""
        self.wait(client, lambda: len(self.entries()) >= count, f"{count} entries")

    def wait_for_upstream(self, client: Client, request: Request) -> None:
        """Wait until the whole request is with the upstream."""
        self.wait(client, lambda: self.site.upstream.received(request.path), "the request")

    def pauses(self) -> int:
        """How often Envoy has stopped reading from the upstream, because a client was slow."""
        stats = self.site.envoy.stats("upstream_flow_control_paused_reading_total$")
        return stats.get("cluster.upstream.upstream_flow_control_paused_reading_total", 0)

    def new_log(self) -> str:
        """Tell what Envoy logged since the row began."""
        return self.site.envoy.log(self._log_start)
