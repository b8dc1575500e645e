# SPDX-License-Identifier: Apache-2.0
"""The engine, the images, and what of them a test sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from . import build, reaper
from .edge import Site
from .engine import Engine, connect

SHOWN = "shown at the end"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: they need an engine."""
    for item in items:
        if item.path.is_relative_to(build.ROOT / "tests" / "image"):
            item.add_marker("docker")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests want to be seen although they passed."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == SHOWN:
                terminalreporter.section(str(report.nodeid))
                terminalreporter.line(str(text))


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Show a text at the end of the run, if the test passes."""
    return lambda text: record_property(SHOWN, text)


@pytest.fixture(scope="session")
def session() -> Iterator[Engine]:
    """
    Give the engine; in the end nothing that has the session's label is left.

    ``make test-docker`` has asked whether there is one: an engine that is gone since is an error.
    """
    engine = Engine(connect())
    with reaper.watching(engine.label):
        yield engine
        assert [] == reaper.left(engine.client, engine.label)


@pytest.fixture
def engine(session: Engine) -> Iterator[Engine]:
    """Give the engine; what a test makes there is removed after it."""
    with session.scope():
        yield session


@pytest.fixture(scope="session")
def built(session: Engine) -> Callable[[str], str]:
    """Give the image of a release, which is built once for a session."""
    return cache(lambda release: build.image(session.client, release))


@pytest.fixture
def image(built: Callable[[str], str]) -> str:
    """Give the image of the default release."""
    return built(build.RELEASES[0])


@pytest.fixture(params=build.RELEASES)
def each_image(request: pytest.FixtureRequest, built: Callable[[str], str]) -> str:
    """Run the test on the image of each release."""
    return built(str(request.param))


@pytest.fixture
def site(engine: Engine) -> Site:
    """Give a place for Envoys and agents that share a socket."""
    return Site(engine)
