# SPDX-License-Identifier: Apache-2.0
"""The Makefile: what it says when something is missing, and that it agrees with pyproject.toml."""

from __future__ import annotations

import os
import platform
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
    tests = ("test", "test-unit", "test-long", "test-docker")
    for target in ("run", "demo-llm", *tests, "lint", "bench", "budget", "build", "clean"):
        assert re.search(rf"^make {target} ", done.stdout, re.MULTILINE), target


def test_no_python(checkout: Path) -> None:
    """A Python that is not there is named."""
    done = make(checkout, "PYTHON=python3.99", "run")

    assert 2 == done.returncode
    assert "missing: Python: no python3.99 on PATH (Debian, Ubuntu: apt-get " in done.stderr
    assert not (checkout / ".venv").exists()


def test_old_python(checkout: Path, tmp_path: Path) -> None:
    """A Python that is too old even for the check of the machine is named, too."""
    old = tmp_path / "python2.7"
    old.write_text(
        f"""#!/bin/sh
case $1 in
  -V) echo Python 2.7.18 >&2 ;;
  -c) exec {PYTHON} -c 'import sys; sys.version_info = (2, 7, 18); exec(sys.argv[1])' "$2" ;;
  *) echo Unknown option: $1 >&2; exit 2 ;;
esac
"""
    )
    old.chmod(0o755)
    done = make(checkout, f"PYTHON={old}", "run")

    assert 2 == done.returncode
    text = "missing: Python: found Python 2.7.18, but CPython 3.10 or newer is needed (Debian, "
    assert done.stderr.startswith(text)
    assert "Unknown option" not in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_python_at_all(checkout: Path) -> None:
    """A program that is no Python is named."""
    done = make(checkout, "PYTHON=/bin/true", "install")

    assert 2 == done.returncode
    assert done.stderr.startswith("missing: Python: /bin/true is no Python\n")


def test_another_python_first(checkout: Path, tmp_path: Path) -> None:
    """The environment stays when PATH has another Python, until PYTHON asks for that."""
    (tmp_path / "bin").mkdir()
    other = tmp_path / "bin" / "python3"
    other.write_text('#!/bin/sh\ncase "$1 $2" in *_base_exec*) echo /other 3.99.0;; esac\n')
    other.chmod(0o755)
    path = f"{other.parent}:{os.environ['PATH']}"
    who = f"{PYTHON.resolve()} {platform.python_version()}"
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".made-by").write_text(who + "\n")

    made = "making .venv with"
    assert made not in make(checkout, "-n", "install", path=path).stdout
    asked = make(checkout, "-n", "install", f"PYTHON={other}", path=path).stdout
    assert f"{made} /other 3.99.0 (it was made with {who})" in asked


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
        "-m pytest -n 2 tests",
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
