# SPDX-License-Identifier: Apache-2.0
"""Stub hosts for the tests, under sanitizers; each test gets configs of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.agent import Agent, socket_folder

from .builds import RELEASES, Build, build_module, build_parts, build_sinks, build_stub
from .cilium_wire import Wire
from .clocked import Clocked
from .configs import Config
from .host import Host
from .sinks import Sinks

StartHost = Callable[..., Host]
MakeConfig = Callable[..., Config]
Clock = Callable[..., Clocked]


@pytest.fixture(scope="session")
def plain_build() -> Build:
    """Build the shared object as a wheel has it."""
    return build_module("")


@pytest.fixture(scope="session")
def asan_build() -> Build:
    """Build the shared object with AddressSanitizer and UndefinedBehaviorSanitizer."""
    return build_module("address,undefined")


@pytest.fixture(scope="session")
def tsan_build() -> Build:
    """Build the shared object with ThreadSanitizer."""
    return build_module("thread")


class Hosts:
    """Starts hosts of one build, and ends them."""

    def __init__(self, build: Build, folder: Path) -> None:
        """Keep each host's files in a folder of its own."""
        self._build = build
        self._folder = folder
        self._started: list[Host] = []

    def __call__(self, release: str = "1.40", **settings: int) -> Host:
        """Start a host like that Envoy release."""
        executable = build_stub(self._build.sanitize, release)
        where = self._folder / f"host{len(self._started)}"
        where.mkdir()
        self._started.append(Host(self._build, executable, where, **settings))
        return self._started[-1]

    def end(self) -> None:
        """End them all, with the configs that are left in them."""
        for host in self._started:
            host.tidy()
            host.end()


@pytest.fixture
def start(asan_build: Build, tmp_path: Path) -> Iterator[StartHost]:
    """Start hosts for one test, under ASan and UBSan: ``start("1.38", validation=1)``."""
    hosts = Hosts(asan_build, tmp_path)
    yield hosts
    hosts.end()


@pytest.fixture
def start_tsan(tsan_build: Build, tmp_path: Path) -> Iterator[StartHost]:
    """Start hosts for one test, under TSan."""
    hosts = Hosts(tsan_build, tmp_path)
    yield hosts
    hosts.end()


class SharedHosts:
    """One host for each release that many tests use; one that broke is replaced."""

    def __init__(self, hosts: Hosts) -> None:
        """Start nothing yet."""
        self._hosts = hosts
        self._running: dict[str, Host] = {}

    def get(self, release: str) -> Host:
        """Return the host of that release."""
        host = self._running.get(release)
        if host is None or host.broken:
            host = self._running[release] = self._hosts(release, concurrency=2)
        return host

    def tidy(self) -> None:
        """End what a test left in them."""
        for host in self._running.values():
            host.tidy()


@pytest.fixture(scope="session")
def shared_hosts(
    asan_build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedHosts]:
    """Start hosts for all tests, under ASan and UBSan."""
    hosts = Hosts(asan_build, tmp_path_factory.mktemp("hosts"))
    yield SharedHosts(hosts)
    hosts.end()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave a shared host to the next test without anything of this one."""
    uses = "shared_hosts" in request.fixturenames
    hosts: SharedHosts | None = request.getfixturevalue("shared_hosts") if uses else None
    yield
    if hosts is not None:
        hosts.tidy()


@pytest.fixture
def host(shared_hosts: SharedHosts) -> Host:
    """Return a running host like Envoy 1.40 with two workers."""
    return shared_hosts.get("1.40")


@pytest.fixture(params=RELEASES)
def each_host(shared_hosts: SharedHosts, request: pytest.FixtureRequest) -> Host:
    """Return a running host like each release in turn."""
    return shared_hosts.get(request.param)


def _accepted(config: Config) -> Config:
    assert config.accepted, config.events
    return config


@pytest.fixture
def access() -> MakeConfig:
    """Load an access filter: ``access(host, log={...})``."""
    return lambda host, **config: _accepted(Config.access(host, **config))


@pytest.fixture
def scripted() -> MakeConfig:
    """Load a filter with hooks: ``scripted(host, on_request_headers="return Reply(403)")``."""
    return lambda host, **config: _accepted(Config.scripted(host, **config))


@pytest.fixture
def clocked(host: Host, scripted: MakeConfig) -> Iterator[Clock]:
    """Load a filter with these hooks: ``clocked(on_request_headers=TICK)``."""
    used = {host}

    def make(on: Host = host, config: Any = None, **hooks: str) -> Clocked:
        used.add(on)
        return Clocked(on, scripted, config or {}, hooks)

    yield make
    for one in used:
        one("set", "monotonic_us", 0)


@pytest.fixture(scope="module")
def wire(asan_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Start a host and a listener."""
    hosts = Hosts(asan_build, tmp_path_factory.mktemp("cilium"))
    with socket_folder() as folder, Agent(folder / "agent", buffer=1 << 18) as agent:
        made = Wire(hosts(), agent)
        yield made
        made.end()
        hosts.end()


@pytest.fixture(scope="session", params=["address,undefined", "thread"])
def program(request: pytest.FixtureRequest) -> Path:
    """Build the program with either set of sanitizers."""
    return build_sinks(request.param)


@pytest.fixture
def sinks(program: Path, tmp_path: Path) -> Iterator[Sinks]:
    """Start the program for one test."""
    started = Sinks(program, tmp_path / "log")
    yield started
    started.end()


@pytest.fixture(scope="session")
def parts() -> ctypes.CDLL:
    """Build functions of the record lane as a library."""
    library = ctypes.CDLL(str(build_parts()))
    for name in ("part_text", "part_flags", "part_look", "part_label"):
        getattr(library, name).restype = ctypes.c_size_t
    library.part_decimal.restype = ctypes.c_bool
    library.part_rules_new.restype = ctypes.c_void_p
    library.part_seen_new.restype = library.part_seen_get.restype = ctypes.c_void_p
    library.part_flags.argtypes = (ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t)
    return library


@pytest.fixture
def path() -> Iterator[Path]:
    """Give a path for the socket, where nobody listens yet."""
    with socket_folder() as folder:
        yield folder / "agent.sock"


@pytest.fixture
def agent(path: Path) -> Iterator[Agent]:
    """Give the agent, which listens."""
    with Agent(path) as one:
        yield one
