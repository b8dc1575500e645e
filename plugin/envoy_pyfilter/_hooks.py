# SPDX-License-Identifier: Apache-2.0
"""
Envoy to Python: the other end of ``abi/crossing.h``, name by name.

One event, from Envoy and back:

1. Envoy calls a hook in ``abi/hooks.c``; ``abi/stream.c`` sees that the filter's class wants it.
2. It calls the function of the same name below; cffi takes the GIL.
3. The handle becomes the ``Stream`` that ``pyfilter_stream_new`` made.
4. ``Stream`` calls the user's method, settles what it raises, and turns the verdict into a status.
5. The status goes back as an int. If this file itself fails, C gets -1 and answers 500: zero would
   mean Continue.
6. When Envoy destroys the stream, its handle dies and every use of the stream raises StreamGone.

C keeps only addresses; ``_live`` keeps the objects behind them.
"""

from __future__ import annotations

import io
import logging
import sys
from typing import TYPE_CHECKING, cast

from envoy_pyfilter import _config
from envoy_pyfilter._abi import ffi
from envoy_pyfilter._callbacks import config as configs
from envoy_pyfilter._callbacks.buffers import copied
from envoy_pyfilter._callbacks.host import EnvoyHost
from envoy_pyfilter._callbacks.log import install
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.stream import Stream

if TYPE_CHECKING:
    from types import TracebackType

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter.filter import Filter

log = logging.getLogger("envoy_pyfilter")

_live: set[CData] = set()


def _keep(thing: object) -> CData:
    handle = ffi.new_handle(thing)
    _live.add(handle)
    return handle


def _stream(handle: CData) -> Stream:
    return cast("Stream", ffi.from_handle(handle))


def _seam_failed(kind: type[BaseException], error: BaseException, traceback: TracebackType) -> None:
    """Log what a crossing itself raised; C gets the ``error=`` value."""
    log.critical("a crossing failed", exc_info=(kind, error, traceback))


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_config_new(
    out: CData, name: CData, name_length: int, config: CData, config_length: int
) -> bool:
    """Load a filter config into *out*; a bad one is refused with its reason in Envoy's log."""
    filter_name = copied(name, name_length).decode("utf-8", "replace")
    try:
        out.python = _keep(configs.load(out, filter_name, copied(config, config_length)))
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the message is complete; a traceback is noise)
        return False
    return True


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_config_destroy(config: CData) -> None:
    """Tell the filter that its config ended."""
    ended = cast("Filter", ffi.from_handle(config))
    _live.discard(config)
    ended._config_destroyed()


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


@ffi.def_extern(error=ffi.NULL, onerror=_seam_failed)
def pyfilter_stream_new(config: CData, stream: CData, envoy: CData, watched: CData) -> CData:
    """Make the Python side of a stream, on its worker."""
    host = EnvoyHost(stream, envoy)
    watched[0] = host.watched
    return _keep(Stream(host, cast("Filter", ffi.from_handle(config))))


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_headers(stream: CData, end_of_stream: bool) -> int:
    """``on_http_filter_request_headers``."""
    return _stream(stream)._request_headers(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_body(stream: CData, end_of_stream: bool) -> int:
    """``on_http_filter_request_body``."""
    return _stream(stream)._request_body(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_request_trailers(stream: CData) -> int:
    """``on_http_filter_request_trailers``."""
    return _stream(stream)._request_trailers()


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_headers(stream: CData, end_of_stream: bool) -> int:
    """``on_http_filter_response_headers``."""
    return _stream(stream)._response_headers(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_body(stream: CData, end_of_stream: bool) -> int:
    """``on_http_filter_response_body``."""
    return _stream(stream)._response_body(end_of_stream)


@ffi.def_extern(error=-1, onerror=_seam_failed)
def pyfilter_response_trailers(stream: CData) -> int:
    """``on_http_filter_response_trailers``."""
    return _stream(stream)._response_trailers()


@ffi.def_extern(error=0, onerror=_seam_failed)
def pyfilter_local_reply(
    stream: CData,
    status: int,
    details: CData,
    details_length: int,
    reset_imminent: bool,
) -> int:
    """``on_http_filter_local_reply``: somebody answers; it cannot be stopped here."""
    return _stream(stream)._local_reply(status, copied(details, details_length), reset_imminent)


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_stream_complete(stream: CData) -> None:
    """``on_http_filter_stream_complete``."""
    _stream(stream)._stream_complete()


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_above_watermark(stream: CData) -> None:
    """``on_http_filter_downstream_above_write_buffer_high_watermark``."""
    _stream(stream)._above_high_watermark()


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_below_watermark(stream: CData) -> None:
    """``on_http_filter_downstream_below_write_buffer_low_watermark``."""
    _stream(stream)._below_low_watermark()


@ffi.def_extern(onerror=_seam_failed)
def pyfilter_scheduled(stream: CData, event_id: int) -> None:
    """``on_http_filter_scheduled``: another thread woke the stream."""
    _stream(stream)._scheduled(event_id)


@ffi.def_extern(error=False, onerror=_seam_failed)
def pyfilter_stream_destroy(stream: CData) -> bool:
    """``on_http_filter_destroy``; it can come inside a callback that the stream made."""
    _stream(stream)._destroyed()
    _live.discard(stream)
    return True


install()
if isinstance(sys.stdout, io.TextIOWrapper):  # None where Envoy was started without one
    sys.stdout.reconfigure(line_buffering=True)
