# SPDX-License-Identifier: Apache-2.0
"""
One HTTP stream, as a filter's hooks see it.

Rule 1: every way in which a stream can go wrong is settled in ``_flow/``; here is what filters
ask and change.
Rule 2: what nobody asks for costs nothing: maps, bodies and the rest are made when first used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from . import attributes
from ._flow.mailbox import Task
from ._flow.resume import Flow
from ._flow.state import GONE
from ._flow.steps import REQUEST, RESPONSE
from ._host import HeaderMap, MetadataSource
from ._text import HeaderPairs, Text, utf8
from .body import Body
from .headers import Headers
from .metadata import DynamicMetadata, Metadata
from .notes import Notes
from .verdict import Reply, ResetReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from .filter import Filter


# An enumeration's members cost a look-up by name each time.
_REQUEST_TRAILERS: Final = HeaderMap.REQUEST_TRAILERS
_RESPONSE_TRAILERS: Final = HeaderMap.RESPONSE_TRAILERS
_FLAG: Final = re.compile(rb"[A-Za-z0-9_.-]+")


class Stream(Flow):
    """
    One HTTP request and its response.

    Each hook gets it. It belongs to one worker: everything here raises ``WrongThread`` on other
    threads, but for ``resume_request``, ``resume_response``, ``reply`` and ``run_on_worker``. After
    the stream's end everything raises ``StreamGone``.
    """

    __slots__ = ()

    # --- headers and bodies ---

    @property
    def request_trailers(self) -> Headers:
        """The request's trailers; empty until they have come."""
        return self._map(_REQUEST_TRAILERS)

    @property
    def response_trailers(self) -> Headers:
        """The response's trailers; empty until they have come."""
        return self._map(_RESPONSE_TRAILERS)

    @property
    def request_body(self) -> Body:
        """The request's body, as far as it is here."""
        return self._body_on(REQUEST)

    @property
    def response_body(self) -> Body:
        """The response's body, as far as it is here."""
        return self._body_on(RESPONSE)

    @property
    def buffer_limit(self) -> int:
        """
        Bytes that Envoy buffers of a body at most (ABI: ``http_get_buffer_limit``).

        A request that outgrows it is answered with 413, a response with 500.
        """
        return self._host.buffer_limit()

    @buffer_limit.setter
    def buffer_limit(self, limit: int) -> None:
        """
        Change it (ABI: ``http_set_buffer_limit``).

        Raises ``ValueError`` when more is buffered: Envoy would answer at once, which it does not
        survive in every hook.
        """
        self._set_buffer_limit(limit)

    # --- what Envoy knows ---

    def attribute(self, name: str) -> str | int | bool | None:
        """
        One of Envoy's attributes, by its dotted name: ``stream.attribute("source.address")``.

        ``None`` when Envoy has no value (yet), ``KeyError`` naming the nearest for an unknown name.
        ABI: ``http_filter_get_attribute_string``, ``_int``, ``_bool``.
        """
        return attributes.read(self._host, name)

    @property
    def metadata(self) -> DynamicMetadata:
        """The stream's dynamic metadata."""
        return DynamicMetadata(self._host, MetadataSource.DYNAMIC)

    @property
    def route_metadata(self) -> Metadata:
        """The route's metadata."""
        return Metadata(self._host, MetadataSource.ROUTE)

    @property
    def cluster_metadata(self) -> Metadata:
        """The upstream cluster's metadata."""
        return Metadata(self._host, MetadataSource.CLUSTER)

    @property
    def host_metadata(self) -> Metadata:
        """The upstream host's metadata; empty until Envoy has chosen one."""
        return Metadata(self._host, MetadataSource.HOST)

    @property
    def route_config(self) -> Any:
        """
        The route's config for this filter, a ``RouteConfig``; ``None`` when the route has none.

        The most specific level counts: route, then virtual host, then route configuration.
        ABI: ``get_most_specific_route_config``.
        """
        return self._host.route_config()

    @property
    def worker_index(self) -> int:
        """Which worker runs the stream, from 0 (ABI: ``http_filter_get_worker_index``)."""
        return self._host.worker_index()

    # --- answers ---

    def reply(self, reply: Reply) -> None:
        """
        Answer the client now, as a hook does that returns the reply (ABI: ``http_send_response``).

        From another thread, and in a watermark or local-reply hook, it does so as soon as the
        worker gets to it; a stream that has been answered by then is left alone. Otherwise a second
        answer raises ``RuntimeError``.
        Up to Envoy 1.39 the stream may be gone when this returns.
        """
        self._answer_or_post(reply)

    def start_response(
        self, status: int, headers: HeaderPairs = (), *, end_of_stream: bool = False
    ) -> None:
        """
        Start an answer in pieces (ABI: ``http_send_response_headers``).

        The request goes no further; its body hooks go on. ``RuntimeError`` when the stream has been
        answered, or a response has gone past this filter; ``ValueError`` unless *status* is 200 to
        599. To HEAD, and with 204 and 304, the headers are the whole answer: nothing that comes
        after them is sent.
        """
        self._start_answer(status, headers, end_of_stream=end_of_stream)

    def send_response_data(self, data: bytes, *, end_of_stream: bool = False) -> None:
        """
        Send a piece of the body (ABI: ``http_send_response_data``).

        ``RuntimeError`` unless an answer in pieces is under way, ``ValueError`` for data after a
        status that has no body (204, 304).
        """
        self._send_data(data, end_of_stream=end_of_stream)

    def send_response_trailers(self, trailers: HeaderPairs) -> None:
        """End an answer in pieces with trailers (ABI: ``http_send_response_trailers``)."""
        self._send_trailers(trailers)

    def reset(self, reason: ResetReason = ResetReason.LOCAL_RESET, details: str = "") -> None:
        """
        End the stream without an answer (ABI: ``http_filter_reset_stream``).

        ``TypeError`` for a *reason* that is no ``ResetReason`` and *details* that are no ``str``.
        Up to Envoy 1.39 the stream is gone when this returns.
        """
        self._reset(reason, details)

    # --- going on ---

    def resume_request(self) -> None:
        """
        Let a request go on that ``PAUSE`` or ``BUFFER`` holds; any thread.

        Called before the hook has returned its ``PAUSE``, the hook does not pause. Nothing happens
        when nothing is held. ABI: ``http_filter_continue_decoding``.
        """
        self._resume(REQUEST)

    def resume_response(self) -> None:
        """As ``resume_request``, for the response (ABI: ``http_filter_continue_encoding``)."""
        self._resume(RESPONSE)

    def run_on_worker(self, function: Callable[[Stream], object]) -> None:
        """
        Call *function* with the stream on its worker, soon; any thread.

        It works while a hook runs, once a hook has returned ``PAUSE`` or ``BUFFER``, and after
        ``keep_reachable``; else ``RuntimeError``. A stream that ends or fails first drops it.
        What it raises counts as a failed hook. ABI: ``http_filter_scheduler_commit``.
        """
        if self._came & GONE or self._host.on_worker():
            self._host.worker_index()  # raises StreamGone
        self._post(Task(function, of_user=True))

    def keep_reachable(self) -> None:
        """
        Let other threads reach this stream from now until its end, though nothing is held.

        Call it in a hook. ABI: ``http_filter_scheduler_new``.
        """
        self._open_mailbox()

    # --- the rest ---

    def clear_route_cache(self) -> None:
        """
        Make Envoy choose the route again (ABI: ``http_clear_route_cache``).

        ``RuntimeError`` once the request's headers have gone on.
        """
        self._check_routable()
        self._host.clear_route_cache()

    def clear_route_cluster_cache(self) -> None:
        """
        Make Envoy choose the route's cluster again (ABI: ``http_clear_route_cluster_cache``).

        ``RuntimeError`` once the request's headers have gone on.
        """
        self._check_routable()
        self._host.clear_route_cluster_cache()

    def add_custom_flag(self, flag: Text) -> None:
        """
        Add to ``%CUSTOM_FLAGS%`` of access logs (ABI: ``http_add_custom_flag``).

        Raises ``ValueError`` unless *flag* is made of letters, digits, ``_``, ``-`` and ``.``: what
        a log prints as it is must not be able to end its line.
        """
        text = utf8(flag, "response flag")
        if _FLAG.fullmatch(text) is None:
            raise ValueError(f"not a response flag: {flag!r}")
        self._host.add_custom_flag(text)

    @property
    def record(self) -> Notes:
        """Adds to the stream's record."""
        return Notes(self._host)

    @property
    def data(self) -> dict[str, Any]:
        """Whatever the filter wants to keep for this stream. No call; empty at first."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def failed(self) -> bool:
        """Whether a hook has raised; the filter is not entered again."""
        return self._course.failed

    @property
    def filter(self) -> Filter:
        """The filter whose stream this is."""
        return self._filter

    def _map(self, header_map: HeaderMap) -> Headers:
        views = self._views
        if views is None:
            views = self._views = [None] * 6
        headers = views[header_map]
        if headers is None:
            headers = views[header_map] = Headers(self._host, header_map)
        return cast("Headers", headers)

    def _body_on(self, side: int) -> Body:
        views = self._views
        if views is None:
            views = self._views = [None] * 6
        place = 4 if side == REQUEST else 5
        if views[place] is None:
            views[place] = Body(self._host, self, request=side == REQUEST)
        return cast("Body", views[place])
