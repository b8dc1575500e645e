# SPDX-License-Identifier: Apache-2.0
"""Requests that go on while a test does something to the containers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from e2e.clients import CLIENTS
from e2e.exchange import Client
from e2e.load import rapid
from e2e.messages import Request

from .engine import until

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH = 100
CONNECTIONS = 8
RATE = 2000  # requests a second
PAUSE = 0.004  # seconds between a traveller's requests: what is tested is no one's speed
AT_MOST = 200_000  # requests of a client, whatever happens


class Load:
    """
    Requests from the block's begin to its end, from one thread; all go to one Envoy.

    *answered* are the ids of those that were answered. *cut*: the connections ended.
    """

    def __init__(self, port: int) -> None:
        """Prepare; the route has to answer "direct"."""
        self.answered: list[str] = []
        self.cut = False
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        start = time.monotonic()
        for first in range(0, AT_MOST, BATCH):
            names = [f"load-{number}" for number in range(first, first + BATCH)]
            self.cut = not self._send(names)
            late = time.monotonic() - start - len(self.answered) / RATE
            if self.cut or self._stop.wait(max(0.0, -late)):
                return

    def _send(self, names: list[str]) -> bool:
        before = len(self.answered)
        with suppress(OSError):  # nobody takes the connection
            rapid(self._port, names, connections=CONNECTIONS, answered=self.answered)
        return len(self.answered) == before + len(names)

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        count = len(self.answered) + more
        until(
            lambda: len(self.answered) >= count or self.cut,
            lambda: f"{count} answers, got {len(self.answered)}",
        )
        assert not self.cut, "the connections ended"


class Ports:
    """Ports of which each new connection takes the next one."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ports: list[int] = []
        self._turn = itertools.count()
        self._lock = threading.Lock()

    def add(self, port: int) -> None:
        """Let connections come to *port*."""
        with self._lock:
            self._ports.append(port)

    def take_out(self, port: int) -> None:
        """Let no more connections come to *port*: all that came before are made."""
        with self._lock:
            self._ports.remove(port)

    def connect(self, protocol: str) -> Client:
        """Connect to the next one."""
        with self._lock:
            return CLIENTS[protocol](self._ports[next(self._turn) % len(self._ports)])


class Travellers:
    """
    Clients that send one request after the other, and go to the next port when told to leave.

    *sent* are the ids of all requests, *answered* those that were answered well, *failed* says what
    became of the others; a client ends with the first of these.
    """

    def __init__(self, ports: Ports, protocols: Sequence[str]) -> None:
        """Prepare a client for each of *protocols*."""
        self.sent: list[str] = []
        self.answered: list[str] = []
        self.failed: list[str] = []
        self._ports = ports
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, protocol), daemon=True)
            for number, protocol in enumerate(protocols)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until each client has ended: told so, or because Envoy is gone."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests have been answered."""
        count = len(self.answered) + more
        until(
            lambda: len(self.answered) >= count or self.failed,
            lambda: f"{count} answers, got {len(self.answered)}",
        )
        assert not self.failed, self.failed

    def _run(self, number: int, protocol: str) -> None:
        names = (f"client-{number}-{turn}" for turn in range(AT_MOST))
        try:
            while not self._stop.is_set():
                with self._ports.connect(protocol) as client:
                    self._visit(client, names)
        except (OSError, AssertionError) as error:
            self.failed.append(f"{protocol}: {error!r}")

    def _visit(self, client: Client, names: Iterator[str]) -> None:
        """Send requests until told to leave."""
        for name in names:
            self.sent.append(name)
            got = client.fetch(Request(headers=[(b"x-request-id", name.encode())]))
            assert (200, True) == (got.status, got.whole), f"{name}: {got}"
            self.answered.append(name)
            if client.told_to_leave or self._stop.wait(PAUSE):
                return
