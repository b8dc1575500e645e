# SPDX-License-Identifier: Apache-2.0
"""Configs that are replaced while requests come in: nothing is lost, nothing is left behind."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from . import bootstrap as b
from .bootstrap import HERE
from .envoy import Envoy
from .load import Steady
from .messages import Answer, Gate, Request
from .site import Site, whole_lines
from .upstream import Upstream
from .waiting import until


class Generations:
    """A site whose config is offered again and again; each config's instance tells which it is."""

    def __init__(self, site: Site) -> None:
        """*site* is not open yet."""
        self.site = site
        self.number = 0
        self.python_path = site.folder / "python.log"

    def offer(self) -> None:
        """Replace the config by the next one, with a file sink, a Python sink and a hook."""
        self.number += 1
        sinks = [
            {"type": "file", "path": str(self.site.entries_path), "ring_bytes": 8 << 20},
            {
                "type": "python",
                "sink": "filters:FileSink",
                "config": {"path": str(self.python_path)},
            },
        ]
        config = {"instance": f"generation{self.number}", "python_path": [str(HERE)]}
        access = {"sinks": sinks, "state": {"e2e.generation": str(self.number)}}
        hooks = {"on_request_headers": "stream.data['seen'] = True"}
        self.site.open([self.site.filter(hooks, access=access, config=config)])

    def entries(self) -> list[b.Dict]:
        """Read all entries of the file."""
        return [json.loads(line) for line in whole_lines(self.site.entries_path)]

    def records(self) -> list[b.Dict]:
        """Read all records that the Python sinks got."""
        batches = [ast.literal_eval(line) for line in whole_lines(self.python_path)]
        return [record for _, batch in batches for record in batch]


def by_kind(entries: list[b.Dict], kind: str) -> Counter[str]:
    """Count the entries of a kind by request id."""
    return Counter(entry["request_id"] for entry in entries if entry["kind"] == kind)


def replace(site: Site, times: int) -> None:
    """Replace the config so many times under load and compare what is there before and after."""
    envoy = site.envoy
    generations = Generations(site)
    generations.offer()
    site.fetch(headers=[(b"x-request-id", b"warm")])
    until(lambda: len(generations.records()) == 2, "the sinks")
    generations.offer()  # by now everything that a first config starts has been started
    before = settled(envoy)

    with Steady(lambda: site.port, clients=2) as load:
        for _ in range(times):
            generations.offer()
            load.wait_for_more()
    site.fetch(headers=[(b"x-request-id", b"last")])
    assert before == settled(envoy)

    envoy.stop()
    expected = Counter([*load.answered, "warm", "last"])
    told = Counter(json.loads(line)["request_id"] for line in whole_lines(site.oracle_path))
    entries = generations.entries()
    for found in (entries, generations.records()):
        assert told == by_kind(found, "request")
        assert expected <= by_kind(found, "response") <= told
    check_pairs(entries)
    assert times / 2 < len({entry["instance"] for entry in entries})


def check_pairs(entries: list[b.Dict]) -> None:
    """Both entries of a stream are from the config under which it began."""
    began = {e["request_id"]: e["instance"] for e in entries if e["kind"] == "request"}
    ended = {e["request_id"]: e["instance"] for e in entries if e["kind"] == "response"}
    assert ended == {name: began[name] for name in ended}


def settled(envoy: Envoy) -> tuple[list[str], list[str]]:
    """Wait until no old listener drains and no client is connected; give threads and files."""
    draining = "listener_manager.total_filter_chains_draining"
    until(lambda: envoy.stats(f"^{draining}$") == {draining: 0}, "drained filter chains")
    active = "http.updates.downstream_cx_active"
    until(lambda: envoy.stats(f"^{active}$").get(active, 0) == 0, "closed connections")
    last = steady_state(envoy)
    until(lambda: not _changes(envoy), lambda: (last, steady_state(envoy)))
    return steady_state(envoy)


def steady_state(envoy: Envoy) -> tuple[list[str], list[str]]:
    """Give the threads, and the open files without the sockets of connections."""
    files = [name for name in envoy.open_files() if not name.startswith("socket:")]
    return envoy.threads(), files


def _changes(envoy: Envoy) -> bool:
    first = steady_state(envoy)
    return any(steady_state(envoy) != first for _ in range(20))


@pytest.fixture
def updated(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> Site:
    """Give a site of an Envoy with two workers."""
    return Site(own_envoy(concurrency=2).start(), upstream, tmp_path, "updates")


def test_fifty_updates(updated: Site) -> None:
    """Fifty replacements under load: no entry lost or doubled, no thread or file left."""
    replace(updated, 50)


@pytest.mark.long
def test_two_thousand_updates(updated: Site) -> None:
    """The same, for minutes."""
    replace(updated, 2000)


def test_streams_in_flight(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, protocol: str
) -> None:
    """A stream that began under the old config ends under it, after many new ones came."""
    envoy = own_envoy(drain_seconds=60).start()
    updated = Site(envoy, upstream, tmp_path, "updates")
    generations = Generations(updated)
    generations.offer()
    gate = Gate()
    path = updated.upstream.serve(Answer(body=[b"one", b"two"], wait_in_body=gate))
    with updated.client(protocol) as client:
        client.open(Request(path=path, headers=[(b"x-request-id", b"old")]), ends=True)
        assert 200 == client.read_head().status
        for _ in range(5):
            generations.offer()
        updated.fetch(protocol, headers=[(b"x-request-id", b"new")])
        gate.open()
        got = client.finish()
    assert (b"onetwo", True) == (got.body, got.whole)
    until(lambda: len(generations.entries()) == 4, generations.entries)
    found = {
        (entry["request_id"], entry["kind"]): entry["instance"] for entry in generations.entries()
    }
    assert {
        ("old", "request"): "generation1",
        ("old", "response"): "generation1",
        ("new", "request"): "generation6",
        ("new", "response"): "generation6",
    } == found
    updated.envoy.stop()


def test_rejected_updates_leave_nothing(updated: Site) -> None:
    """Twenty rejected configs leave no thread and no file, and the old config goes on."""
    generations = Generations(updated)
    generations.offer()
    updated.fetch()
    generations.offer()
    before = settled(updated.envoy)
    good = updated.envoy.listeners[updated.name]
    sinks = [
        {"type": "file", "path": str(updated.folder / "never.json")},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": "/dev/null"}},
        {"type": "python", "sink": "filters:FileSink", "config": {}},  # its constructor raises
    ]
    for _ in range(20):
        config = {"python_path": [str(HERE)]}
        assert not updated.offer([updated.filter(access={"sinks": sinks}, config=config)])
        updated.envoy.listeners[updated.name] = good
    assert updated.envoy.apply()
    assert 200 == updated.fetch().status
    assert before == settled(updated.envoy)
    updated.envoy.stop()


def test_listeners_come_and_go(updated: Site) -> None:
    """A listener that is removed takes its threads and files along."""
    updated.open([])  # Envoy's own share of the first listener
    updated.fetch()
    empty = settled(updated.envoy)
    generations = Generations(updated)
    for _ in range(5):
        generations.offer()
        updated.fetch()
        updated.open([])
        updated.fetch()
    threads, files = settled(updated.envoy)
    # One flusher serves all sinks of the process; it may stay, with what wakes it.
    assert len(threads) - len(empty[0]) <= 1
    assert len(files) - len(empty[1]) <= 1
    assert not [name for name in files if name.endswith((".entries", "python.log"))]
    updated.envoy.stop()
