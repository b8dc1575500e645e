# SPDX-License-Identifier: Apache-2.0
"""Responses that Envoy or a filter makes: 12 to 14."""

from __future__ import annotations

from . import bootstrap as b
from . import endings_steps as do
from . import neighbours as n
from .endings_row import BUFFERING_LUA, HEADERS, SMALL, Ending
from .messages import Answer

LARGE = Answer(body=[b"x" * 20_000] * 10)

REPLIED = {
    "direct_response": Ending(
        number=12,
        does="the route has the answer",
        client=do.asks(),
        routes=[b.direct(status=418, body="tea")],
        status=418,
    ),
    "no_route": Ending(
        number=12, does="no route", client=do.asks(), routes=[b.direct("/other")], status=404
    ),
    "no_cluster": Ending(
        number=12,
        does="the route's cluster does not exist",
        client=do.asks(),
        routes=[b.route(route={"cluster_header": "x-cluster"})],
        status=503,
    ),
    "no_host": Ending(
        number=12,
        does="the cluster has no host",
        client=do.asks(),
        routes=[b.route(route={"cluster": "empty"})],
        status=503,
    ),
    "redirect": Ending(
        number=12,
        does="the route redirects",
        client=do.asks(),
        routes=[b.route(redirect={"host_redirect": "elsewhere.test"})],
        status=301,
    ),
    "we_deny": Ending(
        number=12,
        does="our own hook answers the request",
        client=do.asks(),
        hooks={"on_request_headers": "return Reply(403, 'no', {'x-why': 'because'})"},
        entries=("denied", "response"),
        status=403,
    ),
    "we_deny_late": Ending(
        number=12,
        does="our own hook answers in place of the upstream's response",
        logged={"denied"},
        client=do.asks(Answer(headers=HEADERS)),
        hooks={"on_response_headers": "return Reply(502, 'no')"},
        status=502,
    ),
    "we_fail": Ending(
        number=12,
        does="our own hook raises",
        logged={"failed_hook"},
        client=do.asks(),
        hooks={"on_request_headers": "raise RuntimeError('row')"},
        entries=("denied", "response"),
        status=500,
    ),
    "python_before_us_denies": Ending(
        number=12,
        does="a Python filter before ours answers, so our request hook never runs",
        client=do.asks(),
        before=[n.python(on_request_headers="return Reply(403)")],
        status=403,
    ),
    "python_behind_us_denies": Ending(
        number=12,
        does="a Python filter behind ours answers",
        client=do.asks(),
        after=[n.python(on_request_headers="return Reply(403)")],
        status=403,
    ),
    "rbac_before_us": Ending(
        number=12, does="RBAC before ours refuses", client=do.asks(), before=[n.rbac()], status=403
    ),
    "rbac_behind_us": Ending(
        number=12, does="RBAC behind ours refuses", client=do.asks(), after=[n.rbac()], status=403
    ),
    "fault_before_us": Ending(
        number=12,
        does="an injected fault before ours",
        client=do.asks(),
        before=[b.fault(abort={"http_status": 418})],
        status=418,
    ),
    "request_too_large": Ending(
        number=12,
        does="the buffer filter behind ours refuses a body that is too large",
        client=do.asks(method=b"POST", body=[b"x" * 20_000]),
        after=[b.buffer(10)],
        status=413,
    ),
    "reply_before_us_replaces": Ending(
        number=13,
        does="a Python filter before ours answers when the response has passed ours",
        client=do.asks(Answer(headers=HEADERS)),
        before=[n.python(on_response_headers="return Reply(502, 'no', {'x-late': 'reply'})")],
        status=502,
    ),
    "overflow_before_us": Ending(
        number=13,
        does="Lua before ours holds a response that grows too large when it has passed ours",
        client=do.asks(LARGE),
        before=[BUFFERING_LUA],
        listener=SMALL,
        status=500,
    ),
    "overflow_behind_us": Ending(
        number=13,
        does="Lua behind ours holds a response that grows too large; only our local_reply runs",
        client=do.asks(LARGE),
        after=[BUFFERING_LUA],
        listener=SMALL,
        status=500,
    ),
    "reply_after_headers": Ending(
        number=14,
        does="a Python filter before ours answers when the client has the headers",
        client=do.asks(Answer(headers=HEADERS, body=[b"one"])),
        before=[
            n.python(on_response_headers="", on_response_body="return Reply(502)"),
        ],
    ),
    "we_fail_in_body": Ending(
        number=14,
        does="our own hook raises when the client has the headers",
        logged={"denied", "failed_hook"},
        client=do.asks(Answer(headers=HEADERS, body=[b"one"])),
        hooks={"on_response_body": "raise RuntimeError('row')"},
    ),
}
