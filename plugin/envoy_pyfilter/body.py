# SPDX-License-Identifier: Apache-2.0
"""The body of a request or of a response, as far as it is here."""

from __future__ import annotations

from typing import Protocol

from ._flow.codes import refused
from ._host import REQUEST_BODY, RESPONSE_BODY, BodyKind, Host
from ._text import octets


class Holder(Protocol):
    """Whoever knows whether the filter itself holds a body back, and may change it: the stream."""

    def _holds(self, *, request: bool) -> bool: ...

    def _replays(self, *, request: bool) -> bool: ...

    def _check_changeable(self, *, request: bool) -> None: ...


class Body:
    """
    What of a body can be read and changed now.

    In a body hook there is the chunk that was just received (``read``). What a filter holds back
    with ``BUFFER`` or ``PAUSE`` is buffered by Envoy (``read_buffered``). ``complete`` is both:
    all that this filter holds. ``drain``, ``append`` and ``replace`` work on that, too: on the
    received chunk while the body streams by, on everything while the filter holds it.

    ``RuntimeError`` for changes in a hook of the other side (the request's body in a response
    hook), in a local-reply, stream-complete or watermark hook, and after an answer of one's own.

    Bytes that a filter behind this one buffers have passed already; they show in
    ``read_buffered`` but are never part of ``complete``, nor changed.
    """

    __slots__ = ("_buffered", "_holder", "_host", "_received", "_request")

    def __init__(self, host: Host, holder: Holder, *, request: bool) -> None:
        """Made by ``Stream``."""
        self._host = host
        self._holder = holder
        self._request = request
        self._received = BodyKind.RECEIVED_REQUEST if request else BodyKind.RECEIVED_RESPONSE
        self._buffered = BodyKind.BUFFERED_REQUEST if request else BodyKind.BUFFERED_RESPONSE

    def read(self) -> bytes:
        """Return the chunk just received; empty elsewhere (ABI: ``http_get_body_chunks``)."""
        return self._host.read_body(self._chunk())

    def read_buffered(self) -> bytes:
        """Return what Envoy has buffered of this body (ABI: ``http_get_body_chunks``)."""
        return self._host.read_body(self._buffered)

    @property
    def size(self) -> int:
        """Bytes of the chunk just received (ABI: ``http_get_body_size``)."""
        return self._host.body_size(self._chunk())

    @property
    def buffered_size(self) -> int:
        """Bytes that Envoy has buffered of this body (ABI: ``http_get_body_size``)."""
        return self._host.body_size(self._buffered)

    @property
    def complete(self) -> bytes:
        """
        All bytes that this filter holds: those held back, then the chunk just received.

        In the body hook with ``end_of_stream``, after ``BUFFER`` on all hooks before, it is the
        whole body.
        """
        return b"".join(self._host.read_body(part) for part in self._parts())

    def drain(self, size: int) -> None:
        """
        Remove *size* bytes from the front of ``complete`` (ABI: ``http_drain_body``).

        Raises ``ValueError`` when there are fewer.
        """
        try:
            parts = self._drainable(size)
        except (RuntimeError, TypeError, ValueError) as error:
            self._refused(error)
            raise
        for part, length in parts:
            taken = min(size, length)
            if taken:
                self._host.drain_body(part, taken)
            size -= taken

    def append(self, data: bytes) -> None:
        """
        Add *data* at the end of ``complete`` (ABI: ``http_append_body``).

        Raises ``LookupError`` where there is no body to change.
        """
        data = self._checked(data)
        if data and not any(self._host.append_body(part, data) for part in reversed(self._parts())):
            error = LookupError("there is no body to change here")
            self._refused(error)
            raise error

    def replace(self, data: bytes) -> None:
        """Put *data* in the place of ``complete``. A ``content-length`` header is the caller's."""
        data = self._checked(data)  # before anything is drained
        for part in self._parts():
            size = self._host.body_size(part)
            if size:
                self._host.drain_body(part, size)
        self.append(data)

    def __repr__(self) -> str:
        """Say which body, not what is in it."""
        return f"<Body: {'request' if self._request else 'response'}>"

    def _drainable(self, size: int) -> list[tuple[BodyKind, int]]:
        """Return the parts of ``complete`` with their lengths, of which *size* can be removed."""
        self._holder._check_changeable(request=self._request)  # noqa: SLF001 (the stream)
        if not isinstance(size, int):
            raise TypeError(f"size to drain must be int, got {type(size).__name__}")
        parts = [(part, self._host.body_size(part)) for part in self._parts()]
        whole = sum(length for _, length in parts)
        if not 0 <= size <= whole:
            raise ValueError(f"cannot drain {size} of {whole} bytes")
        return parts

    def _checked(self, data: bytes) -> bytes:
        """Return *data* for a body that can be changed."""
        try:
            self._holder._check_changeable(request=self._request)  # noqa: SLF001 (the stream)
            return octets(data, "data of a body")
        except (RuntimeError, TypeError, ValueError) as error:
            self._refused(error)
            raise

    def _refused(self, error: Exception) -> None:
        self._host.change_refused(REQUEST_BODY if self._request else RESPONSE_BODY)
        refused(error)

    def _chunk(self) -> BodyKind:
        """Where the chunk lies that the hook is about."""
        replays = self._holder._replays(request=self._request)  # noqa: SLF001 (the stream)
        return self._buffered if replays else self._received

    def _parts(self) -> list[BodyKind]:
        """
        Where the bytes of ``complete`` lie, in order.

        When the received bytes are the buffered ones they count once.
        """
        if self._holder._replays(request=self._request):  # noqa: SLF001 (the stream)
            return [self._buffered]
        if not self._holder._holds(request=self._request):  # noqa: SLF001 (the stream)
            return [self._received]
        if self._host.received_is_buffered(request=self._request):
            return [self._received]
        return [self._buffered, self._received]
