# SPDX-License-Identifier: Apache-2.0
"""
Envoy to Python: the other end of ``abi/crossing.h``, name by name.

One event, from Envoy and back:

1. Envoy calls a hook in ``abi/hooks.c``; ``abi/stream.c`` sees that the filter's class wants it.
2. It calls the function of the same name below; cffi takes the GIL.
3. The seat's number becomes the ``Stream``, which is made in the first hook that crosses.
4. ``Stream`` calls the user's method, settles what it raises, and turns the verdict into a status.
5. The status goes back as an int. If this file itself fails, C gets -1 and answers 500: zero would
   mean Continue.
6. When Envoy destroys the stream, its seat is empty and every use of the stream raises StreamGone.

C knows a filter and a stream by numbers. A stream takes a *seat* (``abi/seat.h``); what is kept of
it can tell by the seat that the stream has ended, so C tells Python of the end only if Python holds
a ``Stream`` there. What a hook reads lies in the seat's area (``_reads.py``).
"""

from __future__ import annotations

import io
import itertools
import logging
import sys
import threading
from sys import getrefcount
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from envoy_pyfilter import _config
from envoy_pyfilter._abi import ffi, lib
from envoy_pyfilter._callbacks import config as configs
from envoy_pyfilter._callbacks.buffers import copied
from envoy_pyfilter._callbacks.host import Area, EnvoyHost, area_of
from envoy_pyfilter._callbacks.log import install
from envoy_pyfilter._flow.state import GONE
from envoy_pyfilter._reads import ABSENT_BYTE, without_absent
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.filter import Filter
from envoy_pyfilter.stream import Stream

if TYPE_CHECKING:
    from types import TracebackType

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter._reads import Given
    from envoy_pyfilter.headers import Headers
    from envoy_pyfilter.metadata import FilterState

Kit: TypeAlias = "tuple[Stream, EnvoyHost, Headers, Headers, FilterState]"
"""A stream and its parts of which a filter can keep one."""

log = logging.getLogger("envoy_pyfilter")

_SWITCH_INTERVAL: Final = 0.0001
"""Seconds for which a Python thread that computes keeps the GIL from a worker that waits for it."""

_CPYTHONS_INTERVAL: Final = 0.005

_live: set[CData] = set()  # routes' configs, of which C keeps the addresses
_filters: dict[int, Filter] = {}
_numbers = itertools.count()
_seats: list[CData] = []
_areas: list[Area] = []
# By the number of the seat: the stream there; what was made for it, or is left from the last one.
_streams: list[Stream | None] = []
_kits: list[Kit | None] = []
_growing = threading.Lock()
_NOBODY: Final = Filter(None)  # whose stream it is between two


def _keep(thing: object) -> CData:
    handle = ffi.new_handle(thing)
    _live.add(handle)
    return handle


def _entered(hook: int, owner: int, seat: int, serial: int, given: int) -> Stream:
    """Return the stream in a seat, with what came with the crossing."""
    try:
        stream = _streams[seat]
    except IndexError:
        _grow(seat)
        stream = None
    if stream is None:  # its first hook
        kit = _kits[seat]
        if kit is None:
            kit = _new_kit(seat)
        stream = _streams[seat] = kit[0]
        stream._filter = _filters[owner]
        kit[1].serial = serial
    host = stream._host
    host.learning = learning = stream._filter._reads[hook]
    if given and learning is not None:
        run = _areas[seat][:given]
        row = run.split(b"\n")
        values: Given = row if ABSENT_BYTE not in run else without_absent(row)
        request = stream.request_headers
        response = stream.response_headers
        host.given = request._given = response._given = values
        request._places = learning.request_headers
        response._places = learning.response_headers
    elif host.given:
        host.given.clear()  # those of a hook within which this one runs
    return stream


def _new_kit(seat: int) -> Kit:
    kit = _kit(Stream(EnvoyHost(_seats[seat], _areas[seat]), _NOBODY))
    _kits[seat] = kit
    return kit


def _kit(stream: Stream) -> Kit:
    host = cast("EnvoyHost", stream._host)
    return stream, host, stream.request_headers, stream.response_headers, stream.filter_state


def _leave_seat(seat: int) -> None:
    """
    Let go of a stream that has ended.

    What was made for it serves the next stream of the seat, unless somebody still has a part of it:
    that stays what it is, and C says that its stream is gone.
    """
    kit = _kits[seat]
    _streams[seat] = _kits[seat] = None  # should this fail from here on, nobody uses it again
    if kit is None:
        return
    stream, host, request, response, state = kit
    count = getrefcount
    if (
        count(stream) + count(host) + count(request) + count(response) + count(state) == _ALONE
        and stream.request_headers is request  # else a filter gave the stream another part
        and stream.response_headers is response
        and stream.filter_state is state
    ):
        stream._begin(_NOBODY)
        _kits[seat] = kit
    else:
        stream._came |= GONE


def _grow(seat: int) -> None:
    """Learn of the seats up to this one, which C has made."""
    with _growing:
        while len(_streams) <= seat:
            at = lib.pyfilter_seat_at(len(_seats))
            _areas.append(area_of(at))
            _seats.append(at)
            _kits.append(None)
            _streams.append(None)


