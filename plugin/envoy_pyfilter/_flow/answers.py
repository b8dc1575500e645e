# SPDX-License-Identifier: Apache-2.0
"""Answers that the filter gives in the upstream's place, and the reset in place of any."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from envoy_pyfilter._host import BodyKind, HeaderMap
from envoy_pyfilter._text import HeaderPairs, checked_text, header_pairs, octets, utf8, whole_number
from envoy_pyfilter.verdict import (
    BODILESS,
    Reply,
    ResetReason,
    check_body,
    check_status,
    grpc_headers,
)

from .state import ANSWERED, ANSWERING, ROUTABLE, STREAMING, State

if TYPE_CHECKING:
    from collections.abc import Callable


class Answers(State):
    """Tells the proxy to answer, once for each stream."""

    __slots__ = ()

    def _answer(self, reply: Reply) -> None:
        self._check_unanswered()
        headers, body = header_pairs(reply.headers), utf8(reply.body)
        if self._is_grpc():
            headers, body = [*headers, *grpc_headers(reply)], b""
        details = _details(reply.details)
        self._tell(ANSWERED, partial(self._host.reply, reply.status, headers, body, details))

    def _start_answer(self, status: int, headers: HeaderPairs, *, end_of_stream: bool) -> None:
        self._check_unanswered()
        if self._came & ANSWERING or self._host.response_begun():
            raise RuntimeError("a response is here already: only reply() or reset() can end it")
        check_status(status)
        pairs = [(b":status", b"%d" % status), *header_pairs(headers)]
        whole = end_of_stream or status in BODILESS or self._is_head()
        self._tell(
            ANSWERED if whole else STREAMING,
            partial(self._host.reply_headers, pairs, end_of_stream=whole),
        )
        if whole and not end_of_stream:
            self._own().bodiless = status

    def _send_data(self, data: bytes, *, end_of_stream: bool) -> None:
        self._check_streaming()
        data = octets(data, "data of a response")
        if self._course.bodiless:
            check_body(self._course.bodiless, data)
            self._own().bodiless = 0 if end_of_stream else self._course.bodiless
            return
        self._tell(
            ANSWERED if end_of_stream else STREAMING,
            partial(self._host.reply_data, data, end_of_stream=end_of_stream),
        )

    def _send_trailers(self, trailers: HeaderPairs) -> None:
        self._check_streaming()
        pairs = header_pairs(trailers)
        if self._course.bodiless:
            self._own().bodiless = 0
            return
        self._tell(ANSWERED, partial(self._host.reply_trailers, pairs))

    def _reset(self, reason: ResetReason, details: str) -> None:
        self._check_here()
        if self._course.answered != STREAMING:
            self._check_unanswered()
        self._check_not_noticing()
        if not isinstance(reason, ResetReason):
            raise TypeError(f"reason of a reset must be a ResetReason, got {reason!r}")
        text = _details(checked_text(details, "details of a reset"))
        self._tell(ANSWERED, partial(self._host.reset, reason, text))

    def _tell(self, answered: int, call: Callable[[], None]) -> None:
        """
        Make the call that answers the stream, which is *answered* from then on.

        Hooks may run within the call. If it raises, the proxy was told nothing: the stream is as it
        was before, so that ``on_error`` can still be done.
        """
        course = self._own()
        before = course.answered, course.paused, course.buffering, course.waiting
        routable = self._came & ROUTABLE
        course.answered = answered
        self._hold_nothing()
        try:
            call()
        except BaseException:
            course.answered, course.paused, course.buffering, course.waiting = before
            self._came |= routable
            raise
        self._forget()

    def _set_buffer_limit(self, limit: int) -> None:
        whole_number(limit, "buffer_limit")
        self._check_going()
        kinds = (BodyKind.BUFFERED_REQUEST, BodyKind.BUFFERED_RESPONSE)
        buffered = max(map(self._host.body_size, kinds))
        if 0 < limit < buffered:
            raise ValueError(f"{buffered} bytes are buffered already: the limit cannot be {limit}")
        self._host.set_buffer_limit(limit)

    def _is_head(self) -> bool:
        methods = self._host.header_values(HeaderMap.REQUEST_HEADERS, b":method")
        return methods == [b"HEAD"]

    def _is_grpc(self) -> bool:
        types = self._host.header_values(HeaderMap.REQUEST_HEADERS, b"content-type")
        return bool(types) and types[0].startswith(b"application/grpc")


def _details(text: str) -> bytes:
    """Response code details: Envoy wants them without blanks."""
    return "_".join(text.split()).encode("utf-8", "replace")
