# SPDX-License-Identifier: Apache-2.0
"""What cannot work: the container ends with one line that says why, and a code other than 0."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import base
from .build import RELEASES, ROOT, TAG, build
from .engine import Box, Engine

CONFIG = "/etc/envoy/envoy.yaml"
GATE = (ROOT / "envoy" / "gate.py").read_text()
# The sample's bootstrap, for a filter that lies in /filters.
BOOTSTRAP = (ROOT / "envoy" / "filter.yaml").read_text()
BOOTSTRAP = re.sub(r"\n +python_path: .*", "", BOOTSTRAP).replace(
    "127.0.0.1, port", "0.0.0.0, port"
)
# An ELF header for aarch64: by these bytes the kernel refuses it elsewhere.
ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0\x01\0\0\0" + bytes(40)

PLACE = rf"{CONFIG}:\d+: error: static_resources\.listeners\[0\]\S+: "
FILTERS = {
    "syntax": (
        "class Gate(",
        PLACE + r"gate:Gate: cannot import gate: SyntaxError: '\(' was never ",
    ),
    "raises": (
        "import os\nos.environ['NO']",
        PLACE + r"gate:Gate: .* KeyError: 'NO'; envoy-pyfilter ",
    ),
    "no class": (GATE.replace("Gate(", "Gates("), PLACE + r"gate:Gate: gate has no Gate; did you "),
    "key": (
        GATE.replace("header:", "name:"),
        PLACE + r"gate:Gate: header: unknown key; known: name, ",
    ),
}


def told(box: Box) -> str:
    """Wait for the end of a box that refuses, and give the one line that it wrote."""
    code, lines = box.ended(), box.log().splitlines()
    assert code == 1
    assert len(lines) == 1, lines
    assert "" == box.stdout()
    return lines[0]


@pytest.mark.parametrize(("text", "expected"), FILTERS.values(), ids=FILTERS)
def test_broken_filter(engine: Engine, image: str, text: str, expected: str) -> None:
    """A filter that cannot be loaded is named, with its place in the bootstrap."""
    box = engine.run(image, files={"/filters/gate.py": text, CONFIG: BOOTSTRAP})

    assert re.match(f"envoy-pyfilter: {expected}", line := told(box)), line


def test_whole_filter(engine: Engine, image: str) -> None:
    """The same bootstrap with a filter that is whole starts."""
    engine.envoy(image, files={"/filters/gate.py": GATE, CONFIG: BOOTSTRAP})


def test_empty_filters(engine: Engine, image: str) -> None:
    """A bootstrap names a filter, and nothing is mounted."""
    line = told(engine.run(image, files={CONFIG: BOOTSTRAP}))

    assert re.match(f"envoy-pyfilter: {PLACE}gate:Gate: cannot import gate: Module", line), line
    assert line.endswith("; /filters is empty: mount the folder of your filters there")


def test_no_filters(engine: Engine, image: str, tmp_path: Path) -> None:
    """There is no folder for filters."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nUSER root\nRUN rmdir /filters\nUSER envoy\n"
    )
    derived = build(engine.client, f"{TAG}:no-filters", tmp_path)

    line = told(engine.run(derived))
    assert "envoy-pyfilter: no folder /filters: mount the folder of your filters there" == line


@pytest.mark.parametrize("place", ["/filters", CONFIG])
def test_not_for_the_user(engine: Engine, image: str, tmp_path: Path, place: str) -> None:
    """What only its owner may read, as with umask 077, is named together with the user."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nUSER root\nRUN chmod go= {place}\nUSER envoy\n"
    )
    derived = build(engine.client, f"{TAG}:not-for-the-user", tmp_path)

    line = told(engine.run(derived))
    assert line == f"envoy-pyfilter: {place}: Permission denied (the container's user is 10001)"


def test_arguments(engine: Engine, image: str) -> None:
    """Envoy does not know an argument."""
    line = told(engine.run(image, ["--bogus"]))

    assert "refuses its arguments: PARSE ERROR: Argument: --bogus Couldn't find match" in line


BOOTSTRAPS = {
    "no yaml": ("admin: {address\n", f"{CONFIG}:2: error: no YAML: expected ',' or '}}', but got "),
    "a key": ("admin: {}\nlisteners: []\n", f"{CONFIG}: error: Envoy .* rejects it: .*listeners"),
    "nothing": ("- 1\n", f"{CONFIG}: error: Envoy .* rejects it: "),
}


@pytest.mark.parametrize(("text", "expected"), BOOTSTRAPS.values(), ids=BOOTSTRAPS)
def test_bootstrap(engine: Engine, image: str, text: str, expected: str) -> None:
    """A bootstrap that does not parse: where and why."""
    line = told(engine.run(image, files={CONFIG: text}))

    assert re.match(f"envoy-pyfilter: {expected}", line), line


def test_no_bootstrap(engine: Engine, image: str) -> None:
    """A folder without a bootstrap is mounted over the image's own."""
    line = told(engine.run(image, tmpfs={"/etc/envoy": ""}))

    assert f"envoy-pyfilter: {CONFIG}: No such file or directory" == line


@pytest.mark.parametrize("release", ["9.9.9", "1.40"])
def test_unsupported_release(engine: Engine, release: str) -> None:
    """The build ends where it is told to take an Envoy that is none of ours, and says why."""
    arguments = {"BASE": base.ensure(engine.client), "ENVOY": release}
    options = {"dockerfile": "envoy/Dockerfile", "target": "envoy", "buildargs": arguments}

    line = f"ENVOY={release} is not supported; say one of {' '.join(RELEASES)}"
    with pytest.raises(AssertionError, match=re.escape(line)):
        build(engine.client, f"{TAG}:unsupported", ROOT, **options)


def test_wrong_machine(engine: Engine, image: str) -> None:
    """The Envoy in it is one for another machine."""
    box = engine.run(image, files={"/opt/envoy/envoy/_bin/envoy": ARM})

    expected = "/usr/local/bin/envoy cannot be started: Exec format error; it is made for aarch64"
    assert told(box).startswith(f"envoy-pyfilter: {expected}, this machine is ")


def test_no_program(engine: Engine, image: str) -> None:
    """Another program is asked for, and is not there."""
    box = engine.run(image, ["envoi"])

    assert 127 == box.ended()
    line = "envoy-pyfilter: envoi cannot be started: No such file or directory\n"
    assert line == box.log()
