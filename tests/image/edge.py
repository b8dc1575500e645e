# SPDX-License-Identifier: Apache-2.0
"""An Envoy in a container and the agent beside it, as the tests of traffic see them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from docker.models.volumes import Volume
from e2e.bootstrap import Dict

from .config import ADMIN, PORT, SOCKET, SOCKET_FOLDER
from .engine import Box, Engine, until

DROPPED = ("dropped_ring_full", "dropped_queue_full", "dropped_too_large", "dropped_sink")
SOON = ("--file-flush-interval-msec", "100")  # for Envoy's own access log
Names: TypeAlias = "Counter[tuple[str, str]]"


def told(entries: Iterable[Dict]) -> Names:
    """Count entries by their kind and their request's id."""
    return Counter((one["kind"], one["request_id"]) for one in entries)


def both(names: Iterable[str]) -> Names:
    """Give what has to be told of these requests: each entry once."""
    return Counter((kind, name) for name in names for kind in ("request", "response"))


class Logged(Box):
    """A container that writes entries to its stdout."""

    def count(self) -> int:
        """Count the lines of its stdout, over all its runs."""
        return bytes(self.container.logs(stdout=True, stderr=False)).count(b"\n")

    def told(self, count: int = 0) -> list[Dict]:
        """Give its entries, once there are *count* of them at least."""
        until(lambda: self.count() >= count, lambda: f"{count} entries, got {self.count()}")
        return self.entries()


class Agent(Logged):
    """A container with ``envoy-pyfilter tail``, which listens on the socket of the volume."""

    def listens(self, times: int = 1) -> Agent:
        """Wait until it listens for the so many-th time."""
        until(lambda: self.running() and self.log().count("Listening on ") == times, self.log)
        return self


class Edge(Logged):
    """An Envoy whose admin interface is published, too."""

    def stat(self, name: str) -> int:
        """Give a counter or gauge whose name ends so; 0 while Envoy doesn't show it."""
        page = self.admin(f"/stats?format=json&filter={re.escape(name)}$")
        found = json.loads(page)["stats"]
        return sum(one["value"] for one in found if one.get("name", "").endswith(name))

    def dropped(self) -> int:
        """Sum up what was dropped, by whatever reason."""
        return sum(self.stat(f"access.{name}") for name in DROPPED)

    def admin(self, path: str, method: str = "GET", port: int = ADMIN) -> str:
        """Ask Envoy's admin interface from outside."""
        url = f"http://127.0.0.1:{self.port(port)}{path}"
        asked = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 (loopback)
            return str(answer.read().decode())

    def is_live(self) -> bool:
        """Tell whether Envoy says that it takes requests."""
        try:
            return "LIVE" in self.admin("/ready")
        except OSError:
            return False

    def oracle(self, count: int = 0) -> list[Dict]:
        """Give Envoy's own access log, once it has *count* lines at least."""

        def found() -> list[str]:
            return [line for line in self.log().splitlines() if line.startswith("{")]

        until(lambda: len(found()) >= count, lambda: f"{count} lines, got {len(found())}")
        return [json.loads(line) for line in found()]


class Site:
    """What a test starts on the engine: Envoys and agents that share a volume for the socket."""

    def __init__(self, engine: Engine) -> None:
        """Make the volume when it is first used."""
        self._engine = engine
        self._volume: Volume | None = None

    def _mounted(self) -> Dict:
        if self._volume is None:
            self._volume = self._engine.volume()
        return {self._volume.name: {"bind": SOCKET_FOLDER, "mode": "rw"}}

    def agent(self, image: str, *arguments: str) -> Agent:
        """Start an agent, and wait until it listens."""
        command = ["tail", "--socket", SOCKET, "--json", *arguments]
        box = self._engine.run(
            image, command, entrypoint=["envoy-pyfilter"], volumes=self._mounted()
        )
        return Agent(box.container).listens()

    def edge(
        self,
        image: str,
        config: Dict | None = None,
        arguments: Sequence[str] = (),
        *,
        agent: bool = False,
        **options: Any,
    ) -> Edge:
        """
        Start an Envoy with *config*, or the image's own, and wait until it answers.

        *arguments* are Envoy's; *agent*: it sees the agents' socket; *options* are the engine's.
        """
        if config is not None:
            options["files"] = {"/etc/envoy/envoy.yaml": json.dumps(config)}
            arguments = [*SOON, *arguments]
        if agent:
            options["volumes"] = self._mounted()
        box = self._engine.run(image, arguments, **{"ports": [PORT, ADMIN], **options})
        edge = Edge(box.container)
        if config is None:  # its admin interface is the container's own
            edge.ready()
        else:
            until(lambda: edge.running() and edge.is_live(), edge.log)
        return edge
