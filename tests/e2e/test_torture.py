# SPDX-License-Identifier: Apache-2.0
"""A filter that does anything, clients that leave: Envoy survives, and nothing is told twice."""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import h2.exceptions
import h11
import pytest

from . import bootstrap as b
from .bootstrap import HERE
from .clients import CLIENTS
from .envoy import Envoy
from .load import leave
from .messages import Answer, Request
from .site import Site
from .torture import ACTS, RARE
from .upstream import Upstream

SEED = 20
SECONDS = 30.0  # of traffic
CLIENTS_OF_A_SITE = {"HTTP/1.1": 2, "HTTP/2": 2, "gRPC": 1}
ANSWERS = (
    Answer(headers=[(b"x-a", b"up")], body=(b"a" * 1000, b"b" * 70_000), trailers=[(b"x-t", b"1")]),
    Answer(status=204, body=()),
    Answer(early=True, body=(b"early", b"late")),
    Answer(body=(b"a" * 100, b"b"), reset="in_body"),
    Answer(reset="before_headers"),
)
GONE = (OSError, h2.exceptions.ProtocolError, h11.ProtocolError, grpc.RpcError)


def some_request(name: bytes, paths: list[bytes], dice: random.Random) -> Request:
    """Give a request of any shape."""
    body = [b"x" * dice.choice((1, 3000, 40_000)) for _ in range(dice.randrange(3))]
    trailers = [(b"x-t", b"1")] if body and dice.random() < 0.4 else []
    return Request(
        method=b"POST" if body else b"GET",
        path=dice.choice(paths),
        headers=[(b"x-request-id", name), (b"x-a", b"1"), (b"te", b"trailers")],
        body=body,
        trailers=trailers,
    )


def names(prefix: str, end: float) -> Iterator[bytes]:
    """Give request ids until the time is over."""
    number = 0
    while time.monotonic() < end:
        yield f"{prefix}-{number}".encode()
        number += 1


def visit(port: int, protocol: str, paths: list[bytes], prefix: str, end: float) -> int:
    """Make exchanges, half of which are left by their client; give the number."""
    dice = random.Random(f"{SEED} {prefix}")  # noqa: S311 (the same each time)
    count, client = 0, CLIENTS[protocol](port)
    for name in names(prefix, end):
        count += 1
        request, whole = some_request(name, paths, dice), False
        with contextlib.suppress(*GONE):
            if dice.random() < 0.5:
                leave(client, request, dice.choice(("request", "before", "head", "body")), dice)
            else:
                got = client.fetch(request)
                whole = got.whole and got.get(b"connection") != b"close"
        if not whole or count % 50 == 0:
            with contextlib.suppress(*GONE):
                client.close()
            try:
                client = CLIENTS[protocol](port)
            except ConnectionRefusedError:  # Envoy is dead, which the test will tell
                break
    client.close()
    return count


def call(port: int, prefix: str, end: float) -> int:
    """Make gRPC calls, half of which are cancelled; give the number."""
    dice = random.Random(f"{SEED} {prefix}")  # noqa: S311 (the same each time)
    count = 0
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    for name in names(prefix, end):
        count += 1
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            method: grpc.StreamStreamMultiCallable[bytes, bytes]
            method = channel.stream_stream("/e2e.Echo/Stream")
            messages = iter([b"message"] * dice.randrange(1, 4))
            answers = method(messages, metadata=(("x-request-id", name.decode()),), timeout=5)
            with contextlib.suppress(grpc.RpcError, StopIteration):
                if dice.random() < 0.5:
                    if dice.random() < 0.5:
                        next(answers)
                    answers.cancel()
                else:
                    list(answers)
    return count


def open_site(site: Site, policy: str, more: list[b.Dict]) -> None:
    """Add a listener with the torturing filter; what nobody ends, Envoy ends after a second."""
    config = {
        "python_path": [str(HERE)],
        "instance": site.name,
        "on_error": policy,
        "seed": SEED,
        "tally": str(site.folder / f"{site.name}.tally"),
        "sinks": [{"type": "file", "path": str(site.entries_path)}],
    }
    route = {"cluster": "upstream", "timeout": "2s"}
    site.open(
        [b.py_filter("torture:Torture", config), *more],
        routes=[b.route(route=route)],
        http={"stream_idle_timeout": "1s", "request_timeout": "2s"},
    )


def check_told_once(site: Site) -> None:
    """Join Envoy's lines and our entries by request id: none has two of a kind."""
    lines = [json.loads(line) for line in site.oracle_path.read_text().splitlines()]
    entries = [json.loads(line) for line in site.entries_path.read_text().splitlines()]
    told = Counter(line["request_id"] for line in lines)
    requests = Counter(e["request_id"] for e in entries if e["kind"] != "response")
    responses = Counter(e["request_id"] for e in entries if e["kind"] == "response")

    assert set(told.values()) == {1}
    assert not [name for name, count in (requests | responses).items() if count > 1]
    assert requests.keys() <= told.keys()
    assert responses.keys() == told.keys()
    assert {0, 1} == {entry["worker"] for entry in entries}


def check_all_was_done(site: Site) -> None:
    """Each act was done in some hook, and in each hook something."""
    tally = json.loads((site.folder / f"{site.name}.tally").read_text())
    acts = {name.partition(": ")[2] for name in tally}
    hooks = {name.partition(": ")[0] for name in tally}

    assert {*ACTS, *RARE, "pause"} == acts
    assert hooks >= {
        *(f"{side} {part}" for side in ("request", "response") for part in ("headers", "body")),
        *("request trailers", "response trailers", "local reply", "stream complete"),
        *("on the worker", "in a thread", "too late"),
    }


@pytest.mark.long
def test_torture(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> None:
    """Two workers, HTTP/1.1, HTTP/2 and gRPC, a filter that denies and one that lets pass."""
    envoy = own_envoy(concurrency=2).start()
    sites = [Site(envoy, upstream, tmp_path, name) for name in ("deny", "allow")]
    open_site(sites[0], "deny", [])
    open_site(sites[1], "allow", [b.buffer(1 << 20)])
    paths = [*map(upstream.serve, ANSWERS), b"/bytes/300000", b"/"]
    end = time.monotonic() + SECONDS
    jobs = [
        (site, kind, f"{site.name}-{kind}-{number}")
        for site in sites
        for kind, count in CLIENTS_OF_A_SITE.items()
        for number in range(count)
    ]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [
            pool.submit(call, site.port, prefix, end)
            if kind == "gRPC"
            else pool.submit(visit, site.port, kind, paths, prefix, end)
            for site, kind, prefix in jobs
        ]
        counts = [one.result() for one in running]
    print(f"exchanges of each client: {counts}")

    assert envoy.alive, f"exit code {envoy.exit_code}: {envoy.log()[-3000:]}"
    for site in sites:
        for protocol in ("HTTP/1.1", "HTTP/2"):
            assert 200 == site.fetch(protocol, headers=[(b"x-calm", b"1")]).status
    envoy.stop()
    log = envoy.log()
    assert not [line for line in log.splitlines() if re.search(r"\[critical\]|assert", line)]
    for site in sites:
        check_told_once(site)
        check_all_was_done(site)
