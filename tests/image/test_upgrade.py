# SPDX-License-Identifier: Apache-2.0
"""
A rolling upgrade: Envoys of different releases behind one range of ports, replaced under load.

Each Envoy gets a port of the range from the engine. Before an Envoy is stopped it is told that its
health check fails, as an orchestrator's hook does it: then it asks its clients to leave.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress

from .build import RELEASES
from .config import ADMIN, PORT, STDOUT, access, bootstrap, cilium_sink
from .edge import Edge, Site, both, told
from .engine import until
from .traffic import Ports, Travellers

CLIENTS = ["HTTP/1.1", "HTTP/1.1", "HTTP/2", "HTTP/2"]
MORE = 500  # requests after each step
NOT_EPHEMERAL = (20_000, 32_000)  # Linux gives none of them to whoever asks for any port


def free_range(size: int) -> str:
    """Give a range of ports of loopback where nobody listens: ``first-last``."""
    while True:
        first = random.randrange(*NOT_EPHEMERAL)  # noqa: S311 (no secret)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + size):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return f"{first}-{first + size - 1}"


class Rollout:
    """The Envoys of the range."""

    def __init__(self, site: Site, built: Callable[[str], str]) -> None:
        """Begin with none; there is one more of them while one is replaced."""
        self.ports = Ports()
        self.edges: list[Edge] = []
        self._site = site
        self._images = {release: built(release) for release in RELEASES}
        self._range = free_range(len(RELEASES))

    def start(self, release: str) -> Edge:
        """Start one, to which clients come."""
        config = bootstrap([access(STDOUT, cilium_sink())])
        published = {PORT: self._range, ADMIN: 0}
        edge = self._site.edge(self._images[release], config, agent=True, ports=published)
        assert f"/{release}/" in edge.admin("/server_info")
        first, last = map(int, self._range.split("-"))
        assert first <= edge.port() <= last
        self.edges.append(edge)
        self.ports.add(edge.port())
        return edge

    def end(self, edge: Edge) -> None:
        """Have its clients leave, and stop it."""
        self.ports.take_out(edge.port())
        edge.admin("/healthcheck/fail", "POST")
        active = "http.edge.downstream_cx_active"
        until(lambda: edge.stat(active) == 0, lambda: f"{edge.stat(active)} clients stay")
        assert 0 == edge.stop()


def test_rolling_upgrade(site: Site, built: Callable[[str], str]) -> None:
    """Each release becomes the newest one: no request fails, and every entry comes, once."""
    newest, *others = RELEASES
    agent = site.agent(built(newest))
    rollout = Rollout(site, built)
    old = [rollout.start(release) for release in others]
    with Travellers(rollout.ports, CLIENTS) as travellers:
        travellers.wait_for(MORE)
        for edge in old:
            rollout.start(newest)
            travellers.wait_for(MORE)
            rollout.end(edge)
            travellers.wait_for(MORE)
    assert [] == travellers.failed
    for edge in rollout.edges[len(old) :]:
        assert 0 == edge.stop()
    sent = both(travellers.sent)
    found = [told(edge.entries()) for edge in rollout.edges]
    print(f"{len(travellers.sent)} requests: {[one.total() // 2 for one in found]}")
    assert sent == sum(found, Counter())
    assert sent == told(agent.told(sent.total()))
    for edge, entries in zip(rollout.edges, found, strict=True):
        answered = {name for kind, name in entries if kind == "response"}
        assert answered
        assert answered == {one["request_id"] for one in edge.oracle()}
