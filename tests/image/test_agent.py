# SPDX-License-Identifier: Apache-2.0
"""
The agent's container is paused, restarted and killed under load.

Each entry is received, or in one of Envoy's counters of drops. Nobody can count one thing: what a
killed agent had in its socket, which the kernel throws away.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from e2e.clients import CLIENTS
from e2e.messages import Request

from .config import access, bootstrap, cilium_sink
from .edge import Agent, Edge, Site, both, told
from .engine import until
from .traffic import Load

TIMES = 3
QUEUE = 500


@dataclass
class Pair:
    """An Envoy with a short queue, and its agent."""

    edge: Edge
    agent: Agent
    names: list[str] = field(default_factory=list)  # of all requests

    def one_more(self) -> None:
        """Make a request: streams tell what is to be counted as they end."""
        self.names.append(f"extra-{len(self.names)}")
        headers = [(b"x-request-id", self.names[-1].encode())]
        with CLIENTS["HTTP/1.1"](self.edge.port()) as client:
            assert 200 == client.fetch(Request(headers=headers)).status

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Put load on Envoy; each request of it is answered."""
        with Load(self.edge.port()) as load:
            yield load
        assert not load.cut
        self.names += load.answered

    @contextmanager
    def reconnected(self) -> Iterator[None]:
        """Wait, after the block, until Envoy has another connection than before it."""
        before = self.edge.stat("access.cilium_reconnects")
        yield
        until(lambda: self.edge.stat("access.cilium_reconnects") > before, self.edge.log)

    def _found(self) -> tuple[int, int]:
        """Give how many entries have been dealt with, and how many have to be."""
        self.one_more()
        taken = self.edge.stat("access.cilium_sent") + self.edge.dropped()
        return taken, 2 * (len(self.names) - 1)  # the last request's are told by the next one

    def _adds_up(self) -> bool:
        found, wanted = self._found()
        return found >= wanted

    def unaccounted(self) -> int:
        """Give how many entries were neither received nor counted as dropped."""
        until(self._adds_up, self._found)
        last = both(self.names[-1:])  # in one connection it comes after all the others
        until(lambda: not last - told(self.agent.entries()), self.agent.log)
        received, dropped = told(self.agent.entries()), self.edge.dropped()
        sent = both(self.names)
        assert not received - sent, "an entry came twice, or nobody sent it"
        print(f"{sent.total()} entries: {received.total()} received, {dropped} dropped")
        return sent.total() - received.total() - dropped


@pytest.fixture
def pair(site: Site, image: str) -> Pair:
    """Start both."""
    agent = site.agent(image)
    sink = cilium_sink(queue={"entries": QUEUE})
    edge = site.edge(image, bootstrap([access(sink)], oracle=False), agent=True)
    return Pair(edge, agent)


def test_paused(pair: Pair) -> None:
    """While the agent is paused, what its socket and the queue cannot hold is counted."""
    with pair.load() as load:
        for _ in range(TIMES):
            load.wait_for(QUEUE)
            before = pair.edge.dropped()
            pair.agent.container.pause()
            until(lambda: pair.edge.dropped() > before, pair.edge.log)  # noqa: B023
            pair.agent.container.unpause()
    assert 0 == pair.unaccounted()
    assert 0 == pair.edge.stat("access.cilium_reconnects")


def test_restarted(pair: Pair) -> None:
    """A restarted agent reads first what it was sent; nothing is lost uncounted, or sent twice."""
    with pair.load() as load:
        for times in range(TIMES):
            load.wait_for(QUEUE)
            with pair.reconnected():
                pair.agent.container.restart(timeout=10)
                pair.agent.listens(times + 2)
    assert 0 == pair.unaccounted()


def capacity() -> int:
    """Give how many packets a socket holds at most: the smallest ones."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        writer.setblocking(False)
        count = 0
        try:
            while True:
                writer.send(b"x")
                count += 1
        except BlockingIOError:
            return count


def test_killed(pair: Pair) -> None:
    """A killed agent takes along what was in its socket, and not more."""
    with pair.load() as load:
        for times in range(TIMES):
            load.wait_for(QUEUE)
            with pair.reconnected():
                before = pair.edge.dropped()
                pair.agent.container.kill()
                until(lambda: pair.edge.dropped() > before, pair.edge.log)  # noqa: B023
                pair.agent.start()
                pair.agent.listens(times + 2)
    lost = pair.unaccounted()
    print(f"{lost} were in the socket of an agent that was killed")
    assert 0 <= lost <= TIMES * (capacity() + 1)  # and one that it had just read
