# SPDX-License-Identifier: Apache-2.0
"""
An upstream that streams as an LLM API does: ``python -m bench.peers.llm_server SOCKET CHUNKS``.

HTTP/2 without TLS on a UNIX socket. Each event is a DATA frame of its own, which Envoy gives to its
filters as it came: so a response has as many chunks as it has events, however fast they come.
"""

from __future__ import annotations

import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events

HEAD = [(":status", "200"), ("content-type", "text/event-stream")]
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


def serve(connection: socket.socket, stream: list[bytes]) -> None:
    """Answer each request of a connection."""
    config = h2.config.H2Configuration(client_side=False)
    http = h2.connection.H2Connection(config)
    http.initiate_connection()
    connection.sendall(http.data_to_send())
    while data := connection.recv(65536):
        for event in http.receive_data(data):
            if isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                http.send_headers(event.stream_id, HEAD)
                for one in stream:
                    http.send_data(event.stream_id, one)
                http.end_stream(event.stream_id)
        connection.sendall(http.data_to_send())


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
