# SPDX-License-Identifier: Apache-2.0
"""Streams that the client or the upstream cuts off: 8 to 11."""

from __future__ import annotations

from . import bootstrap as b
from . import endings_steps as do
from . import neighbours as n
from .endings_row import HEADERS, HOLDS, NO_WIRE, REQUEST, RETRY, Ending, upstream
from .messages import Answer

LEFT = {
    "client_leaves_before": Ending(
        number=8,
        does="the client gives up when the upstream has the request",
        client=do.leaves_before,
        cilium=REQUEST,
        status=0,
    ),
    "client_leaves_uploading": Ending(
        number=8,
        does="the client gives up amid its request's body",
        client=do.leaves_uploading,
        cilium=REQUEST,
        status=0,
    ),
    "client_leaves_while_we_hold": Ending(
        number=8,
        does="the client gives up while our own hook holds the request",
        client=do.leaves_held,
        hooks={"on_request_headers": HOLDS},
        cilium=REQUEST,
        status=0,
    ),
    "client_leaves_while_held_before_us": Ending(
        number=8,
        does="the client gives up while a filter before ours holds the response",
        client=do.leaves_held,
        before=[n.python(on_response_headers=HOLDS)],
        wire=NO_WIRE,
    ),
    "client_leaves_while_held_behind_us": Ending(
        number=8,
        does="the client gives up while a filter behind ours holds the response",
        logged={"response_headers"},
        client=do.leaves_held,
        after=[n.python(on_response_headers=HOLDS)],
        cilium=REQUEST,
        wire=NO_WIRE,
    ),
    "client_leaves_in_response": Ending(
        number=9,
        does="the client gives up amid the response's body",
        client=do.leaves_in_response,
    ),
    "connection_lost_in_response": Ending(
        number=9,
        does="the client closes its connection amid the response's body",
        client=do.loses_connection,
    ),
    "client_leaves_after": Ending(
        number=9,
        does="the client takes an early response whole and never ends its request",
        client=do.leaves_after,
    ),
}

FAILED = {
    "upstream_resets_before": Ending(
        number=10,
        does="the upstream resets before its headers",
        client=do.asks(Answer(reset="before_headers")),
        status=503,
    ),
    "upstream_refuses": Ending(
        number=10,
        does="nobody listens where the upstream should be",
        client=do.asks(),
        routes=[b.route(route={"cluster": "refused"})],
        status=503,
    ),
    "retries_exhausted": Ending(
        number=10,
        does="the upstream answers 503 to the request and both retries",
        client=do.asks(Answer(status=503, headers=HEADERS)),
        routes=upstream(retry_policy={"retry_on": "5xx", **RETRY}),
        status=503,
    ),
    "retry_succeeds": Ending(
        number=10,
        does="the upstream resets once, then answers",
        client=do.asks_again,
        routes=upstream(retry_policy={"retry_on": "reset,5xx", **RETRY}),
    ),
    "upstream_resets_after_headers": Ending(
        number=11,
        does="the upstream resets after its headers",
        client=do.asks(Answer(headers=HEADERS, reset="after_headers", body=[b"one", b"two"])),
    ),
    "upstream_resets_in_body": Ending(
        number=11,
        does="the upstream resets amid the body",
        client=do.asks(Answer(headers=HEADERS, reset="in_body", body=[b"one", b"two"])),
    ),
}
