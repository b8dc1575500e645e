# SPDX-License-Identifier: Apache-2.0
"""Interim responses, tunnels, gRPC, streams made anew, slow clients: 16 to 21."""

from __future__ import annotations

from . import bootstrap as b
from . import endings_steps as do
from . import neighbours as n
from .endings_row import BOTH, HEADERS, REQUEST, SMALL, WEBSOCKETS, Ending, http, upstream
from .messages import Answer

CONNECTS = {**WEBSOCKETS, "upgrade_configs": [{"upgrade_type": "CONNECT"}]}
TO_HTTP1 = [b.route(route={"cluster": "http1"})]
TUNNEL = [
    {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": "http1",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
    }
]
# The codecs of HTTP/2 and HTTP/3 make a 200 of a 101, and leave its headers out.
AS_200 = {"HTTP/2": 200, "HTTP/3": 200}

SPECIAL = {
    "continue": Ending(
        number=16,
        does="Envoy says 100 to a request that waits for it",
        client=do.says_continue,
    ),
    "continue_of_the_upstream": Ending(
        number=16,
        does="the upstream says 100",
        client=do.says_continue,
        listener=http(proxy_100_continue=True),
    ),
    "early_hints": Ending(
        number=16,
        does="the upstream says 103 before its answer",
        client=do.asks(Answer(interim=[103], headers=HEADERS)),
    ),
    "websocket": Ending(
        number=17,
        does="a tunnel for WebSocket, which the client leaves",
        client=do.upgrades,
        routes=TO_HTTP1,
        listener=http(**WEBSOCKETS),
        status=101,
        wire=AS_200,
        cuts={"upgrade", "connection"},
        tunnel=True,
        cilium=BOTH,
    ),
    "websocket_closed": Ending(
        number=17,
        does="a tunnel for WebSocket, closed by the upstream",
        client=do.upgrades_once,
        routes=TO_HTTP1,
        listener=http(**WEBSOCKETS),
        status=101,
        wire=AS_200,
        cuts={"upgrade", "connection"},
        tunnel=True,
        cilium=BOTH,
    ),
    "websocket_refused": Ending(
        number=17,
        does="the upstream refuses the tunnel",
        client=do.upgrade_refused,
        routes=TO_HTTP1,
        listener=http(**WEBSOCKETS),
        status=403,
    ),
    "connect": Ending(
        number=17,
        does="a tunnel by CONNECT, which the client leaves",
        client=do.connects,
        routes=TUNNEL,
        listener=http(**CONNECTS),
        tunnel=True,
        cilium=BOTH,
    ),
    "grpc_unary": Ending(
        number=18,
        does="a gRPC call",
        client=do.calls(do.GRPC_OK),
    ),
    "grpc_streaming": Ending(
        number=18,
        does="a gRPC call of many messages",
        client=do.calls(do.GRPC_STREAM, messages=3),
    ),
    "grpc_we_deny": Ending(
        number=18,
        does="our own hook denies a gRPC call",
        client=do.calls(do.GRPC_OK),
        hooks={"on_request_headers": "return Reply(403, 'no')"},
        entries=("denied", "response"),
    ),
    "grpc_rbac": Ending(
        number=18,
        does="RBAC behind ours refuses a gRPC call",
        client=do.calls(do.GRPC_OK),
        after=[n.rbac()],
    ),
    "internal_redirect": Ending(
        number=19,
        does="Envoy follows the upstream's redirect itself",
        client=do.is_redirected,
        routes=upstream(
            internal_redirect_policy={
                "redirect_response_codes": [302],
                "allow_cross_scheme_redirect": True,
            }
        ),
        entries=BOTH * 2,
        cilium=(*REQUEST, *BOTH),
        legs=(302, 207),
        status=207,
    ),
    "recreated_before_us": Ending(
        number=19,
        does="custom_response before ours recreates the stream when its response has passed ours",
        client=do.asks(Answer(status=404)),
        before=[n.recreating("http://e2e.test/other")],
        routes=[b.direct("/other"), *upstream()],
        entries=BOTH * 2,
        legs=(404, 299),
        status=299,
    ),
    "recreated_behind_us": Ending(
        number=19,
        does="custom_response behind ours recreates the stream; ours sees nothing of its response",
        logged={"response_headers"},
        client=do.asks(Answer(status=404)),
        after=[n.recreating("http://e2e.test/other")],
        routes=[b.direct("/other"), *upstream()],
        entries=BOTH * 2,
        cilium=(*REQUEST, *BOTH),
        legs=(404, 299),
        status=299,
    ),
    "drain": Ending(
        number=20,
        does="Envoy drains while the response is on its way",
        client=do.drains,
    ),
    "listener_removed": Ending(
        number=20,
        does="the listener is removed, and its time to drain ends amid the response",
        client=do.loses_listener,
    ),
    "sigterm": Ending(
        number=20,
        does="Envoy ends amid the response",
        client=do.loses_envoy,
        own_envoy={},
    ),
    "sigterm_before": Ending(
        number=20,
        does="Envoy ends before the response",
        client=do.loses_envoy_before,
        own_envoy={},
        cilium=REQUEST,
        status=0,
    ),
    "slow_reader": Ending(
        number=21,
        does="the client reads only when all buffers are full",
        client=do.reads_slowly,
        listener=SMALL,
    ),
    "slow_reader_leaves": Ending(
        number=21,
        does="the client leaves when all buffers are full",
        client=do.stops_reading,
        listener=SMALL,
    ),
}
