# SPDX-License-Identifier: Apache-2.0
"""What the clients of all protocols share: one exchange at a time, and what has come of it."""

from __future__ import annotations

import abc
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING

from .messages import Pairs, Request, Response

if TYPE_CHECKING:
    from typing_extensions import Self

TIMEOUT = 15.0
INTERIM = {*range(100, 200)} - {101}  # which is the last of its exchange


class Client(abc.ABC):
    """A connection; ``fetch`` makes a whole exchange, the other methods go step by step."""

    address: str  # ours, as Envoy writes it

    def __init__(self) -> None:
        self.told_to_leave = False  # by ``connection: close`` or GOAWAY
        self._clear()

    def _clear(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._interim: list[int] = []
        self._body: list[bytes] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._over = False
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def stay(self) -> None:
        """Do what the connection needs while nobody reads from it."""
        return

    # --- what each protocol does its own way ---

    @abc.abstractmethod
    def open(self, request: Request, *, ends: bool) -> None:
        """Send a request's headers; with *ends* nothing else follows."""

    @abc.abstractmethod
    def open_half(self, request: Request) -> None:
        """Send a part of a request's headers, and never the rest."""

    @abc.abstractmethod
    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Send a piece of the body."""

    @abc.abstractmethod
    def send_trailers(self, trailers: Pairs) -> None:
        """Send trailers, which end the request."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Give the exchange up: reset the stream, or close the connection if it has none."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""

    @abc.abstractmethod
    def _read_more(self) -> None:
        """Wait for what comes next; at the end of the exchange set ``_over``."""

    # --- what is alike ---

    def fetch(self, request: Request) -> Response:
        """Send a whole request and wait for the whole response."""
        has_more = bool(request.body or request.trailers)
        self.open(request, ends=not has_more)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an early answer
            for number, chunk in enumerate(request.body, 1):
                self.send(chunk, ends=not request.trailers and number == len(request.body))
            if request.trailers:
                self.send_trailers(request.trailers)
        return self.finish()

    def _on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take a response's headers, or an interim one's."""
        if status in INTERIM:
            self._interim.append(status)
        else:
            self._status, self._headers = status, headers

    def _response(self) -> Response:
        return Response(
            status=self._status,
            headers=list(self._headers),
            interim=tuple(self._interim),
            body=b"".join(self._body),
            trailers=list(self._trailers),
            whole=self._whole,
        )

    def read_interim(self) -> Response:
        """Wait for an interim response, or for the response if there is none."""
        while not self._interim and not self._status and not self._over:
            self._read_more()
        return self._response()

    def read_head(self) -> Response:
        """Wait for the response's headers."""
        while not self._status and not self._over:
            self._read_more()
        return self._response()

    def read_body(self, size: int) -> bytes:
        """Wait until at least *size* bytes of the body are there."""
        while sum(map(len, self._body)) < size and not self._over:
            self._read_more()
        return b"".join(self._body)

    def so_far(self) -> Response:
        """Give what has come already."""
        return self._response()

    def finish(self) -> Response:
        """Wait for the response's end, or for what ended it too early."""
        while not self._over:
            self._read_more()
        return self._response()


def head_of(request: Request, scheme: bytes) -> list[tuple[bytes, bytes]]:
    """Give the header list of HTTP/2 and HTTP/3; CONNECT has fewer pseudo headers."""
    plain_connect = request.method == b"CONNECT" and not request.protocol
    found = [(b":method", request.method)]
    if request.protocol:
        found.append((b":protocol", request.protocol))
    if not plain_connect:
        found += [(b":scheme", scheme), (b":path", request.path)]
    if request.authority:
        found.append((b":authority", request.authority))
    return [*found, *request.headers]
