# SPDX-License-Identifier: Apache-2.0
"""The job in Python, as filters of ours: no hook, an empty one, one that does it, three."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from envoy_pyfilter import Config, Filter

if TYPE_CHECKING:
    from envoy_pyfilter import Stream

BUFFER = 65536


class Unwanted(Filter):
    """Wants none of the hooks, so C answers them all."""


class Empty(Filter):
    """Wants one hook, and does nothing in it."""

    def on_stream_complete(self, stream: Stream) -> None:
        """Do nothing."""


class Headers(Filter):
    """Wants a hook on each side, and does nothing in them."""

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> None:
        """Do nothing."""

    def on_response_headers(self, stream: Stream, end_of_stream: bool) -> None:
        """Do nothing."""


class WritingConfig(Config, frozen=True):
    """*path* is the file for the lines, *switch_interval* Python's, in seconds (0: as it is)."""

    path: str
    switch_interval: float = 0


class One(Filter):
    """Does the job in one hook: reads the ten, writes a line and a filter state."""

    Config: ClassVar[type[Any]] = WritingConfig

    def __init__(self, config: WritingConfig) -> None:
        """Open the file; a line is written when the buffer is full."""
        if config.switch_interval:
            sys.setswitchinterval(config.switch_interval)
        self.out = Path(config.path).open("ab", buffering=BUFFER)  # noqa: SIM115 (as long as the filter)

    def on_stream_complete(self, stream: Stream) -> None:
        """Do it."""
        request, response = stream.request_headers, stream.response_headers
        line = b"\t".join(
            (
                request[":method"],
                request[":path"],
                request[":authority"],
                request["user-agent"],
                request["accept"],
                request["x-request-id"],
                response[":status"],
                response["content-type"],
                response["content-length"],
                response["x-served-by"],
            )
        )
        self.out.write(line + b"\n")
        stream.filter_state.set("bench", line)


class Three(One):
    """Does the job in three hooks, each of which reads what is new."""

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> None:
        """Read the request's six."""
        del end_of_stream
        request = stream.request_headers
        stream.data["request"] = (
            request[":method"],
            request[":path"],
            request[":authority"],
            request["user-agent"],
            request["accept"],
            request["x-request-id"],
        )

    def on_response_headers(self, stream: Stream, end_of_stream: bool) -> None:
        """Read the response's four."""
        del end_of_stream
        response = stream.response_headers
        stream.data["response"] = (
            response[":status"],
            response["content-type"],
            response["content-length"],
            response["x-served-by"],
        )

    def on_stream_complete(self, stream: Stream) -> None:
        """Write the line and the filter state."""
        line = b"\t".join(stream.data["request"] + stream.data["response"])
        self.out.write(line + b"\n")
        stream.filter_state.set("bench", line)
