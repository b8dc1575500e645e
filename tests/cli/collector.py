# SPDX-License-Identifier: Apache-2.0
"""An OpenTelemetry collector that lets all requests pass, and an upstream that says what came."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as messages
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as services


class Collector(services.LogsServiceServicer):
    """Keeps the records that it gets."""

    def __init__(self) -> None:
        """Have none yet."""
        self.records: list[Any] = []

    def Export(  # noqa: N802 (the protocol's name)
        self, request: messages.ExportLogsServiceRequest, context: grpc.ServicerContext
    ) -> messages.ExportLogsServiceResponse:
        """Take records."""
        del context
        self.records += [
            record
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
        return messages.ExportLogsServiceResponse()


def _check(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """Answer ext_authz: a ``CheckResponse`` that says OK, with dynamic metadata (field 4)."""
    metadata = Struct()
    metadata.update({"team": "blue"})
    inner = metadata.SerializeToString()
    return bytes([4 << 3 | 2, len(inner)]) + inner


@contextmanager
def collecting() -> Iterator[tuple[Collector, int]]:
    """Serve a collector on a free port of loopback."""
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    services.add_LogsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    check: Any = {"Check": grpc.unary_unary_rpc_method_handler(_check)}
    authz = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", check)
    server.add_generic_rpc_handlers((authz,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield collector, port
    server.stop(grace=None).wait()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the request's headers."""
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-tokens", "42")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Stay silent."""


@contextmanager
def echoing() -> Iterator[int]:
    """Serve the upstream on a free port of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
