# SPDX-License-Identifier: Apache-2.0
"""
What a hook decides, and the numbers by which Envoy knows it.

A verdict is a value: ``PASS`` (or ``None``), ``PAUSE``, ``BUFFER`` or a ``Reply``.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from enum import Enum, IntEnum
from typing import Final, TypeAlias

from ._text import HeaderPairs, Text, checked_text, header_pairs, utf8


class HeadersStatus(IntEnum):
    """``on_http_filter_request_headers_status`` of the ABI, and the response's twin."""

    CONTINUE = 0
    STOP_ITERATION = 1
    CONTINUE_AND_DONT_END_STREAM = 2
    STOP_ALL_ITERATION_AND_BUFFER = 3
    STOP_ALL_ITERATION_AND_WATERMARK = 4


class BodyStatus(IntEnum):
    """``on_http_filter_request_body_status`` of the ABI, and the response's twin."""

    CONTINUE = 0
    STOP_ITERATION_AND_BUFFER = 1
    STOP_ITERATION_AND_WATERMARK = 2
    STOP_ITERATION_NO_BUFFER = 3


class TrailersStatus(IntEnum):
    """``on_http_filter_request_trailers_status`` of the ABI, and the response's twin."""

    CONTINUE = 0
    STOP_ITERATION = 1


class LocalReplyStatus(IntEnum):
    """``on_http_filter_local_reply_status`` of the ABI."""

    CONTINUE = 0
    CONTINUE_AND_RESET_STREAM = 1


class ResetReason(IntEnum):
    """Why a filter resets a stream (``http_filter_stream_reset_reason`` of the ABI)."""

    LOCAL_RESET = 0
    LOCAL_REFUSED_STREAM = 1


class Decision(Enum):
    """The verdicts without content; use the names below."""

    PASS = "pass"  # noqa: S105 (no password)
    PAUSE = "pause"
    BUFFER = "buffer"


PASS: Final = Decision.PASS
"""Go on to the next filter; the same as returning ``None``."""

PAUSE: Final = Decision.PAUSE
"""Hold the request (or response) here until ``Stream.resume_request`` (``resume_response``)."""

BUFFER: Final = Decision.BUFFER
"""Hold the headers and collect the body, up to the stream's buffer limit."""

_NOT_IN_MESSAGE: Final = re.compile(rb"[^ -$&-~]")  # all but printable ASCII without %
_REPLY_STATUS: Final = range(200, 600)
BODILESS: Final = (204, 304)
_GRPC_STATUS: Final = range(17)
_GRPC_INTERNAL: Final = 13
_GRPC_UNKNOWN: Final = 2
_GRPC_OF_HTTP: Final = {
    400: _GRPC_INTERNAL,
    401: 16,
    403: 7,
    404: 12,
    429: 14,
    502: 14,
    503: 14,
    504: 14,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """
    Answer the client here; the request goes no further (ABI: ``http_send_response``).

    *status* is the HTTP status, 200 to 599; *body* is sent as it is (``str`` as UTF-8), but not to
    HEAD, and must be empty for 204 and 304; *headers* are added to the reply. *details* ends up in
    ``%RESPONSE_CODE_DETAILS%``.

    A gRPC client gets no body but ``grpc-status`` and ``grpc-message``: *grpc_status*, or what
    *status* maps to; *grpc_message*, or the body's text.

    Raises ``ValueError`` or ``TypeError`` where it is made, not where it is sent.
    """

    status: int
    body: Text = b""
    headers: HeaderPairs = ()
    _: KW_ONLY
    grpc_status: int | None = None
    grpc_message: str | None = None
    details: str = ""

    def __post_init__(self) -> None:
        """Refuse what Envoy or a client could not take."""
        check_status(self.status)
        grpc = self.grpc_status
        if grpc is not None and not (isinstance(grpc, int) and grpc in _GRPC_STATUS):
            raise ValueError(f"gRPC status must be 0 to 16, got {grpc!r}")
        if not isinstance(self.body, (str, bytes)):
            raise TypeError(f"body of a reply must be bytes or str, got {type(self.body).__name__}")
        check_body(self.status, self.body)
        if self.grpc_message is not None:
            checked_text(self.grpc_message, "grpc_message of a reply")
        checked_text(self.details, "details of a reply")
        # A copy: nobody can change what was checked, and an iterator gives its pairs but once.
        object.__setattr__(self, "headers", tuple(header_pairs(self.headers)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReply:
    """
    A reply made in the upstream's place (ABI: ``on_http_filter_local_reply``).

    *reset_imminent*: the stream is going to be reset, so the client will not get it.
    """

    status: int
    details: str
    reset_imminent: bool


Verdict: TypeAlias = Decision | Reply
"""What a hook returns; ``None`` counts as ``PASS``."""


def check_status(status: int) -> None:
    """Raise ``ValueError`` unless *status* can be that of a reply."""
    if not (isinstance(status, int) and status in _REPLY_STATUS):
        raise ValueError(f"status of a reply must be 200 to 599, got {status!r}")


def check_body(status: int, body: Text) -> None:
    """Raise ``ValueError`` for a body that the client would take for the next response."""
    if body and status in BODILESS:
        raise ValueError(f"a reply with status {status} has no body")


def grpc_headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    """
    Make the ``grpc-status`` and ``grpc-message`` by which a gRPC client understands *reply*.

    Without them Envoy would send ``grpc-status: 0``, success, whatever the HTTP status says.
    """
    status = reply.grpc_status
    if status is None:
        status = _GRPC_OF_HTTP.get(reply.status, _GRPC_UNKNOWN)
    message = utf8(reply.body if reply.grpc_message is None else reply.grpc_message)
    headers = [(b"grpc-status", b"%d" % status)]
    if message:
        headers.append((b"grpc-message", percent_encoded(message)))
    return headers


def percent_encoded(message: bytes) -> bytes:
    """*message* as the gRPC specification encodes ``grpc-message``."""
    return _NOT_IN_MESSAGE.sub(lambda found: b"%%%02X" % found[0][0], message)
