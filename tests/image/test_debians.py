# SPDX-License-Identifier: Apache-2.0
"""
Each Debian with its own Python: the wheel is built there, and serves where no compiler is.

Of our tests those without the shared object run there, and one file with a real Envoy.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from . import base, build
from .engine import Box, Engine
from .test_image import served

PYTHONS = {"bookworm": "3.11", "trixie": "3.13", "forky": "3.14"}
RELEASE = build.RELEASES[0]
HERE = Path(__file__).parent
# What the tests read, besides what is installed.
FOLDERS = (".ci", "tests", "docs", "envoy", "bench", "abi", "plugin")


@pytest.fixture(params=PYTHONS)
def suite(request: pytest.FixtureRequest) -> str:
    """Give the name of a Debian."""
    return str(request.param)


@pytest.fixture
def image(engine: Engine, suite: str) -> str:
    """Give our image on that Debian."""
    return build.image(engine.client, RELEASE, suite)


def without_compiler(box: Box) -> bool:
    """Tell whether nothing there compiles C."""
    names = "cc gcc clang tcc $(uname -m)-linux-gnu-gcc"
    found = box.run("sh", "-c", f"for name in {names}; do command -v $name; done; true")
    return not found.strip()


def test_the_image_on_each_debian(
    engine: Engine, image: str, suite: str, show: Callable[[str], None]
) -> None:
    """Envoy runs the Debian's own Python, without a compiler, and the entry is whole."""
    box = engine.envoy(image)
    assert 200 == served(box, "/debian")["response_code"]
    library = f"libpython{PYTHONS[suite]}.so.1.0"
    maps = box.run("sh", "-c", "cat /proc/[0-9]*/maps 2>/dev/null; true")
    mapped = set(re.findall(r"libpython[\d.]+so[\d.]+", maps))
    assert {library} == mapped
    assert suite in box.run("cat", "/etc/os-release")
    assert without_compiler(box)
    python, glibc = box.run("python3", "-V").strip(), box.run("getconf", "GNU_LIBC_VERSION")
    assert python.startswith(f"Python {PYTHONS[suite]}.")
    show(f"{suite}: {python}, {glibc.strip()}, {box.run('envoy', '--version').strip()}")


def checkout() -> dict[str, bytes]:
    """Give the files that the tests need, by their place in the container."""
    paths = list(build.ROOT.iterdir())
    for folder in FOLDERS:
        paths += (build.ROOT / folder).rglob("*")
    return {
        f"/src/{path.relative_to(build.ROOT)}": path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def requirements() -> str:
    """
    Give what the package and its tests need, as pip reads it.

    The wheel is new with each change of the code, and what it needs is not: it is a layer below.
    """
    lines = []
    for line in metadata.requires("envoy-pyfilter") or ():
        extra = re.search(r'extra == "(\w+)"', line)
        if (extra is None or extra[1] in ("test", "wheels")) and "envoy-pyfilter" not in line:
            lines.append(re.sub(r'(; | and )extra == "\w+"', "", line))
    return "\n".join(lines) + "\n"


@pytest.fixture
def tests(engine: Engine, image: str, suite: str, tmp_path: Path) -> str:
    """Give an image with the wheel and what our tests need, on that Debian."""
    (tmp_path / "requirements.txt").write_text(requirements())
    shutil.copy(HERE / "debian.Dockerfile", tmp_path / "Dockerfile")
    arguments = {"BASE": base.ensure(engine.client, f"debian:{suite}-slim"), "ENVOY": RELEASE}
    package = build.build(
        engine.client,
        f"{build.TAG}:package-{suite}",
        build.ROOT,
        dockerfile="envoy/Dockerfile",
        target="package",
        buildargs=arguments,
    )
    return build.build(
        engine.client,
        f"{build.TAG}:tests-{suite}",
        tmp_path,
        buildargs={**arguments, "PACKAGE": package, "IMAGE": image},
    )


def test_our_tests_on_each_debian(engine: Engine, tests: str, suite: str) -> None:
    """The unit tests; in a real Envoy those of deferral, hooks, what they read, dead streams."""
    box = engine.run(tests, files=checkout())
    assert without_compiler(box)
    command = ["/venv/bin/python", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    # The benchmark's own tests measure, and their helper tools are not there.
    unit = box.run(*command, "tests/unit", "--ignore-glob=*/test_bench*")
    names = ("deferral", "hooks", "reads", "dead_streams")
    e2e = box.run(*command, *(f"tests/e2e/test_{name}.py" for name in names), "-k", RELEASE)
    for said in (unit, e2e):
        print(suite, said)
        assert re.search(r"^\d+ passed", said, re.MULTILINE), said
