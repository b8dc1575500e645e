# SPDX-License-Identifier: Apache-2.0
"""A thousand streams in flight at once on each of two connections, which end in random ways."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import bootstrap as b
from .crowd import Crowd
from .envoy import Envoy
from .messages import Answer, Gate, Request
from .oracle import check, check_request
from .site import Site
from .upstream import Upstream
from .waiting import until

STREAMS = 1000
PATIENCE = 120.0  # seconds for what all of them do
# Envoy closes a connection that resets most of its streams early: that is not what is tested here.
RUNTIME = {"overload.premature_reset_total_stream_count": 1_000_000}
MANY = {"thresholds": [{"max_connections": 10_000, "max_requests": 10_000}]}
TIMEOUT = "0.1s"

TWO = (b"one", b"two")

# What the upstream does; it waits at the gate, before its answer or in the middle of it.
ENDINGS: dict[str, Callable[[Gate], Answer]] = {
    "finishes": lambda gate: Answer(wait=gate),
    "finishes with trailers": lambda gate: Answer(wait=gate, trailers=[(b"x-end", b"1")]),
    "finishes late": lambda gate: Answer(wait_in_body=gate, body=TWO),
    "upstream resets": lambda gate: Answer(wait=gate, reset="before_headers"),
    "upstream resets in the body": lambda gate: Answer(wait=gate, reset="in_body"),
    "times out": lambda gate: Answer(wait=gate),
    "client leaves": lambda gate: Answer(wait=gate),
    "client leaves in the request": lambda gate: Answer(wait=gate),
    "client leaves in the body": lambda gate: Answer(wait_in_body=gate, body=TWO),
    "connection ends": lambda gate: Answer(wait=gate),
    "connection ends in the body": lambda gate: Answer(wait_in_body=gate, body=TWO),
}
OPEN_REQUESTS = ("times out", "client leaves in the request")
STATUS = {
    "finishes": {200},
    "finishes with trailers": {200},
    "finishes late": {200},
    "upstream resets": {503},
    "upstream resets in the body": {200},
    "times out": {504},
    "client leaves": {0},
    "client leaves in the request": {0},
    "client leaves in the body": {200},
    "connection ends": {0},
    "connection ends in the body": {200},
}


@dataclass(frozen=True, slots=True)
class Member:
    """One stream of a crowd, which is in flight."""

    crowd: Crowd
    number: int
    ending: str
    name: str
    gate: Gate
    begins: bool  # its response begins by itself

    def end(self) -> None:
        """Let it end in its way; those that end with the connection do nothing yet."""
        if self.ending == "times out":
            self.crowd.finish(self.number)
        elif self.ending.startswith("client leaves"):
            self.crowd.leave(self.number)
        elif not self.ending.startswith("connection ends"):
            self.gate.open()

    @property
    def in_flight(self) -> bool:
        """Whether it is as far as it gets by itself."""
        got = self.crowd.streams[self.number]
        return not got.over and self.begins == (got.size > 0)


def begin(upstream: Upstream, crowd: Crowd, ending: str, name: str) -> Member:
    """Begin a stream of this ending."""
    gate = Gate()
    answer = ENDINGS[ending](gate)
    is_open = ending in OPEN_REQUESTS
    path = upstream.serve(answer)
    request = Request(
        method=b"POST" if is_open else b"GET",
        path=(b"/timeout" if ending == "times out" else b"") + path,
        headers=[(b"x-request-id", name.encode())],
    )
    number = crowd.open(request, ends=not is_open)
    return Member(crowd, number, ending, name, gate, answer.wait_in_body is not None)


def live(here: Site, dice: random.Random) -> list[Member]:
    """Let two crowds live and end; what they consisted of."""
    crowds = [Crowd(here.port) for _ in range(2)]
    members = []
    for number in range(STREAMS):
        for side, crowd in enumerate(crowds):
            ending = dice.choice(list(ENDINGS))
            members.append(begin(here.upstream, crowd, ending, f"{side}-{number}"))
            crowd.pump()

    def pumped(condition: Callable[[], bool]) -> Callable[[], bool]:
        def check_it() -> bool:
            for crowd in crowds:
                crowd.pump()
            return condition()

        return check_it

    begun = pumped(lambda: all(member.in_flight for member in members))
    until(begun, "the bodies' first bytes", seconds=PATIENCE)
    until(pumped(lambda: in_flight(here) == len(members)), "all upstream", seconds=PATIENCE)
    dice.shuffle(members)
    for member in members:
        member.end()
        if dice.random() < 0.1:
            member.crowd.pump()
    ended = pumped(lambda: left(members) == 0)
    until(ended, lambda: f"{left(members)} streams to end", seconds=PATIENCE)
    for crowd in crowds:
        crowd.close()
    return members


def in_flight(here: Site) -> int:
    """Streams that Envoy has sent on to the upstream."""
    return sum(here.envoy.stats(r"^cluster\.upstream\.upstream_rq_active$").values())


def left(members: list[Member]) -> int:
    """Count those that have not ended, though nothing but themselves keeps them."""
    return sum(
        not member.crowd.streams[member.number].over
        for member in members
        if not member.ending.startswith("connection ends")
    )


@pytest.fixture
def here(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> Site:
    """Give a listener of two workers, which take turns at new connections."""
    cluster = b.cluster("upstream", upstream.port, circuit_breakers=MANY)
    envoy = own_envoy(concurrency=2, clusters=[cluster], runtime=RUNTIME).start()
    here = Site(envoy, upstream, tmp_path, "crowd")
    timeout = {"cluster": "upstream", "timeout": TIMEOUT, "prefix_rewrite": "/"}
    forever = {"cluster": "upstream", "timeout": "0s"}
    return here.open(
        [here.filter(access={})],
        routes=[b.route("/timeout/", route=timeout), b.route(route=forever)],
        http={"http2_protocol_options": {"max_concurrent_streams": STREAMS}},
        top={"connection_balance_config": {"exact_balance": {}}},
    )


def test_two_crowds(here: Site) -> None:
    """Each stream has its two entries, the request's first, and they say what Envoy's log says."""
    members = live(here, random.Random(4))  # noqa: S311 (the same endings each time)
    told = {line["request_id"]: line for line in here.oracle(len(members))}
    here.envoy.stop()

    entries = [json.loads(line) for line in here.entries_path.read_text().splitlines()]
    kinds: dict[str, list[str]] = {}
    for entry in entries:
        kinds.setdefault(entry["request_id"], []).append(entry["kind"])
    assert {member.name: ["request", "response"] for member in members} == kinds
    assert told.keys() == kinds.keys()
    for entry in entries:
        line = told[entry["request_id"]]
        if entry["kind"] == "request":
            check_request(entry, line)
        else:
            check(entry, line, here.envoy.release)

    codes: dict[str, set[int]] = {}
    for member in members:
        codes.setdefault(member.ending, set()).add(told[member.name]["response_code"])
    assert codes == STATUS
    workers = {(entry["request_id"][0], entry["worker"]) for entry in entries}
    assert [0, 1] == sorted(worker for _, worker in workers)
