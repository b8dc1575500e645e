# SPDX-License-Identifier: Apache-2.0
"""
An upstream that streams as an LLM API does: ``python -m bench.peers.llm_server SOCKET CHUNKS``.

HTTP/2 without TLS on a UNIX socket. Each event is a DATA frame of its own, which Envoy gives to its
filters as it came: so a response has as many chunks as it has events, however fast they come. The
first comes some time after the headers, as a model's first word does: what comes while an external
processor looks at the headers would reach it as one chunk.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events

HEAD = [(":status", "200"), ("content-type", "text/event-stream")]
FIRST_EVENT_S = 0.05
CHUNK = (
    'data: {"id":"chatcmpl-Bench0123456789","object":"chat.completion.chunk","created":1767225600,'
    '"model":"bench-1","service_tier":"default","system_fingerprint":"fp_bench","choices":'
    '[{"index":0,"delta":%s,"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
USAGE = (
    'data: {"id":"chatcmpl-Bench0123456789","object":"chat.completion.chunk","created":1767225600,'
    '"model":"bench-1","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":%d,'
    '"total_tokens":%d}}\n\n'
)


def events(chunks: int) -> list[bytes]:
    """Give a stream of so many chunks."""
    words = chunks - 3
    role = CHUNK % '{"role":"assistant","content":""}'
    told = (CHUNK % f'{{"content":" word{number}"}}' for number in range(words))
    usage = USAGE % (words, 11 + words)
    return [one.encode() for one in (role, *told, usage, "data: [DONE]\n\n")]


class Answers:
    """The responses of one connection: their events are due some time after their headers."""

    def __init__(self, http: h2.connection.H2Connection, stream: list[bytes]) -> None:
        """Answer each request with *stream*."""
        self._http = http
        self._stream = stream
        self._waiting: dict[int, float] = {}  # when, by stream; the first is the next

    def begin(self, number: int) -> None:
        """Send the headers of a response."""
        self._http.send_headers(number, HEAD)
        self._waiting[number] = time.monotonic() + FIRST_EVENT_S

    def forget(self, number: int) -> None:
        """Answer no further: nobody wants it any more."""
        self._waiting.pop(number, None)

    def wait(self) -> float | None:
        """Tell for how long nothing is due; ``None``: until there is another request."""
        return next((max(0.0, when - time.monotonic()) for when in self._waiting.values()), None)

    def go_on(self) -> None:
        """Send the events that are due."""
        now = time.monotonic()
        for number in [number for number, when in self._waiting.items() if when <= now]:
            self.forget(number)
            for one in self._stream:
                self._http.send_data(number, one)
            self._http.end_stream(number)


def serve(connection: socket.socket, stream: list[bytes]) -> None:
    """Answer each request of a connection."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    answers = Answers(http, stream)
    http.initiate_connection()
    while True:
        connection.sendall(http.data_to_send())
        readable, _, _ = select.select([connection], [], [], answers.wait())
        if readable:
            data = connection.recv(65536)
            if not data:
                return
            for event in http.receive_data(data):
                if isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                    answers.begin(event.stream_id)
                elif isinstance(event, h2.events.StreamReset) and event.stream_id is not None:
                    answers.forget(event.stream_id)
        answers.go_on()


def main(path: str, chunks: str) -> None:
    """Serve until the process is ended."""
    stream = events(int(chunks))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, stream), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
