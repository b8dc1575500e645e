# SPDX-License-Identifier: Apache-2.0
"""
What Envoy's own ext_proc tells of each scene, in the form with which ours is compared.

The form is that of ``statistics_lines``: names, types, order, and what is left out when.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .agent import socket_folder
from .ext_proc import Processor
from .statistics_lines import COUNTERS, as_fields, check_typed, read_fields, read_plain
from .statistics_scenes import SCENES
from .statistics_stage import Stage
from .upstream import Upstream

PLAYED = [(name, protocol) for name, scene in SCENES.items() for protocol in scene.protocols]


@pytest.fixture(scope="session")
def processor() -> Iterator[Processor]:
    """Give the external processor of all stages."""
    with socket_folder() as folder:
        server = Processor(folder / "processor.sock").start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def stages() -> Iterator[dict[str, Stage]]:
    """Give the stages by release, started when first asked for."""
    running: dict[str, Stage] = {}
    yield running
    try:
        for stage in running.values():
            stage.stop()
    finally:
        for stage in running.values():
            stage.kill()


@pytest.fixture
def stage(
    release: str,
    stages: dict[str, Stage],
    upstream: Upstream,
    processor: Processor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stage:
    """Give the stage of a release."""
    if release not in stages:
        folder = tmp_path_factory.mktemp(f"stage-{release}")
        stages[release] = Stage(release, folder, upstream, processor).start()
    return stages[release]


@pytest.mark.parametrize(("name", "protocol"), PLAYED)
def test_native_has_the_known_form(stage: Stage, name: str, protocol: str) -> None:
    """PLAIN, TYPED and FIELD of native ext_proc agree with each other; its counters are 17."""
    told = stage.told(name, protocol)
    typed, newest = told.line["typed"], stage.has_destination
    check_typed(typed, with_destination=newest)
    plain = read_plain(told.line["plain"], with_destination=newest)
    assert plain == {name: typed[name] for name in plain}
    assert as_fields(typed) == read_fields(told.line)
    assert set(COUNTERS) == set(told.counters)
