# SPDX-License-Identifier: Apache-2.0
"""Envoy's container: stopped under load, short of memory, and with as few rights as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from e2e.clients import Http1
from e2e.messages import Request

from bench import h2load, scenarios, tools

from .config import FEW, STDOUT, access, bootstrap, cilium_sink
from .edge import Edge, Site, both, told
from .engine import until
from .traffic import Ports, Travellers

Show = Callable[[str], None]
MIB = 1 << 20
RINGS = 2 * 4 * MIB  # of two workers, as the docs say
SECOND = 1_000_000_000
CLIENTS = ["HTTP/1.1"] * 4 + ["HTTP/2"] * 2


def test_stopped_under_load(site: Site, each_image: str) -> None:
    """``docker stop`` loses no entry of an answered request, on stdout and at the agent."""
    agent = site.agent(each_image)
    edge = site.edge(each_image, bootstrap([access(STDOUT, cilium_sink())]), agent=True)
    ports = Ports()
    ports.add(edge.port())
    with Travellers(ports, CLIENTS) as travellers:
        travellers.wait_for(1000)
        assert 0 == edge.stop(20)
        travellers.join()
    assert len(CLIENTS) == len(travellers.failed)
    entries = told(edge.entries())
    assert {1} == {*entries.values()}
    assert not both(travellers.answered) - entries
    # Those that were not answered may have arrived: each client's last one.
    assert not entries - both(travellers.sent)
    assert len(travellers.sent) - len(travellers.answered) <= len(CLIENTS)
    ended = {name for kind, name in entries if kind == "response"}
    assert ended == {one["request_id"] for one in edge.oracle()}
    assert entries == told(agent.told(entries.total()))


def memory(edge: Edge) -> dict[str, int]:
    """Give what the engine measures of a container's memory."""
    found: Any = edge.container.stats(stream=False)
    return dict(found["memory_stats"])


def test_memory_limit(site: Site, image: str, show: Show) -> None:
    """256 MiB are enough for 200,000 requests, and each entry is written or counted as dropped."""
    tools.need("h2load")
    scenario = scenarios.read().scenario("h1-direct")
    config = bootstrap([access(STDOUT, fields=FEW)], oracle=False)
    workers = ["--concurrency", "2"]
    edge = site.edge(image, config, workers, mem_limit=256 * MIB, memswap_limit=256 * MIB)
    used = []
    for _ in range(4):
        h2load.send_all(scenario, edge.port(), 50_000)
        used.append(memory(edge))
    h2load.send(scenario, edge.port(), 1)  # what was dropped is told as streams end
    dropped = edge.dropped()
    assert {256 * MIB} == {one["limit"] for one in used}
    # The rings' memory is the kernel's until it is first written; nothing else may come.
    assert used[-1]["usage"] - used[0]["usage"] < RINGS + 8 * MIB
    assert 0 == edge.stop()
    assert not edge.state()["OOMKilled"]
    assert 2 * 200_001 == edge.count() + dropped
    told = ", ".join(f"{one['usage'] / MIB:.0f}" for one in used)
    show(f"200,000 requests in 256 MiB: used {told} MiB after each quarter; {dropped} dropped")


HARDENED: dict[str, dict[str, Any]] = {
    "read-only": {"read_only": True},
    "user": {"user": "12345:23456"},
    "cap-drop": {"cap_drop": ["ALL"]},
    "all": {
        "read_only": True,
        "user": "12345:23456",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    },
}


@pytest.mark.parametrize("how", HARDENED)
def test_hardened(site: Site, image: str, how: str) -> None:
    """With ``--read-only``, ``--user`` and ``--cap-drop ALL`` it becomes healthy and works."""
    options = HARDENED[how]
    edge = site.edge(image, healthcheck={"interval": SECOND}, **options)
    status = dict(line.split(":\t", 1) for line in edge.run("cat", "/proc/1/status").splitlines())
    user, group = options.get("user", "10001:10001").split(":")
    assert [user] * 4 == status["Uid"].split()
    assert [group] * 4 == status["Gid"].split()
    assert 0 == int(status["CapEff"], 16)
    if "cap_drop" in options:
        assert 0 == int(status["CapBnd"], 16)
    mounts = [line.split() for line in edge.run("cat", "/proc/mounts").splitlines()]
    (root,) = [mount for mount in mounts if mount[1] == "/"]
    assert options.get("read_only", False) == ("ro" in root[3].split(","))
    with Http1(edge.port()) as client:
        got = client.fetch(Request(path=b"/hardened", headers=[(b"x-request-id", b"one")]))
    assert 200 == got.status
    until(lambda: len(edge.entries("/hardened")) == 2, edge.stdout)
    assert ["request", "response"] == [one["kind"] for one in edge.entries("/hardened")]
    until(lambda: edge.state()["Health"]["Status"] == "healthy", edge.state)
    assert 0 == edge.stop()
