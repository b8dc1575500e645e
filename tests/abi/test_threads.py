# SPDX-License-Identifier: Apache-2.0
"""
Many streams on four workers at once, under ThreadSanitizer and under AddressSanitizer.

Nothing in the stub host orders the workers, so what orders the record lane is its own. Every entry
that is due is in the file, or counted as dropped; none is there twice.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from e2e.agent import Agent, socket_folder

from .configs import FILTERS, Config, Stream, read_entries
from .conftest import StartHost
from .host import PATIENCE, Event, Host

STREAMS = 400  # for each of four workers


def load(host: Host, config: Config, *, seed: int = 1, streams: int = STREAMS) -> Event:
    """Run a load to its end; what it says is due."""
    host("load", config.name, streams, seed)
    return joined(host)


def joined(host: Host) -> Event:
    """Wait for a load's end; log lines may come before what it says."""
    return next(event for event in host("join") if "requests" in event)


def due(*loads: Event) -> dict[str, int]:
    """Count the entries of both kinds that loads have to leave."""
    return {
        "request": sum(int(one["requests"]) for one in loads),
        "response": sum(int(one["responses"]) for one in loads),
    }


def written(path: Path) -> dict[str, int]:
    """Count the entries of a file, and check that none is there twice."""
    entries = read_entries(path)
    ids = Counter((e["kind"], e["instance"], e["request_id"]) for e in entries if "request_id" in e)
    assert [] == [one for one, count in ids.items() if count > 1]
    return dict(Counter(e["kind"] for e in entries))


def each_worker_is_in_order(path: Path) -> None:
    """Check that a worker's entries stand in the order in which it wrote them."""
    last: dict[int, int] = {}
    for entry in read_entries(path):
        if entry["kind"] == "request" and "request_id" in entry:
            number = int(entry["request_id"].split("-")[1])
            assert last.get(entry["worker"], -1) < number
            last[entry["worker"]] = number


def test_four_workers_one_file(start_tsan: StartHost) -> None:
    """One file, one flusher, four producers."""
    host = start_tsan(concurrency=4)
    config = Config.access(host)
    told = load(host, config)
    config.end()
    assert due(told) == written(config.log)
    each_worker_is_in_order(config.log)


def test_four_workers_with_statistics(start_tsan: StartHost) -> None:
    """Each stream has its own; what they add up to is whole."""
    host = start_tsan(concurrency=4)
    kept = {"key": "K", "metadata_namespace": "N", "fields": ["failed_open"]}
    hooks = {"on_request_headers": "pass", "on_response_headers": "pass"}
    config = Config.scripted(host, access=True, config={"statistics": kept}, **hooks)
    told = load(host, config)
    config.end()
    assert due(told) == written(config.log)
    stats = host.stats()
    assert 0 < stats["streams_started"] == stats["streams_closed"]
    assert stats["streams_started"] <= stats["stream_msgs_sent"] == stats["stream_msgs_received"]


def test_four_workers_under_asan(start: StartHost) -> None:
    """The same, with every borrowed byte freed after its hook."""
    host = start(concurrency=4)
    config = Config.access(host, state={"k": "%REQ(x-filler):20% %RESP(:status)%"})
    told = load(host, config, seed=7)
    config.end()
    assert due(told) == written(config.log)


def test_configs_come_and_go_under_load(start_tsan: StartHost) -> None:
    """New configs share the file, and end, while the workers write; one ends on another thread."""
    host = start_tsan(concurrency=4)
    config = Config.access(host)
    host("load", config.name, STREAMS, 3)
    others = []
    for number in range(8):
        sinks = [{"type": "file", "path": str(config.log), "ring_bytes": 65536 << number % 2}]
        other = Config.access(host, sinks=sinks)
        other.end(thread="@x" if number % 2 else "")
        others.append(other)
    told = joined(host)
    config.end()
    assert due(told) == written(config.log)


