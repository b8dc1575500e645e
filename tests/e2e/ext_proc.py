# SPDX-License-Identifier: Apache-2.0
"""
Envoy's own external processing: the filter's configuration, and a processor in Python for it.

The processor is told by the call's metadata whose stream it is, and does what a table of acts says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from bench.peers.messages import message

from . import bootstrap as b
from .statistics_acts import BODIES, PASS, PHASES, Act

_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
_PACKAGE = "envoy.service.ext_proc.v3"
_WHO = "acts"  # the call's metadata: whose acts
_THREADS = 16

Acts = Mapping[str, Act]


class Processor:
    """A processor on a UNIX socket; ``serve`` gives it acts."""

    def __init__(self, socket: Path) -> None:
        """Prepare; ``start`` listens on *socket*."""
        self.socket = socket
        here = Path(__file__).parent
        self._request = message("ext_proc.proto", f"{_PACKAGE}.ProcessingRequest", here)
        self._response = message("ext_proc.proto", f"{_PACKAGE}.ProcessingResponse", here)
        self._acts: dict[str, Acts] = {}
        self._server = grpc.server(ThreadPoolExecutor(_THREADS))
        handler: Any = grpc.stream_stream_rpc_method_handler(
            self._process,
            request_deserializer=self._request.FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )
        handlers = grpc.method_handlers_generic_handler(_SERVICE, {"Process": handler})
        self._server.add_generic_rpc_handlers((handlers,))
        self._server.add_insecure_port(f"unix:{socket}")

    def start(self) -> Processor:
        """Listen."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End all calls."""
        self._server.stop(0).wait()

    def serve(self, who: str, acts: Acts) -> None:
        """Do these acts for the streams of *who*; a phase that is not named is passed."""
        self._acts[who] = acts

    def _process(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        who = dict(context.invocation_metadata())[_WHO]
        acts = self._acts[str(who)]
        for request in requests:
            phase = request.WhichOneof("request")
            act = acts.get(phase, PASS)
            if act.fails:
                raise RuntimeError(f"{phase} of {who!r}")  # the library makes it UNKNOWN
            if act.holds or act.late:
                continue
            yield self._answer("request_trailers" if act.odd else phase, act)

    def _answer(self, phase: str, act: Act) -> Any:
        answer = self._response()
        if act.reply:
            answer.immediate_response.status.code = act.reply
            answer.immediate_response.body = act.reply_body
            return answer
        part = getattr(answer, phase)
        part.SetInParent()
        common = part if phase.endswith("trailers") else part.response
        if act.sets is not None:
            name, value = act.sets
            option = common.header_mutation.set_headers.add()
            option.header.key, option.header.raw_value = name, value.encode()
        if act.removes:
            common.header_mutation.remove_headers.append(act.removes)
        if act.body is not None:
            common.body_mutation.body = act.body
        return answer


def cluster(socket: Path) -> b.Dict:
    """Give the cluster ``processor``."""
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return b.cluster("processor", pipe=socket, typed_extension_protocol_options={kind: options})


def native(key: str, who: str, acts: Acts, *, buffered: bool, **fields: Any) -> b.Dict:
    """
    Envoy's filter under the name *key*, which asks for the phases that *acts* names.

    *who* is told to the processor. *buffered*: a body is one message instead of one a chunk.
    """
    mode = {}
    for phase in PHASES:
        if phase in BODIES:
            asked, unasked = "BUFFERED" if buffered else "STREAMED", "NONE"
            mode[f"{phase}_mode"] = asked if phase in acts else unasked
        else:
            place = phase.replace("headers", "header").replace("trailers", "trailer")
            mode[f"{place}_mode"] = "SEND" if phase in acts else "SKIP"
    return b.typed(
        key,
        "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={
            "envoy_grpc": {"cluster_name": "processor"},
            "initial_metadata": [{"key": _WHO, "value": who}],
        },
        processing_mode=mode,
        **{"message_timeout": "20s", **fields},  # a machine may be busy
    )


def disabled() -> b.Dict:
    """Give what a route says to do without the filter."""
    kind = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    return {"@type": f"type.googleapis.com/{kind}", "disabled": True}
