# SPDX-License-Identifier: Apache-2.0
"""Stub hosts for the tests: one process for each test, ended and judged when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .builds import Build, build_module, build_stub
from .host import Host

StartHost = Callable[..., Host]


@pytest.fixture(scope="session")
def plain_build() -> Build:
    """Build the shared object as a wheel does."""
    return build_module("")


@pytest.fixture(scope="session")
def asan_build() -> Build:
    """Build the shared object with AddressSanitizer and UndefinedBehaviorSanitizer."""
    return build_module("address,undefined")


@pytest.fixture(scope="session")
def tsan_build() -> Build:
    """Build the shared object with ThreadSanitizer."""
    return build_module("thread")


def _starter(build: Build, folder: Path) -> Iterator[StartHost]:
    hosts: list[Host] = []

    def start(release: str = "1.40", **settings: int) -> Host:
        executable = build_stub(build.sanitize, release)
        where = folder / f"host{len(hosts)}"
        where.mkdir()
        hosts.append(Host(build, executable, where, **settings))
        return hosts[-1]

    yield start
    for host in hosts:
        host.end()


@pytest.fixture
def start(asan_build: Build, tmp_path: Path) -> Iterator[StartHost]:
    """Start hosts under ASan and UBSan: ``start("1.38", validation=1)``."""
    yield from _starter(asan_build, tmp_path)


@pytest.fixture
def start_tsan(tsan_build: Build, tmp_path: Path) -> Iterator[StartHost]:
    """Start hosts under TSan."""
    yield from _starter(tsan_build, tmp_path)


@pytest.fixture
def host(start: StartHost) -> Host:
    """Start a host like Envoy 1.40 with one worker."""
    return start()
