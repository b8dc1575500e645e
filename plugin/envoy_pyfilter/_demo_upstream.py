# SPDX-License-Identifier: Apache-2.0
"""
The upstream of ``envoy-pyfilter run`` without ``--upstream``: answers like a small model server.

To paths of the LLM APIs it answers in their forms (``_demo_llm``). To others it tells what arrived
as JSON, and counts "tokens" in ``x-ai-*`` headers as AI gateways do.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from envoy_pyfilter import _demo_llm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BETWEEN_WORDS = 0.02  # seconds


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self) -> None:
        received = self._body()
        answer = _demo_llm.answer(self.path, received) if self.command == "POST" else None
        if answer is None:
            self._tell(received)
        else:
            self._send(answer)

    def _send(self, answer: _demo_llm.Answer) -> None:
        """Send an answer of an LLM, word by word where it is a stream."""
        self.send_response(200)
        self.send_header("content-type", answer.content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in answer.pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if answer.streamed:
                time.sleep(_BETWEEN_WORDS)
        self.wfile.write(b"0\r\n\r\n")

    def _tell(self, received: bytes) -> None:
        """Tell what was asked."""
        words = received.split()
        said = {"method": self.command, "path": self.path, "answer": "hello from the demo upstream"}
        body = json.dumps(said).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-ai-model", "demo-1")
        self.send_header("x-ai-input-tokens", str(len(words)))
        self.send_header("x-ai-output-tokens", str(len(body.split())))
        self.send_header("x-demo", "as the upstream sent it")
        self.send_header("x-demo-internal", "removed before the client")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every method alike: the base class looks for ``do_GET`` and so on."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Stay silent: Envoy's entries tell what happened."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # Envoy opens as many connections as it has requests

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about connections that Envoy closed; tell what went wrong here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def demo_upstream() -> Iterator[int]:
    """Serve on a free port of loopback, which is given, until the block ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, name="demo upstream", daemon=True).start()
        yield server.server_port
        server.shutdown()


def main(host: str, port: str) -> None:
    """Serve at an address until SIGTERM: ``python -m envoy_pyfilter._demo_upstream HOST PORT``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with _Server((host, int(port)), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
