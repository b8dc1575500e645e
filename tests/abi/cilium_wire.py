# SPDX-License-Identifier: Apache-2.0
"""Streams of a stub host with a Cilium sink, and the packets that come out of its socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .cilium import REQUEST, RESPONSE, Life, decoded, expected
from .configs import Config, Stream
from .host import Host

if TYPE_CHECKING:
    from e2e.agent import Agent

PROTOCOL, SOURCE, DESTINATION = 10, 24, 26  # the ABI's numbers of the attributes


class Wire:
    """Configs with a Cilium sink, and the packets that come out of its socket."""

    def __init__(self, host: Host, agent: Agent) -> None:
        """Take a host and a listener that run."""
        self.host = host
        self._agent = agent
        self._configs: dict[str, Config] = {}

    def config(self, filter_name: str = "access", **config: Any) -> Config:
        """Load a config, unless it is there; all but the socket of its sink is given."""
        key = json.dumps([filter_name, config])
        if key not in self._configs:
            name = self.host.name("c")
            sink = {"type": "cilium", "socket": self._agent.path, **config.pop("sink", {})}
            sinks = [sink, *config.pop("more", [])]
            self._configs[key] = Config(
                self.host, filter_name, {"instance": name, "sinks": sinks, **config}, name=name
            )
            assert self._configs[key].accepted, self._configs[key].events
        return self._configs[key]

    def live(self, config: Config, life: Life) -> list[bytes]:
        """Run a stream's life and return its two packets."""
        return self.collect(begin(config, life), life)

    def collect(self, stream: Stream, life: Life) -> list[bytes]:
        """Run the life of a stream that has begun, and return its two packets."""

        def run() -> None:
            stream.request_headers(life.request)
            stream.response_headers(life.response or [(b":status", b"200")])
            stream.finish()

        return self.packets(2, run)

    def packets(self, count: int, run: Callable[[], None]) -> list[bytes]:
        """Return the packets that *run* makes; other packets never come."""
        before = len(self._agent.packets)
        run()
        return self._agent.wait_for(before + count)[before:]

    def end(self) -> None:
        """End the configs; nothing but the packets that were seen came."""
        if not self.host.broken:
            for config in self._configs.values():
                config.end()


def begin(config: Config, life: Life) -> Stream:
    """Begin a stream with its attributes."""
    stream = config.stream()
    for number, text in (
        (PROTOCOL, life.protocol),
        (SOURCE, life.source),
        (DESTINATION, life.destination),
    ):
        stream.attribute(number, text)
    return stream


def check(packets: list[bytes], life: Life, **values_sent: Any) -> None:
    """Compare the packets of a life with what the runtime makes of it."""
    request, response = map(decoded, packets)
    assert 0 < request.timestamp <= response.timestamp
    for kind, message in ((REQUEST, request), (RESPONSE, response)):
        assert expected(kind, life, timestamp=message.timestamp, **values_sent) == message
