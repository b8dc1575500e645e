# SPDX-License-Identifier: Apache-2.0
"""One HTTP/2 connection with many streams at once, each of which ends when it is told to."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.errors
import h2.events

from .exchange import TIMEOUT, head_of
from .messages import Request, pairs
from .waiting import until


@dataclass(slots=True)
class Got:
    """What the client has of one stream."""

    status: int = 0  # 0: no response yet
    size: int = 0  # of the body so far
    over: bool = False  # ended, by whomever


class Crowd:
    """The connection; what came is read while it waits."""

    def __init__(self, port: int) -> None:
        """Connect, and wait until Envoy has said how many streams there may be."""
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._http.initiate_connection()
        self._allowed = 0
        self.streams: dict[int, Got] = {}
        until(self._is_welcome, "Envoy's settings")

    def _is_welcome(self) -> bool:
        self.pump()
        return self._allowed > 0

    def open(self, request: Request, *, ends: bool) -> int:
        """Begin a request; its headers are sent with the next ``pump``."""
        number = self._http.get_next_available_stream_id()
        self._http.send_headers(number, head_of(request, b"http"), end_stream=ends)
        self.streams[number] = Got()
        return number

    def finish(self, number: int) -> None:
        """End a stream's request."""
        self._http.end_stream(number)

    def leave(self, number: int) -> None:
        """Reset a stream that is not over, as a client does that has lost interest."""
        self._http.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self.streams[number].over = True

    def close(self) -> None:
        """Close the connection with all streams that are left."""
        self._socket.close()

    def pump(self) -> None:
        """Send what waits, and read what is there; never waits for Envoy to say something."""
        self._flush()
        self._socket.setblocking(False)
        try:
            while data := self._socket.recv(1 << 18):
                for event in self._http.receive_data(data):
                    self._on_event(event)
            raise AssertionError("Envoy closed the connection")
        except BlockingIOError:
            pass
        self._flush()

    def _flush(self) -> None:
        self._socket.settimeout(TIMEOUT)
        self._socket.sendall(self._http.data_to_send())

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self._allowed = self._http.remote_settings.max_concurrent_streams
        assert not isinstance(event, h2.events.ConnectionTerminated), event
        got = self.streams.get(getattr(event, "stream_id", None) or 0)
        if got is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            got.status = int(dict(pairs(event.headers or ()))[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            got.size += len(event.data or b"")
            self._http.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            got.over = True
