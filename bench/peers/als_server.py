# SPDX-License-Identifier: Apache-2.0
"""
The reader of Envoy's gRPC access log: ``python -m bench.peers.als_server SOCKET [FILE]``.

With a file it decodes each entry and writes a JSON line; else it reads and drops.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from bench.peers.messages import message

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
METHODS = {1: "GET"}


def lines(entries: Any) -> Iterator[str]:
    """Yield the ten values of each entry, as JSON."""
    for entry in entries:
        request, response = entry.request, entry.response
        yield json.dumps(
            {
                "method": METHODS[request.request_method],
                "path": request.path,
                "authority": request.authority,
                "user_agent": request.user_agent,
                "accept": request.request_headers["accept"],
                "request_id": request.request_id,
                "response_code": response.response_code.value,
                "content_type": response.response_headers["content-type"],
                "content_length": response.response_headers["content-length"],
                "served_by": response.response_headers["x-served-by"],
            }
        )


def main(socket: str, file: str | None = None) -> None:
    """Serve until the process is ended."""
    kind = message("als.proto", "envoy.service.accesslog.v3.StreamAccessLogsMessage")

    def read(messages: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        for one in messages:
            if file is not None:
                entries = kind.FromString(one).http_logs.log_entry
                text = "".join(f"{line}\n" for line in lines(entries))
                with Path(file).open("a", encoding="utf-8") as out:
                    out.write(text)
        return b""

    handlers: dict[str, Any] = {"StreamAccessLogs": grpc.stream_unary_rpc_method_handler(read)}
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
