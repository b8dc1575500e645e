# SPDX-License-Identifier: Apache-2.0
"""The Makefile: what it says when something is missing, and that it agrees with pyproject.toml."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .command import RELEASES, ROOT

PYTHON = Path(sys.base_prefix, "bin", "python3")
MAKE = shutil.which("make") or "make"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give what ``make`` reads, and nothing made yet."""
    folder = tmp_path / "checkout"
    for path in ("Makefile", "CMakeLists.txt", "pyproject.toml", "envoy", "abi", "plugin"):
        source = ROOT / path
        if source.is_dir():
            shutil.copytree(source, folder / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder)
    return folder


def make(
    folder: Path, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run make as a user does, not as a part of the make that runs the tests."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        [MAKE, *arguments],
        cwd=folder,
        env={**environment, "MFLAGS": "", "PATH": path or environment["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help() -> None:
    """Without a target it tells what there is."""
    done = make(ROOT)

    assert 0 == done.returncode
    for target in ("run", "test", "test-unit", "test-long", "lint", "build", "clean"):
        assert re.search(rf"^make {target} ", done.stdout, re.MULTILINE), target


def test_no_python(checkout: Path) -> None:
    """A Python that is not there is named."""
    done = make(checkout, "PYTHON=python3.99", "run")

    assert 2 == done.returncode
    assert "missing: Python: no python3.99 on PATH (Debian, Ubuntu: apt-get " in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_compiler(checkout: Path, tmp_path: Path) -> None:
    """Without a compiler it says so before it downloads anything."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "python3", "find", "grep", "cat", "make", "env"):
        found = str(PYTHON) if name == "python3" else shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    done = make(checkout, "SHELL=" + str(tools / "sh"), "run", path=str(tools))

    assert 2 == done.returncode
    assert "missing: C compiler: no C compiler (cc, gcc or clang) on PATH" in done.stderr
    assert not (checkout / ".venv").exists()


def test_what_would_be_done(checkout: Path) -> None:
    """``make test`` sets up the environment, the package, the tools and each Envoy, in order."""
    done = make(checkout, "-n", "test")
    steps = [
        "-m venv --clear .venv",
        "pip install -q 'scikit-build-core",
        "pip install -q --no-build-isolation .",
        "pip install -q 'envoy-pyfilter[test]'",
        *[f"envoy_pyfilter._envoy {release}" for release in RELEASES],
        "-m pytest tests",
    ]
    places = [done.stdout.find(step) for step in steps]

    assert 0 == done.returncode, done.stderr
    assert -1 not in places
    assert sorted(places) == places


def test_build_tools() -> None:
    """What pyproject.toml builds with stands in the Makefile, too."""
    required = re.findall(
        r'^  "([^"]+)"', (ROOT / "pyproject.toml").read_text().partition("\n]")[0], re.MULTILINE
    )
    tools = re.findall(r"^BUILD_TOOLS.*$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert required
    assert all(one in tools[0] for one in required)
