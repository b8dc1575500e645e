# SPDX-License-Identifier: Apache-2.0
"""Ten thousand requests, half of them left by their clients: our entries and Envoy's log agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import bootstrap as b
from .envoy import Envoy
from .load import EXCHANGES_OF_A_CONNECTION, HUGE, SIZES, shoot
from .oracle import UNKNOWN, check, check_request
from .site import Site
from .upstream import Upstream

LARGEST_REQUEST = 1 << 17


def origin(path: Path) -> b.Dict:
    """Give a listener that is the upstream: Envoy answers faster than Python could."""
    routes = [
        b.direct(f"/bytes/{size}", body="y" * size) for size in sorted((*SIZES, HUGE), reverse=True)
    ]
    return b.listener(
        "origin",
        filters=[b.buffer(LARGEST_REQUEST), b.fault(delay={"header_delay": {}})],
        routes=routes,
        route_config={"max_direct_response_body_size_bytes": HUGE},
        top={"address": {"pipe": {"path": str(path)}}},
    )


def numbers(entries: list[b.Dict]) -> Counter[str]:
    """Count entries by request id."""
    return Counter(entry["request_id"] for entry in entries)


def run(envoy: Envoy, upstream: Upstream, folder: Path, count: int) -> None:
    """Make *count* exchanges, end Envoy, and compare the two logs stream by stream."""
    envoy.start()
    envoy.listeners["origin"] = origin(folder / "origin")
    here = Site(envoy, upstream, folder, "counts")
    here.open([here.filter(access={})])

    clients = [("HTTP/1.1", 6), ("HTTP/2", 2)]
    jobs = [(kind, number) for kind, threads in clients for number in range(threads)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        found = [
            pool.submit(
                shoot, here.port, 1000 + n, count // len(jobs), kind, prefix=f"{kind[5:]}-{n}"
            )
            for n, (kind, _) in enumerate(jobs)
        ]
        shots = [one.result() for one in found]
    envoy.stop()

    finished = {name for one in shots for name in one.finished}
    left = {name for one in shots for name in one.left}
    compare(here, finished, left)


def compare(here: Site, finished: set[str], left: set[str]) -> None:
    """Join Envoy's lines and our entries by request id."""
    lines = [json.loads(line) for line in here.oracle_path.read_text().splitlines()]
    told = {line["request_id"]: line for line in lines}
    entries = [json.loads(line) for line in here.entries_path.read_text().splitlines()]
    requests = [entry for entry in entries if entry["kind"] == "request"]
    responses = [entry for entry in entries if entry["kind"] == "response"]

    assert len(entries) == len(requests) + len(responses)
    assert len(told) == len(lines)
    assert finished <= told.keys() <= finished | left
    # Half of the clients leave. Those that reset at once may be gone before Envoy reads a byte.
    assert 0.4 < len(left) / len(left | finished) < 0.6
    assert len(left - told.keys()) < len(left) / 4
    assert Counter(told.keys()) == numbers(requests)
    assert Counter(told.keys()) == numbers(responses)
    for entry in requests:
        check_request(entry, told[entry["request_id"]])
    for entry in responses:
        check(entry, told[entry["request_id"]], here.envoy.release)
    assert {0, 1} == {entry["worker"] for entry in entries}
    if "response_flags" not in UNKNOWN[here.envoy.release]:
        assert {"-", "DC"} <= {entry["response_flags"] for entry in responses}


@pytest.fixture
def two_workers(own_envoy: Callable[..., Envoy], tmp_path: Path) -> Envoy:
    """Give an Envoy whose upstream is its own second listener."""
    origin_cluster = b.cluster(
        "upstream",
        pipe=tmp_path / "origin",
        common={"max_requests_per_connection": EXCHANGES_OF_A_CONNECTION},
    )
    return own_envoy(concurrency=2, clusters=[origin_cluster])


def test_ten_thousand(two_workers: Envoy, upstream: Upstream, tmp_path: Path) -> None:
    """Two workers, both protocols, mixed sizes, half of the clients leave: nothing is amiss."""
    run(two_workers, upstream, tmp_path, 10_000)


@pytest.mark.long
def test_hundred_thousand(two_workers: Envoy, upstream: Upstream, tmp_path: Path) -> None:
    """The same, for a minute."""
    run(two_workers, upstream, tmp_path, 100_000)
