# SPDX-License-Identifier: Apache-2.0
"""Sinks in trouble, under ASan: no entry is torn, lost unseen, or written twice."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .configs import FILTERS, Config, read_entries
from .conftest import MakeConfig
from .host import PATIENCE, Host


def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline


def in_file(host: Host, access: MakeConfig, path: Path) -> Config:
    """Load an access filter that writes to *path*."""
    sinks = [{"type": "file", "path": str(path), "ring_bytes": 65536}]
    return access(host, sinks=sinks)


def told(host: Host, *texts: str) -> bool:
    """Whether a log line with these texts has come; other threads' lines come with any command."""
    host("stats")
    return any(all(text in line for text in texts) for line in host.logged)


def test_disk_that_is_full(host: Host, access: MakeConfig) -> None:
    """Entries wait while nothing can be written, and are written when it can."""
    path = host.folder / host.name("full")
    path.symlink_to("/dev/full")
    config = in_file(host, access, path)
    config.stream().exchange()
    until(lambda: told(host, str(path), "cannot be written"))
    link = path.with_suffix(".new")
    link.symlink_to(config.log)
    config.log.touch()
    link.rename(path)
    config.stream().exchange()
    config.end()
    assert ["request", "response"] * 2 == [e["kind"] for e in read_entries(config.log)]


def test_sink_that_never_recovers(host: Host, access: MakeConfig) -> None:
    """At the config's end the rest is tried for a while, then given up, and the log says so."""
    path = host.folder / host.name("full")
    path.symlink_to("/dev/full")
    config = in_file(host, access, path)
    config.stream().exchange()
    config.end()
    assert told(host, f"{path}: 2 entries were not delivered")
    other = in_file(host, access, host.folder / host.name("log"))
    other.stream().exchange()
    assert "dropped_sink" not in other.counts()
    sinks = [{"type": "file", "path": str(other.log), "ring_bytes": 65536}]
    access(host, instance=config.name, sinks=sinks).stream().exchange()
    assert 2 == config.stat("dropped_sink")


def test_folder_that_comes_later(host: Host, access: MakeConfig) -> None:
    """The folder was taken away after the config was loaded, and comes back."""
    folder = host.folder / host.name("folder")
    folder.mkdir()
    config = in_file(host, access, folder / "log")
    until((folder / "log").exists)
    (folder / "log").unlink()
    folder.rmdir()
    config.stream().exchange()
    until(lambda: told(host, str(folder), "cannot be opened"))
    folder.mkdir()
    config.end()
    assert ["request", "response"] == [e["kind"] for e in read_entries(folder / "log")]


def test_reader_that_leaves_and_another_that_comes(host: Host, access: MakeConfig) -> None:
    """A FIFO: what the first reader did not get, the second one does; each line is whole."""
    fifo = host.folder / host.name("fifo")
    os.mkfifo(fifo)
    config = in_file(host, access, fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    config.stream().exchange()
    first = b""
    while first.count(b"\n") < 2:
        assert select.select([reader], [], [], PATIENCE)[0]
        first += os.read(reader, 65536)
    os.close(reader)
    config.stream().exchange()
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(fifo.read_bytes)
        config.end()
        second = rest.result(PATIENCE)
    kinds = [json.loads(line)["kind"] for line in (first + second).splitlines()]
    assert ["request", "response"] * 2 == kinds


def test_reader_that_is_slow(host: Host, access: MakeConfig) -> None:
    """More than a pipe holds, and a long line: nothing is torn when the reader comes at last."""
    fifo = host.folder / host.name("fifo")
    os.mkfifo(fifo)
    sinks = [{"type": "file", "path": str(fifo), "ring_bytes": 1 << 20}]
    config = access(host, sinks=sinks, log={"aborted": False})
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    for _ in range(20):
        stream = config.stream()
        stream.request_headers(((":method", "GET"), ("x-long", "a" * 20_000)))
        stream.finish()
    with ThreadPoolExecutor() as pool:
        os.set_blocking(reader, True)
        with os.fdopen(reader, "rb") as file:
            text = pool.submit(file.read)
            config.end()
            lines = text.result(PATIENCE).splitlines()
    lengths = [len(json.loads(line)["request_headers"]["x-long"]) for line in lines]
    assert [20_000] * 20 == lengths


def records(path: Path) -> list[str]:
    """Return the lines that ``FileSink`` wrote."""
    return path.read_text().splitlines() if path.exists() else []


def with_python_sink(host: Host, target: Path, **config: str) -> Config:
    """Load an access filter with a Python sink."""
    whole = {"path": str(target), **config}
    sink = {"type": "python", "sink": "filters:FileSink", "config": whole}
    return Config.access(host, sinks=[sink], python_path=[str(FILTERS)])


def test_python_sink_that_raises(host: Host) -> None:
    """Its entries are counted as dropped, the traceback is in the log once, the thread ends."""
    target = host.folder / host.name("sink")
    config = with_python_sink(host, target, fail=f"no space for {target}")
    assert config.accepted, config.events
    for _ in range(3):
        config.stream().exchange()
    until(lambda: _dropped(config) >= 6)
    config.end()
    assert ["('closed', [])"] == records(target)
    assert 1 == sum(f"no space for {target}" in line for line in host.logged)
    name = f"sink {config.name} filters:FileSink failed; later failures are only counted"
    assert 1 == sum(name in line for line in host.logged)
    assert config.counts()["sink_errors"] >= 1
    host.idle()


def _dropped(config: Config) -> int:
    """Let a stream end, which publishes what was counted elsewhere; how much was dropped."""
    config.stream().finish()  # neither request nor response: no entry of its own
    return config.counts().get("dropped_sink", 0)
