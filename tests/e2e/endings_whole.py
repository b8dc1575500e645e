# SPDX-License-Identifier: Apache-2.0
"""Responses that end as they should, whatever other filters do to them: 1 to 7."""

from __future__ import annotations

from . import bootstrap as b
from . import endings_steps as do
from . import neighbours as n
from .endings_row import BUFFERING_LUA, HEADERS, Ending
from .messages import Answer

RESUMES = "in_thread(stream.resume_{side}); return PAUSE"
BODY_LUA = b.lua(
    """
    function envoy_on_response(handle)
      handle:body(true):setBytes("late")
    end
    """
)
MUTATION = b.header_mutation(response={"x-late": "mutated", "x-up": "rewritten"})
# Envoy looks at the request's content-type, which the bridge has changed.
BRIDGED = {"grpc_status": 0}

WHOLE = {
    "no_content": Ending(
        number=1,
        does="the upstream answers 204",
        client=do.asks(Answer(status=204, headers=HEADERS, body=())),
        status=204,
    ),
    "not_modified": Ending(
        number=1,
        does="the upstream answers 304",
        client=do.asks(Answer(status=304, headers=HEADERS, body=())),
        status=304,
    ),
    "head": Ending(number=1, does="a HEAD", client=do.asks(Answer(body=()), method=b"HEAD")),
    "grpc_trailers_only": Ending(
        number=1,
        does="a gRPC response that is its headers",
        client=do.calls(Answer(headers=[do.GRPC, (b"grpc-status", b"5")], body=())),
    ),
    "body": Ending(
        number=2,
        does="bodies in both directions",
        client=do.asks(
            Answer(headers=HEADERS, body=[b"one", b"two"]), method=b"POST", body=[b"x", b"y"]
        ),
    ),
    "trailers": Ending(
        number=3,
        does="trailers in both directions",
        logged={"request_trailers"},
        client=do.asks(
            Answer(headers=HEADERS, trailers=[(b"x-end", b"1")]),
            method=b"POST",
            headers=[(b"te", b"trailers")],
            body=[b"x"],
            trailers=[(b"x-last", b"2")],
        ),
    ),
    "trailers_added_before_us": Ending(
        number=4,
        does="a filter before ours, which the response reaches after us, adds trailers",
        client=do.calls(Answer(headers=[(b"content-type", b"application/x-protobuf")])),
        before=[n.grpc_bridge()],
        differs=BRIDGED,
    ),
    "trailers_added_behind_us": Ending(
        number=4,
        does="a filter behind ours, which the response reaches before us, adds trailers",
        client=do.calls(Answer(headers=[(b"content-type", b"application/x-protobuf")])),
        after=[n.grpc_bridge()],
        differs=BRIDGED,
    ),
    "body_added_before_us": Ending(
        number=5,
        does="Lua before ours gives a body to a response that had none",
        client=do.asks(Answer(headers=HEADERS, body=())),
        before=[BODY_LUA],
    ),
    "body_added_behind_us": Ending(
        number=5,
        does="Lua behind ours gives a body to a response that had none",
        client=do.asks(Answer(headers=HEADERS, body=())),
        after=[BODY_LUA],
    ),
    "python_behind_us_pauses": Ending(
        number=6,
        does="a Python filter behind ours holds the response's headers for a while",
        client=do.asks(Answer(headers=HEADERS)),
        after=[n.python(on_response_headers=RESUMES.format(side="response"))],
    ),
    "lua_behind_us_buffers": Ending(
        number=6,
        does="Lua behind ours holds the response until its body is whole",
        client=do.asks(Answer(headers=HEADERS, body=[b"one", b"two"])),
        after=[BUFFERING_LUA],
    ),
    "buffer_behind_us": Ending(
        number=6,
        does="Envoy's buffer filter behind ours holds the request",
        client=do.asks(Answer(headers=HEADERS), method=b"POST", body=[b"one", b"two"]),
        after=[b.buffer(1000)],
    ),
    "we_hold_the_request": Ending(
        number=6,
        does="our own hook holds the request for a while",
        client=do.asks(Answer(headers=HEADERS)),
        hooks={"on_request_headers": RESUMES.format(side="request")},
    ),
    "we_hold_the_response": Ending(
        number=6,
        does="our own hook holds the response for a while",
        client=do.asks(Answer(headers=HEADERS)),
        hooks={"on_response_headers": RESUMES.format(side="response")},
    ),
    "python_before_us_pauses": Ending(
        number=7,
        does="a Python filter before ours holds the response's headers, then changes them",
        client=do.asks(Answer(headers=HEADERS)),
        before=[
            n.python(
                on_response_headers="""
                stream.response_headers.set('x-late', 'python')
                in_thread(stream.resume_response)
                return PAUSE
                """
            )
        ],
    ),
    "lua_before_us_buffers": Ending(
        number=7,
        does="Lua before ours holds the response until its body is whole, then changes headers",
        client=do.asks(Answer(headers=HEADERS, body=[b"one", b"two"])),
        before=[BUFFERING_LUA],
    ),
    "headers_changed_before_us": Ending(
        number=7,
        does="header_mutation before ours changes the response's headers",
        client=do.asks(Answer(headers=HEADERS)),
        before=[MUTATION],
    ),
    "buffer_before_us": Ending(
        number=7,
        does="Envoy's buffer filter before ours holds the request",
        client=do.asks(Answer(headers=HEADERS), method=b"POST", body=[b"one", b"two"]),
        before=[b.buffer(1000)],
    ),
}