def test_rings_of_two_sizes_and_one_file(start_tsan: StartHost) -> None:
    """Rings of two sizes empty into one file, line by line."""
    host = start_tsan(concurrency=4)
    old = Config.access(host)
    file = {"type": "file", "path": str(old.log), "ring_bytes": 2 << 20}
    new = Config.access(host, sinks=[file])
    loads = [load(host, config, seed=5, streams=STREAMS // 2) for config in (old, new)]
    old.end()
    new.end()
    counts = dict(Counter(e["kind"] for e in read_entries(old.log)))
    assert due(*loads) == counts


def test_small_rings_drop_and_count(start_tsan: StartHost) -> None:
    """A FIFO that nobody reads: rings fill up; later entries are dropped, each is counted."""
    host = start_tsan(concurrency=4)
    fifo = host.folder / "fifo"
    os.mkfifo(fifo)
    config = Config.access(host, sinks=[{"type": "file", "path": str(fifo), "ring_bytes": 65536}])
    told = load(host, config)
    counts = config.counts()
    kept = counts["entries_request"] + counts["entries_response"]
    assert counts["dropped_ring_full"] > 0
    assert sum(due(told).values()) == kept + counts["dropped_ring_full"]
    with ThreadPoolExecutor() as pool:
        text = pool.submit(fifo.read_bytes)  # opens it, and reads until the flusher closes it
        config.end()
        assert kept == text.result(PATIENCE).count(b"\n")


def test_ring_that_wraps(start_tsan: StartHost) -> None:
    """A ring far smaller than what goes through it: what it could not take is counted."""
    host = start_tsan(concurrency=4)
    log = host.folder / "log"
    config = Config.access(host, sinks=[{"type": "file", "path": str(log), "ring_bytes": 65536}])
    told = load(host, config)
    counts = config.counts()
    config.end()
    dropped = counts.get("dropped_ring_full", 0)
    assert sum(due(told).values()) == sum(written(log).values()) + dropped


def test_rotation_under_load(start_tsan: StartHost) -> None:
    """The file is moved away while the workers write: nothing is lost, no line is torn."""
    host = start_tsan(concurrency=4)
    config = Config.access(host)
    host("load", config.name, STREAMS, 11)
    parts = []
    for number in range(5):
        moved = config.log.with_suffix(f".{number}")
        if config.log.exists():
            config.log.rename(moved)
            parts.append(moved)
    told = joined(host)
    config.end()
    total: Counter[str] = Counter()
    for part in [*parts, config.log]:
        total.update(written(part))
    assert due(told) == dict(total)


def test_python_sink_and_file_sink(start_tsan: StartHost) -> None:
    """Two sinks get every entry each; the Python one on its own thread."""
    host = start_tsan(concurrency=4)
    target = host.folder / "records"
    config = Config.access(host)
    config.end()
    both: list[dict[str, Any]] = [
        {"type": "file", "path": str(config.log)},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": str(target)}},
    ]
    two = Config.access(host, sinks=both, python_path=[str(FILTERS)])
    assert two.accepted, two.events
    told = load(host, two, streams=STREAMS // 4)
    two.end()
    counts = due(told)
    assert counts == written(config.log)
    text = target.read_text()
    assert counts == {kind: text.count(f"'kind': '{kind}'") for kind in counts}


def test_file_agent_and_python_sink(start_tsan: StartHost) -> None:
    """All kinds of sinks at once; the agent is killed and started again meanwhile."""
    host = start_tsan(concurrency=4)
    target = host.folder / "records"
    log = host.folder / "lines"
    with socket_folder() as folder, Agent(folder / "agent.sock") as agent:
        sinks: list[dict[str, Any]] = [
            {"type": "file", "path": str(log), "ring_bytes": 4 << 20},
            {"type": "cilium", "socket": agent.path, "ring_bytes": 4 << 20},
            {"type": "python", "sink": "filters:FileSink", "config": {"path": str(target)}},
        ]
        config = Config.access(host, sinks=sinks, python_path=[str(FILTERS)])
        assert config.accepted, config.events
        loads = []
        for seed in range(3):
            before = len(agent.packets)
            host("load", config.name, STREAMS // 12, seed)
            agent.wait_for(before + 1)
            agent.kill()
            agent.start()
            loads.append(joined(host))
        counts = due(*loads)
        config.end()
        assert sum(counts.values()) == len(agent.packets) == len(set(agent.packets))
    assert counts == dict(Counter(e["kind"] for e in read_entries(log)))
    text = target.read_text()
    assert counts == {kind: text.count(f"'kind': '{kind}'") for kind in counts}


def test_python_hooks_on_four_workers(start_tsan: StartHost) -> None:
    """Python under load on all workers, with notes in each record."""
    host = start_tsan(concurrency=4)
    config = Config.scripted(
        host,
        access=True,
        on_request_headers="stream.record.note('path', stream.request_headers.get(':path'))",
        on_stream_complete="stream.record.note('worker', stream.worker_index)",
    )
    assert config.accepted, config.events
    told = load(host, config, streams=STREAMS // 4)
    entries = config.entries()
    assert due(told) == dict(Counter(e["kind"] for e in entries))
    responses = [e for e in entries if e["kind"] == "response"]
    assert [e["worker"] for e in responses] == [e["notes"]["worker"] for e in responses]


def test_woken_from_threads_while_it_ends(start_tsan: StartHost) -> None:
    """Threads resume streams that complete and are destroyed at the same time."""
    host = start_tsan(concurrency=4)
    config = Config.scripted(
        host,
        access=True,
        on_request_headers="""
            for _ in range(3):
                in_thread(stream.resume_request)
            return PAUSE
        """,
    )
    assert config.accepted, config.events
    for number in range(60):
        stream: Stream = config.stream(worker=number % 4)
        assert stream.request_headers() in (0, 1)
        stream.finish()
    assert 2 * 60 == len(config.entries())
    assert 0 == host.idle()["schedulers"]


def test_memory_stays_flat(start: StartHost) -> None:
    """Twice as many streams need no more memory, in C or in Python."""
    host = start(concurrency=2)
    config = Config.scripted(
        host,
        access=True,
        on_request_headers="stream.record.note('a', 'b' * 2000)\nstream.data['x'] = 1",
        on_response_headers="return PASS",
    )
    assert config.accepted, config.events
    used = []
    for seed in range(1, 6):
        load(host, config, seed=seed, streams=150)
        used.append(int(next(e["bytes"] for e in host("memory") if "bytes" in e)))
    assert used[-1] - used[2] < 60_000, used
    config.end()
