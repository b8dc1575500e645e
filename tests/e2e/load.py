# SPDX-License-Identifier: Apache-2.0
"""Many requests at once: as fast as they go, or with clients that go away."""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .clients import CLIENTS, Http1
from .exchange import Client
from .messages import Request
from .waiting import until

if TYPE_CHECKING:
    from typing_extensions import Self


def rapid(
    port: int,
    ids: list[str],
    *,
    connections: int = 8,
    answered: list[str] | None = None,
    seconds: list[float] | None = None,
) -> list[str]:
    """
    Send a request for each id as fast as one thread can; the route has to answer "direct".

    Each connection sends its share one by one. Give the ids that were answered: all, or as many as
    came before the connections ended. *answered* is that list, for who watches it; *seconds* gets
    how long each answer took.
    """
    answered = [] if answered is None else answered
    with selectors.DefaultSelector() as ready:
        for number in range(min(connections, len(ids))):
            _Line(port, iter(ids[number::connections]), answered, seconds).send_next(ready)
        while ready.get_map():
            for key, _ in ready.select():
                key.data.on_readable(ready)
    return answered


def rapid_at_once(loads: Iterable[tuple[int, list[str]]]) -> None:
    """Run ``rapid`` for each port and its ids, all at the same time."""
    threads = [threading.Thread(target=rapid, args=load) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Line:
    """One connection of ``rapid``."""

    def __init__(
        self, port: int, ids: Iterator[str], answered: list[str], seconds: list[float] | None
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ids = ids
        self._id = ""
        self._answered = answered
        self._seconds = seconds
        self._sent = 0.0
        self._read = b""

    def send_next(self, ready: selectors.BaseSelector) -> None:
        """Send the next request and wait for the answer, or close when there is none to send."""
        self._id = next(self._ids, "")
        if not self._id:
            self._close(ready)
            return
        if self._socket not in ready.get_map():
            ready.register(self._socket, selectors.EVENT_READ, self)
        self._sent = time.perf_counter()
        head = f"GET / HTTP/1.1\r\nhost: e2e.test\r\nx-request-id: {self._id}\r\n\r\n"
        try:
            self._socket.sendall(head.encode())
        except OSError:
            self._close(ready)

    def on_readable(self, ready: selectors.BaseSelector) -> None:
        """Read on; an answer brings the next request."""
        try:
            data = self._socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._close(ready)
            return
        self._read += data
        if self._read.endswith(b"\r\n\r\ndirect"):
            self._answered.append(self._id)
            if self._seconds is not None:
                self._seconds.append(time.perf_counter() - self._sent)
            self._read = b""
            self.send_next(ready)

    def _close(self, ready: selectors.BaseSelector) -> None:
        if self._socket in ready.get_map():
            ready.unregister(self._socket)
        self._socket.close()


@dataclass
class Shots:
    """What the clients of ``shoot`` did: ids by how the exchange went."""

    finished: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


SIZES = (0, 1, 100, 5_000, 70_000)
HUGE = 4_000_000  # more than the kernel takes from Envoy while the client doesn't read
# Envoy and its HTTP/2 library end a connection on which too many streams were reset: after 500
# streams when half of them were, and after 1,000 resets at once.
EXCHANGES_OF_A_CONNECTION = 400


def shoot(port: int, seed: int, count: int, protocol: str, *, prefix: str) -> Shots:
    """
    Make *count* exchanges of mixed sizes; at random points half of the clients go away.

    A client goes away in the request, before the response, or in it; a finished exchange's
    connection is used again.
    """
    dice = random.Random(seed)  # noqa: S311 (the same points each time)
    shots = Shots()
    client = CLIENTS[protocol](port)
    for number in range(count):
        name = f"{prefix}-{number}"
        point = dice.choice(("request", "before", "head", "body", *["finish"] * 4))
        size, body = dice.choice(SIZES), b"x" * dice.choice(SIZES)
        if point in {"head", "body"} and dice.random() < 0.1:
            size = HUGE
        delay = [(b"x-envoy-fault-delay-request", b"20")] if dice.random() < 0.1 else []
        request = Request(
            method=b"POST" if body else b"GET",
            path=b"/bytes/%d" % size,
            headers=[(b"x-request-id", name.encode()), *delay],
            body=[body] if body else [],
        )
        if number % EXCHANGES_OF_A_CONNECTION == EXCHANGES_OF_A_CONNECTION - 1:
            client.__exit__(None, None, None)
            client = CLIENTS[protocol](port)
        if point == "finish":
            got = client.fetch(request)
            assert (200, size, True) == (got.status, len(got.body), got.whole), (name, got.status)
            shots.finished.append(name)
            continue
        leave(client, request, point, dice)
        shots.left.append(name)
        if protocol == "HTTP/1.1":
            client = CLIENTS[protocol](port)
    client.__exit__(None, None, None)
    return shots


def leave(client: Client, request: Request, point: str, dice: random.Random) -> None:
    """Begin an exchange and go away: in the request, before the answer, after its head or in it."""
    body = b"".join(request.body)
    client.open(request, ends=not body)
    if body:
        part = dice.randrange(len(body)) if point == "request" else len(body)
        client.send(body[:part], ends=part == len(body))
    if point in {"head", "body"}:
        client.read_head()
    if point == "body":
        client.read_body(dice.randrange(1, 100_000))
    if isinstance(client, Http1) and dice.random() < 0.5:
        client.reset_connection()
    else:
        client.abort()


class Steady:
    """Clients that send one request after the other, until they are told to stop."""

    def __init__(self, port: Callable[[], int], clients: int, path: bytes = b"/") -> None:
        """*port* is asked for at each connection."""
        self._port = port
        self._path = path
        self._stop = threading.Event()
        self.answered: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def wait_for_more(self) -> None:
        """Wait until another request has been answered."""
        count = len(self.answered)
        until(lambda: len(self.answered) > count, "another answer")

    def _names(self, client: int) -> Iterator[str]:
        number = 0
        while not self._stop.is_set():
            yield f"steady-{client}-{number}"
            number += 1

    def _run(self, number: int) -> None:
        names = self._names(number)
        for name in names:
            answered = self._connection(name, names)
            self.answered.extend(answered)

    def _connection(self, first: str, others: Iterator[str]) -> Iterator[str]:
        try:
            with CLIENTS["HTTP/1.1"](self._port()) as client:
                name: str | None = first
                while name is not None:
                    got = client.fetch(
                        Request(path=self._path, headers=[(b"x-request-id", name.encode())])
                    )
                    if got.status != 200 or not got.whole:
                        return
                    yield name
                    if got.get(b"connection") == b"close":
                        return
                    name = next(others, None)
        except OSError:
            return
