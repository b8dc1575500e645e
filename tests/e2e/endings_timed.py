# SPDX-License-Identifier: Apache-2.0
"""Streams that take too long: 15."""

from __future__ import annotations

from . import endings_steps as do
from . import neighbours as n
from .endings_row import HOLDS, RETRY, Ending, http, upstream

AMID = "1s"  # long enough for a response to begin

TIMED = {
    "request_timeout": Ending(
        number=15,
        does="the request does not end in time",
        client=do.sends_half,
        listener=http(request_timeout="0.1s"),
        status=408,
    ),
    "header_timeout": Ending(
        number=15,
        does="the request's headers do not end in time",
        client=do.opens_half,
        listener=http(request_headers_timeout="0.1s"),
        late=True,
        entries=("response",),
        status=408,
    ),
    "route_timeout": Ending(
        number=15,
        does="the upstream does not answer in time",
        client=do.waits(),
        routes=upstream(timeout="0.05s"),
        status=504,
    ),
    "per_try_timeout": Ending(
        number=15,
        does="the upstream answers neither the request nor the retries in time",
        client=do.waits(),
        routes=upstream(
            retry_policy={"retry_on": "reset,5xx", "per_try_timeout": "0.03s", **RETRY}
        ),
        status=504,
    ),
    "route_timeout_in_body": Ending(
        number=15,
        does="the upstream does not end its answer in time",
        client=do.waits_in_body,
        routes=upstream(timeout=AMID),
    ),
    "idle_request": Ending(
        number=15,
        does="the client falls silent amid its request",
        client=do.sends_half,
        listener=http(stream_idle_timeout="0.1s"),
        status=408,
    ),
    "idle_upstream": Ending(
        number=15,
        does="the upstream falls silent before its answer",
        client=do.waits(),
        listener=http(stream_idle_timeout="0.1s"),
        status=504,
    ),
    "idle_in_body": Ending(
        number=15,
        does="the upstream falls silent amid its answer",
        client=do.waits_in_body,
        listener=http(stream_idle_timeout=AMID),
    ),
    "idle_while_held_before_us": Ending(
        number=15,
        does="a filter before ours holds the response too long",
        client=do.waits_held,
        before=[n.python(on_response_headers=HOLDS)],
        listener=http(stream_idle_timeout=AMID),
        status=504,
    ),
    "idle_while_held_behind_us": Ending(
        number=15,
        does="a filter behind ours holds the response too long; only our local_reply runs",
        client=do.waits_held,
        after=[n.python(on_response_headers=HOLDS)],
        listener=http(stream_idle_timeout=AMID),
        status=504,
    ),
    "max_duration": Ending(
        number=15,
        does="the stream lasts too long",
        client=do.waits(),
        listener=http(common_http_protocol_options={"max_stream_duration": "0.1s"}),
        status=504,
    ),
    "max_duration_in_body": Ending(
        number=15,
        does="the stream lasts too long amid its answer",
        client=do.waits_in_body,
        listener=http(common_http_protocol_options={"max_stream_duration": AMID}),
    ),
}
