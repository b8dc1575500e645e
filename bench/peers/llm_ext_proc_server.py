# SPDX-License-Identifier: Apache-2.0
"""
``llm_usage`` as an external processor: ``python -m bench.peers.llm_ext_proc_server SOCKET [FILE]``.

It gets the headers of both sides and each chunk of the response, reads the chunks with the code of
``llm_usage``, and leaves what it found as dynamic metadata. With FILE it writes that down, too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from envoy_pyfilter._llm.reading import Reading

from bench import job
from bench.peers.ext_proc_server import serve, values
from bench.peers.messages import message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Processor:
    """Serves the streams of one Envoy."""

    def __init__(self, out: BinaryIO | None) -> None:
        """Write to *out*, if there is one."""
        self._out = out
        self.request = message("ext_proc.proto", "envoy.service.ext_proc.v3.ProcessingRequest")
        self._response = message("ext_proc.proto", "envoy.service.ext_proc.v3.ProcessingResponse")
        self._go_on = {
            part: self._empty(part)
            for part in ("request_headers", "response_headers", "response_body")
        }

    async def process(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """Serve one stream: the headers of both sides, then each chunk."""
        wanted = False
        begun = 0.0
        chunks = 0
        reading: Reading | None = None
        async for request in requests:
            part = request.WhichOneof("request")
            if part == "request_headers":
                (path,) = values(request.request_headers, {"path": ":path"})
                wanted, begun = path.endswith(b"/chat/completions"), time.monotonic()
            elif part == "response_headers":
                (kind,) = values(request.response_headers, {"type": "content-type"})
                if wanted and kind == b"text/event-stream":
                    reading = Reading(begun, events=True)
            elif reading is not None:
                chunks += bool(request.response_body.body)
                reading.feed(request.response_body.body)
                if request.response_body.end_of_stream:
                    yield self._told(reading, chunks)
                    continue
            yield self._go_on[part]

    def _empty(self, part: str) -> Any:
        answer = self._response()
        getattr(answer, part).SetInParent()
        return answer

    def _told(self, reading: Reading, chunks: int) -> Any:
        """Write down what was read, and answer with it."""
        reading.finish(whole=True)
        facts = reading.facts()
        if self._out is not None:
            told = {**facts, "chunks": chunks}
            line = "\t".join(str(told[key]) for key in job.LLM_EXPECTED)
            self._out.write(line.encode() + b"\n")
        answer = self._empty("response_body")
        answer.dynamic_metadata.get_or_create_struct("llm_usage").update(facts)
        return answer


async def main(socket: str, file: str | None = None) -> None:
    """Serve until the process is ended."""
    out: Any = None
    if file is not None:
        out = Path(file).open("ab", buffering=0)  # noqa: ASYNC230, SIM115 (as long as the process)
    await serve(Processor(out), socket)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
