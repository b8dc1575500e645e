# SPDX-License-Identifier: Apache-2.0
"""A filter with statistics, under a clock that stands still but where a hook's text moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .configs import Config, Stream
from .host import Host, Pairs

FIRST_US = 1000  # where the clock stands when a stream begins
TICK = "stream.add_custom_flag('tick')"  # the clock is set inside of that callback


class Clocked:
    """A config whose streams keep statistics, and the workers' clock."""

    def __init__(
        self, host: Host, scripted: Callable[..., Config], config: Any, hooks: dict[str, str]
    ) -> None:
        """Stop the clock."""
        self.host = host
        self.prefix = host.name("p")  # stats of a shared host are everybody's
        statistics = {
            "key": "K",
            "metadata_namespace": "N",
            "fields": ["failed_open", "request_header_latency_us", "destination"],
            "stat_prefix": self.prefix,
        }
        whole = {"statistics": statistics, **config}
        self.config = scripted(host, config=whole, **hooks)
        self.destination = "filters:" + "__".join(["Scripted", *sorted(hooks)])
        self.now = FIRST_US
        self.set(self.now)

    def set(self, now: int) -> None:
        """Set the clock between two hooks."""
        self.now = now
        self.host("set", "monotonic_us", now)

    def stream(self, tick: int = 0) -> Stream:
        """Begin a stream whose first TICK takes so many microseconds."""
        stream = self.config.stream()
        if tick:
            self.tick(stream, tick)
        return stream

    def tick(self, stream: Stream, by: int) -> None:
        """Let the next TICK of the stream take so many microseconds; ticks add up until then."""
        self.now += by
        self.host.line(f"when {stream.name} add_custom_flag @0 set monotonic_us {self.now}")

    def line(self, stream: Stream) -> str:
        """Complete a stream and return its line, without the destination at its end."""
        stream.complete()
        line = str(stream.state()["K"])
        stream.destroy()
        return line.removesuffix(f",ds:{self.destination}")

    def typed(self, stream: Stream) -> dict[str, Any]:
        """Complete a stream and return its object."""
        stream.complete()
        state = stream.state()
        stream.destroy()
        return {key.removeprefix("N/"): value for key, value in state.items() if "N/" in key}

    def counted(self) -> dict[str, int]:
        """Return the counters that are not 0."""
        prefix = f"{self.prefix}."
        found = self.host.stats().items()
        return {name[len(prefix) :]: n for name, n in found if name.startswith(prefix) and n}


def size(pairs: Pairs) -> int:
    """Count the bytes of a header map."""
    return sum(len(str(name)) + len(str(value)) for name, value in pairs)
