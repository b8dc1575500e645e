# SPDX-License-Identifier: Apache-2.0
"""
What our statistics tell of a scene is what Envoy's own ext_proc tells of it, but for a known list.

The forms are those of ``statistics_lines``: names, types, order, and what is left out when.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .agent import socket_folder
from .ext_proc import Processor
from .statistics_compare import check_plausible, differences, documented
from .statistics_differences import DIFFERENCES, listed
from .statistics_lines import COUNTERS, as_fields, check_typed, read_fields, read_plain
from .statistics_play import Told
from .statistics_scenes import SCENES
from .statistics_stage import Stage, destination
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
) -> Iterator[Stage]:
    """Give the stage of a release."""
    if release not in stages:
        folder = tmp_path_factory.mktemp(f"stage-{release}")
        stages[release] = Stage(release, folder, upstream, processor).start()
    start = len(stages[release].log())
    yield stages[release]
    print(stages[release].log()[start:][-20_000:])  # pytest shows it when the test failed


def check_form(told: Told, *, with_destination: bool) -> None:
    """Insist on the forms of PLAIN, TYPED and FIELD, that they agree, and on 17 counters."""
    typed = told.line["typed"]
    check_typed(typed, with_destination=with_destination)
    plain = read_plain(told.line["plain"], with_destination=with_destination)
    assert plain == {name: typed[name] for name in plain}
    assert as_fields(typed) == read_fields(told.line)
    assert set(COUNTERS) == set(told.counters)
    check_plausible(told)


@pytest.mark.parametrize(("name", "protocol"), PLAYED)
def test_ours_is_native_s(stage: Stage, name: str, protocol: str) -> None:
    """Native has the known form; ours has it, too, and the same values, but for what is listed."""
    native, ours = (stage.play(side, name, protocol) for side in ("native", "ours"))
    check_form(native, with_destination=stage.has_destination)
    if ours.line["typed"] is not None:  # else that is the difference
        check_form(ours, with_destination=stage.has_destination)
    asked = {"native": "processor", "ours": destination(SCENES[name])}
    assert listed(name, stage.release) == differences(native, ours, asked)


def test_every_difference_is_documented() -> None:
    """The table of docs/statistics.md has the keys of the list, each of them once."""
    assert sorted({one.key for one in DIFFERENCES}) == sorted(documented())


def test_the_list_names_scenes() -> None:
    """A difference whose scenes are misspelt would never be looked for."""
    assert {scene for one in DIFFERENCES for scene in one.scenes} <= SCENES.keys()
