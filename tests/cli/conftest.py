# SPDX-License-Identifier: Apache-2.0
"""Starts the command, and leaves nothing of it behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .command import RELEASES, ROOT, Running


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start the command; the arguments are those of ``Running``."""
    made: list[Running] = []

    def starter(*arguments: str | Path, **keywords: object) -> Running:
        made.append(Running(*arguments, **keywords))  # type: ignore[arg-type] # handed on
        return made[-1]

    yield starter
    for one in made:
        one.close()
        print(one.told())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder whose name is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="tail-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Run the test on each release."""
    return str(request.param)


def binary(release: str) -> Path:
    """Path of a release's Envoy in the checkout."""
    return ROOT / ".envoy" / release / "envoy" / "_bin" / "envoy"