def _seam_failed(kind: type[BaseException], error: BaseException, traceback: TracebackType) -> None:
    """Log what a crossing itself raised; C gets the ``error=`` value."""
    log.critical("a crossing failed", exc_info=(kind, error, traceback))


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_config_new(
    out: CData, name: CData, name_length: int, config: CData, config_length: int
) -> bool:
    """Load a filter config into *out*; a bad one is refused with its reason in Envoy's log."""
    filter_name = copied(name, name_length).decode("utf-8", "replace")
    number = next(_numbers)
    out.number = number
    try:
        _filters[number] = configs.load(out, filter_name, copied(config, config_length))
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the message is complete; a traceback is noise)
        return False
    return True


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_config_destroy(number: int) -> None:
    """Tell the filter that its config ended."""
    _filters.pop(number)._config_destroyed()


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_logger_config_new(
    out: CData, name: CData, name_length: int, config: CData, config_length: int
) -> bool:
    """Load an access logger's config into *out*."""
    logger_name = copied(name, name_length).decode("utf-8", "replace")
    try:
        configs.load_logger(out, logger_name, copied(config, config_length))
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the message is complete; a traceback is noise)
        return False
    return True


@ffi.def_extern(error=ffi.NULL, onerror=_seam_failed)
def pyfilter_route_config_new(
    name: CData, name_length: int, config: CData, config_length: int
) -> CData:
    """Decode a per-route config; what is kept is the decoded value."""
    filter_name = copied(name, name_length).decode("utf-8", "replace")
    try:
        return _keep(_config.load_route(filter_name, copied(config, config_length)))
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the message is complete; a traceback is noise)
        return ffi.NULL


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_route_config_destroy(route_config: CData) -> None:
    """Let go of a route's config."""
    _live.discard(route_config)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_headers(
    owner: int, seat: int, serial: int, given: int, end_of_stream: bool
) -> int:
    """``on_http_filter_request_headers``."""
    stream = _entered(0, owner, seat, serial, given)
    return stream._request_headers(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_body(
    owner: int, seat: int, serial: int, given: int, end_of_stream: bool
) -> int:
    """``on_http_filter_request_body``."""
    stream = _entered(1, owner, seat, serial, given)
    return stream._request_body(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_trailers(owner: int, seat: int, serial: int, given: int) -> int:
    """``on_http_filter_request_trailers``."""
    stream = _entered(2, owner, seat, serial, given)
    return stream._request_trailers()


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_headers(
    owner: int, seat: int, serial: int, given: int, end_of_stream: bool
) -> int:
    """``on_http_filter_response_headers``."""
    stream = _entered(3, owner, seat, serial, given)
    return stream._response_headers(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_body(
    owner: int, seat: int, serial: int, given: int, end_of_stream: bool
) -> int:
    """``on_http_filter_response_body``."""
    stream = _entered(4, owner, seat, serial, given)
    return stream._response_body(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_trailers(owner: int, seat: int, serial: int, given: int) -> int:
    """``on_http_filter_response_trailers``."""
    stream = _entered(5, owner, seat, serial, given)
    return stream._response_trailers()


@ffi.def_extern(error=0, onerror=_seam_failed)
def pyfilter_local_reply(  # noqa: PLR0913, PLR0917 (the ABI's, after those of each hook)
    owner: int,
    seat: int,
    serial: int,
    given: int,
    status: int,
    details: CData,
    details_length: int,
    reset_imminent: bool,
) -> int:
    """``on_http_filter_local_reply``: somebody answers; it cannot be stopped here."""
    stream = _entered(6, owner, seat, serial, given)
    return stream._local_reply(status, copied(details, details_length), reset_imminent)


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_stream_complete(owner: int, seat: int, serial: int, given: int) -> bool:
    """``on_http_filter_stream_complete``: no hook comes after it."""
    over = _entered(7, owner, seat, serial, given)._stream_complete()
    if over:
        _leave_seat(seat)
    return over


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_above_watermark(owner: int, seat: int, serial: int, given: int) -> None:
    """``on_http_filter_downstream_above_write_buffer_high_watermark``."""
    _entered(8, owner, seat, serial, given)._above_high_watermark()


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_below_watermark(owner: int, seat: int, serial: int, given: int) -> None:
    """``on_http_filter_downstream_below_write_buffer_low_watermark``."""
    _entered(9, owner, seat, serial, given)._below_low_watermark()


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_scheduled(seat: int, event_id: int) -> None:
    """``on_http_filter_scheduled``: another thread woke the stream."""
    stream = _streams[seat]
    if stream is not None:
        stream._scheduled(event_id)


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_stream_destroy(seat: int) -> bool:
    """``on_http_filter_destroy``; it can come inside a callback that the stream made."""
    stream = _streams[seat]
    if stream is not None:
        stream._destroyed()
        del stream
        _leave_seat(seat)
    return True


def _references_alone() -> int:
    """Count the references within a kit of which nobody else has a part, as in ``_leave_seat``."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return -1  # without the GIL they cannot be counted: nothing is used again
    kit = _kit(Stream(EnvoyHost(ffi.NULL, b""), _NOBODY))
    stream, host, request, response, state = kit
    count = getrefcount
    return count(stream) + count(host) + count(request) + count(response) + count(state)


_ALONE: Final = _references_alone()
install()
if sys.getswitchinterval() == _CPYTHONS_INTERVAL:  # else somebody has chosen
    sys.setswitchinterval(_SWITCH_INTERVAL)
if isinstance(sys.stdout, io.TextIOWrapper):  # None where Envoy was started without one
    sys.stdout.reconfigure(line_buffering=True)
