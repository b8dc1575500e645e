# SPDX-License-Identifier: Apache-2.0
"""Stub hosts for the tests, under sanitizers; each test gets configs of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .builds import RELEASES, Build, build_module, build_stub
from .configs import Config
from .host import Host

StartHost = Callable[..., Host]
MakeConfig = Callable[..., Config]


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
        """End them all; those that broke have been reported already."""
        for host in self._started:
            if not host.broken:
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


@pytest.fixture(scope="session")
def shared_hosts(
    asan_build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedHosts]:
    """Start hosts for all tests, under ASan and UBSan."""
    hosts = Hosts(asan_build, tmp_path_factory.mktemp("hosts"))
    yield SharedHosts(hosts)
    hosts.end()


@pytest.fixture
def host(shared_hosts: SharedHosts) -> Host:
    """Return a running host like Envoy 1.40 with two workers."""
    return shared_hosts.get("1.40")


@pytest.fixture(params=RELEASES)
def each_host(shared_hosts: SharedHosts, request: pytest.FixtureRequest) -> Host:
    """Return a running host like each release in turn."""
    return shared_hosts.get(request.param)


class Configs:
    """Makes a test's configs, and ends them; in between they are the host's only ones."""

    def __init__(self) -> None:
        """Start without any."""
        self._made: list[Config] = []

    def __call__(self, config: Config) -> Config:
        """Take care of a config's end."""
        self._made.append(config)
        assert config.accepted, config.events
        return config

    def end(self) -> None:
        """End them, unless their host is broken."""
        for config in self._made:
            if not config.host.broken and not config.host.ended:
                config.end()


@pytest.fixture
def configs() -> Iterator[Configs]:
    """Take care of the configs of a test."""
    made = Configs()
    yield made
    made.end()


@pytest.fixture
def access(configs: Configs) -> MakeConfig:
    """Load an access filter: ``access(host, log={...})``."""

    def make(host: Host, **config: Any) -> Config:
        return configs(Config.access(host, **config))

    return make


@pytest.fixture
def scripted(configs: Configs) -> MakeConfig:
    """Load a filter with hooks: ``scripted(host, on_request_headers="return Reply(403)")``."""

    def make(host: Host, **config: Any) -> Config:
        return configs(Config.scripted(host, **config))

    return make
