# SPDX-License-Identifier: Apache-2.0
"""Scenarios, profiles and targets: what ``scenarios.toml`` says, typed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from bench.trouble import Trouble, unknown

FILE = Path(__file__).with_name("scenarios.toml")


class Scenario(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A kind of traffic, and the variants that it is sent through. ``bare`` is always one."""

    about: str
    protocol: Literal["h1", "h2"] = "h1"
    upstream: bool = False
    """A second Envoy behind the first; else the first one answers by itself."""
    llm: bool = False
    """An upstream that streams as an LLM's API does; what is asked for is that, not the job."""
    headers: Literal["small", "large"] = "small"
    workers: int = 1
    connections: int = 8
    streams: int = 1
    """Requests that are under way at a time on each connection (HTTP/2)."""
    rate: int = 0
    """Requests a second of all connections; 0: as many as go (closed loop)."""
    requests: int = 2000
    """How many are sent at a time to count instructions, and to see that the work is done."""
    instructions: list[str] = []
    load: list[str] = []
    scaling: list[str] = []
    """Under load with one worker, and with two."""
    memory: dict[str, int] = {}
    """Requests by variant, over which its memory is watched."""
    idle: list[str] = []
    """Whose wake-ups are counted."""
    waits: list[tuple[str, str]] = []
    """Variants whose latency is compared with another one's."""
    computes: bool = False
    """A thread in Envoy computes all the time, so that CPU time is not the requests'."""

    def measures(self) -> dict[str, list[str]]:
        """Give the variants of each measure."""
        return {
            "instructions": self.instructions,
            "load": self.load,
            "scaling": self.scaling,
            "memory": list(self.memory),
            "idle": self.idle,
        }


class Profile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How much of it is run, and for how long."""

    about: str
    scenarios: list[str]
    rounds: int
    seconds: float
    """Of load, for each variant in each round."""
    variants: list[str] = []
    """Only these; none: all that the scenarios name."""


class Target(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A ratio of added instructions that is to hold."""

    name: str
    ours: str
    peer: str
    at_most: float
    cpu_at_most: float | None = None
    """The same of added CPU time; None: ours is only to be not slower."""


class Pair(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The same job in Envoy's process and in one beside it."""

    name: str
    ours: str
    peer: str


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What holds for each of ours."""

    memory_mib: float
    """Over the bare proxy, after the last request."""
    growth_mib: float
    """More than the bare proxy, from warm to the last request."""
    wakes: float
    """More than the bare proxy, each second."""
    moving: list[str] = []
    """Whose memory goes up and down with its queue, so that growth over one run tells nothing."""


class Plan(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file."""

    profiles: dict[str, Profile]
    scenarios: dict[str, Scenario]
    targets: list[Target]
    limits: Limits
    beside: list[Pair] = []

    def profile(self, name: str) -> Profile:
        """Give a profile; ``Trouble`` naming those that there are."""
        if name not in self.profiles:
            raise Trouble(unknown("profile", name, self.profiles))
        return self.profiles[name]

    def scenario(self, name: str) -> Scenario:
        """Give a scenario; ``Trouble`` naming those that there are."""
        if name not in self.scenarios:
            raise Trouble(unknown("scenario", name, self.scenarios))
        return self.scenarios[name]


def read(path: Path = FILE) -> Plan:
    """Read the file; ``Trouble`` naming the wrong key."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Plan)
    except msgspec.DecodeError as error:
        raise Trouble(f"{path.name}: {error}") from error
