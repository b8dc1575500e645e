# SPDX-License-Identifier: Apache-2.0
"""What ``make test-docker`` and ``make demo-docker`` say where an engine or Compose is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .command import ROOT

MAKE = shutil.which("make") or "make"


def run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python with *arguments*, and with *env* on top of the environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tests(tmp_path: Path) -> None:
    """Without an engine the tests of the image are skipped, in one line that says why."""
    # What is installed stays as it is: other tests run with it.
    stays = [part for one in ("package", "test") for part in ("-o", f".venv/.made-{one}")]
    done = subprocess.run(
        [MAKE, "--no-print-directory", *stays, "test-docker"],
        env={**os.environ, "MAKEFLAGS": "", "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("SKIPPED: no container engine answers: ")
    assert 1 == len(done.stdout.splitlines())


def test_image(tmp_path: Path) -> None:
    """``make image``, with which the demo begins, names the engine."""
    words = ["-m", "image.make_image", "some-tag", "1.40.0"]
    done = run(*words, cwd=ROOT / "tests", DOCKER_HOST=f"unix://{tmp_path}/none.sock")

    assert 1 == done.returncode
    assert done.stderr.startswith("missing: no container engine answers: ")
    assert 1 == len(done.stderr.splitlines())


def test_no_docker(tmp_path: Path) -> None:
    """The demo names the docker command."""
    done = run("envoy/demo_docker.py", PATH=str(tmp_path))

    assert 1 == done.returncode
    assert (
        "missing: the docker command (Debian, Ubuntu: apt-get install docker.io)\n" == done.stderr
    )


def test_no_compose(tmp_path: Path) -> None:
    """The demo names Compose."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho no such command >&2; exit 1\n")
    docker.chmod(0o755)
    done = run("envoy/demo_docker.py", PATH=str(tmp_path))

    assert 1 == done.returncode
    assert done.stderr.startswith("missing: Docker Compose: neither `docker compose` nor ")
    assert 1 == len(done.stderr.splitlines())
