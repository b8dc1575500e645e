# SPDX-License-Identifier: Apache-2.0
"""
The job as an external processor: ``python -m bench.peers.ext_proc_server SOCKET FILE``.

It gets the headers of both sides, writes a line into a buffered file, and answers with the line as
dynamic metadata.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import grpc.aio

from bench.job import REQUEST_FIELDS, RESPONSE_FIELDS
from bench.peers.messages import message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
BUFFER = 65536


class Processor:
    """Serves the streams of one Envoy."""

    def __init__(self, out: BinaryIO) -> None:
        """Write to *out*."""
        self._out = out
        self.request = message("ext_proc.proto", "envoy.service.ext_proc.v3.ProcessingRequest")
        self._response = message("ext_proc.proto", "envoy.service.ext_proc.v3.ProcessingResponse")
        self._go_on = self._response()
        self._go_on.request_headers.SetInParent()

    async def process(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """Serve one stream: the request's headers, then the response's."""
        first: list[bytes] = []
        async for request in requests:
            if request.HasField("request_headers"):
                first = values(request.request_headers, REQUEST_FIELDS)
                yield self._go_on
            else:
                last = values(request.response_headers, RESPONSE_FIELDS)
                line = b"\t".join(first + last)
                self._out.write(line + b"\n")
                answer = self._response()
                answer.response_headers.SetInParent()
                answer.dynamic_metadata.get_or_create_struct("bench")["line"] = line.decode()
                yield answer


def values(headers: Any, fields: dict[str, str]) -> list[bytes]:
    """Give the values of *fields*, in their order."""
    found = {header.key: header.raw_value for header in headers.headers.headers}
    return [found[name] for name in fields.values()]


async def serve(processor: Any, socket: str) -> None:
    """Let *processor* serve Envoy's streams on a socket."""
    handler: Any = grpc.stream_stream_rpc_method_handler(
        processor.process,
        request_deserializer=processor.request.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"Process": handler})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


async def main(socket: str, file: str) -> None:
    """Serve until the process is ended."""
    with Path(file).open("ab", buffering=BUFFER) as out:  # noqa: ASYNC230 (before the first stream)
        await serve(Processor(out), socket)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
