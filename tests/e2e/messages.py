# SPDX-License-Identifier: Apache-2.0
"""What clients send and get, and what upstreams answer, whatever the protocol."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Pairs = Sequence[tuple[bytes, bytes]]


class Gate:
    """Closed until somebody opens it, from whichever thread."""

    def __init__(self) -> None:
        """Start closed."""
        self.future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def open(self) -> None:
        """Let pass what waits, now and later."""
        if not self.future.done():
            self.future.set_result(None)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request; ``:authority`` and the like come from its fields."""

    method: bytes = b"GET"
    path: bytes = b"/"
    authority: bytes = b"e2e.test"  # empty: none is sent (not on HTTP/1.1)
    protocol: bytes = b""  # of an extended CONNECT
    headers: Pairs = ()
    body: Sequence[bytes] = ()
    trailers: Pairs = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the upstream does with a request, in this order."""

    interim: Sequence[int] = ()  # statuses sent when the request's headers are there
    early: bool = False  # answer without waiting for the request's end
    wait: Gate | None = None
    reset: Literal["never", "before_headers", "after_headers", "in_body"] = "never"
    echo: int = 0  # HTTP/1.1: switch to the protocol asked for, and send so many pieces back
    status: int = 200
    headers: Pairs = ()
    body: Sequence[bytes] = (b"hello",)
    wait_in_body: Gate | None = None  # after the first chunk
    gates: Sequence[Gate] = ()  # one before each chunk, one more before the end, or the reset
    trailers: Pairs = ()


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a client got."""

    status: int  # 0: no response came
    headers: Pairs = ()
    interim: Sequence[int] = ()  # statuses of what came before it
    body: bytes = b""
    trailers: Pairs = ()
    whole: bool = True  # it ended as the protocol says, not by a reset or a closed connection

    def get(self, name: bytes) -> bytes | None:
        """First value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def get_all(self, name: bytes) -> list[bytes]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key == name]


def pairs(found: Sequence[tuple[bytes, ...]]) -> list[tuple[bytes, bytes]]:
    """Lower-case names and plain tuples, as both protocols' libraries have their own kinds."""
    return [(bytes(pair[0]).lower(), bytes(pair[1])) for pair in found]
