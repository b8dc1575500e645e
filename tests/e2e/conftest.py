# SPDX-License-Identifier: Apache-2.0
"""
One Envoy of each release for the whole session, to which each test adds listeners of its own.

Starting a listener costs a few milliseconds, starting an Envoy a few hundred; a test that stops
its Envoy or counts its threads asks for ``own_envoy``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import bootstrap as b
from .agent import Agent, socket_folder
from .envoy import RELEASES, Envoy
from .http3 import Certificate, make_certificate
from .site import Site
from .upstream import Upstream

_numbers = itertools.count(1)

# Envoy keeps a thread and a timer for each access log that it ever opened, so the shared ones are
# replaced now and then; more of them would spend the machine on nothing.
_TESTS_OF_AN_ENVOY = 40


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """Give the upstream of all tests."""
    server = Upstream().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Give the certificate of all HTTP/3 listeners."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def farm() -> Iterator[dict[str, Envoy]]:
    """Give the shared Envoys by release, started when first asked for."""
    running: dict[str, Envoy] = {}
    yield running
    try:
        for envoy in running.values():
            envoy.stop()
    finally:
        for envoy in running.values():
            envoy.kill()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Run the test on each release."""
    return str(request.param)


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Run the test over each protocol."""
    return str(request.param)


@pytest.fixture
def envoy(
    release: str,
    farm: dict[str, Envoy],
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Envoy]:
    """Give the shared Envoy of a release, which has to survive the test."""
    if release not in farm:
        folder = tmp_path_factory.mktemp(f"envoy-{release}")
        clusters = [
            b.cluster("upstream", upstream.port),
            b.cluster("http1", upstream.port, http1=True),
            b.cluster("empty", load_assignment={"cluster_name": "empty"}),
            b.cluster("refused", pipe=folder / "nobody-listens"),
        ]
        farm[release] = Envoy(release, folder, clusters=clusters).start()
    shared = farm[release]
    start = shared.log_path.stat().st_size
    yield shared
    print(shared.log(start)[-20_000:])  # pytest shows it when the test failed
    if not shared.alive:
        del farm[release]
        raise AssertionError(f"Envoy {release} died: {shared.log()[-3000:]}")
    shared.tests += 1
    if shared.tests == _TESTS_OF_AN_ENVOY:
        del farm[release]
        shared.stop()


SiteMaker = Callable[..., Site]


@pytest.fixture
def new_site(envoy: Envoy, upstream: Upstream, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Make a site without a listener, for a test that wants to choose its filters itself."""
    made: list[Site] = []

    def make() -> Site:
        made.append(Site(envoy, upstream, tmp_path, f"site{next(_numbers)}"))
        return made[-1]

    yield make
    for one in made:
        envoy.listeners.pop(one.name, None)
    # They go with the next test's update, which costs less than one of their own.


@pytest.fixture
def site(new_site: Callable[[], Site]) -> SiteMaker:
    """Make a site with our filter; see ``Site.filter``. *before* and *after* stand around it."""

    def make(
        hooks: dict[str, str] | None = None,
        *,
        access: b.Dict | None = None,
        config: b.Dict | None = None,
        before: list[b.Dict] | None = None,
        after: list[b.Dict] | None = None,
        **fields: Any,
    ) -> Site:
        one = new_site()
        ours = one.filter(hooks, access=access, config=config)
        return one.open([*(before or []), ours, *(after or [])], **fields)

    return make


@pytest.fixture
def own_envoy(release: str, upstream: Upstream, tmp_path: Path) -> Iterator[Callable[..., Envoy]]:
    """Make an Envoy for this test alone; *keywords* are those of ``Envoy``."""
    made: list[Envoy] = []

    def make(**keywords: Any) -> Envoy:
        folder = tmp_path / f"envoy{len(made)}"
        keywords.setdefault("clusters", [b.cluster("upstream", upstream.port)])
        made.append(Envoy(release, folder, **keywords))
        return made[-1]

    yield make
    for envoy in made:
        print(envoy.log()[-20_000:])
        envoy.kill()


@pytest.fixture
def agent() -> Iterator[Agent]:
    """Give a listener as Cilium's agent has it, which listens already."""
    with socket_folder() as folder, Agent(folder / "access_log.sock") as one:
        yield one
