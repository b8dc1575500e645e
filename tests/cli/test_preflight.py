# SPDX-License-Identifier: Apache-2.0
"""What ``make`` says before it does anything: each thing that can be missing, word for word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from envoy_pyfilter import _preflight
from envoy_pyfilter._preflight import Facts

SCRIPT = Path(_preflight.__file__)
GOOD = Facts(
    platform="linux",
    implementation="CPython",
    version=(3, 11, 2),
    executable="/usr/bin/python3",
    shared=True,
    library="/usr/lib/libpython3.11.so.1.0",
    headers=True,
    venv=True,
    compiler="/usr/bin/cc",
    c_library=True,
    make="/usr/bin/make",
)

CASES = {
    "system": (
        {"platform": "darwin"},
        "the system is darwin: this needs Linux",
    ),
    "old Python": (
        {"version": (3, 9, 18)},
        (
            "found CPython 3.9.18 (/usr/bin/python3), but CPython 3.10 or newer is needed (Debian, "
            "Ubuntu: apt-get install python3 python3-dev python3-venv; Fedora, RHEL: dnf install "
            "python3 python3-devel)"
        ),
    ),
    "PyPy": (
        {"implementation": "PyPy"},
        (
            "found PyPy 3.11.2 (/usr/bin/python3), but CPython 3.10 or newer is needed (Debian, "
            "Ubuntu: apt-get install python3 python3-dev python3-venv; Fedora, RHEL: dnf install "
            "python3 python3-devel)"
        ),
    ),
    "static Python": (
        {"shared": False},
        (
            "Python 3.11.2 (/usr/bin/python3) was built without a shared library, which Envoy "
            "needs to run Python: take another Python, or build this one with --enable-shared"
        ),
    ),
    "library": (
        {"library": ""},
        (
            "the file libpython3.11.so of Python 3.11.2 (/usr/bin/python3) is not installed "
            "(Debian, Ubuntu: apt-get install libpython3.11; "
            "Fedora, RHEL: dnf install python3-libs)"
        ),
    ),
    "headers": (
        {"headers": False},
        (
            "the headers (Python.h) of /usr/bin/python3 are not installed (Debian, Ubuntu: apt-get "
            "install python3-dev; Fedora, RHEL: dnf install python3-devel)"
        ),
    ),
    "venv": (
        {"venv": False},
        (
            "/usr/bin/python3 cannot make virtual environments (Debian, Ubuntu: apt-get install "
            "python3-venv; Fedora, RHEL: dnf install python3)"
        ),
    ),
    "compiler": (
        {"compiler": "", "c_library": False},
        (
            "no C compiler (cc, gcc or clang) on PATH (Debian, Ubuntu: apt-get install gcc "
            "libc6-dev; Fedora, RHEL: dnf install gcc glibc-devel)"
        ),
    ),
    "C library": (
        {"c_library": False},
        (
            "/usr/bin/cc does not find the C library's headers (Debian, Ubuntu: apt-get install "
            "gcc libc6-dev; Fedora, RHEL: dnf install gcc glibc-devel)"
        ),
    ),
    "make": (
        {"make": ""},
        "no make on PATH (Debian, Ubuntu: apt-get install make; Fedora, RHEL: dnf install make)",
    ),
}


def test_nothing_missing() -> None:
    """A machine that has all of it passes."""
    assert [] == _preflight.missing(GOOD)


@pytest.mark.parametrize("case", CASES)
def test_one_missing(case: str) -> None:
    """One thing that is missing is told in one sentence, with how to get it."""
    changes, text = CASES[case]

    assert [text] == [one.text for one in _preflight.missing(GOOD._replace(**changes))]  # type: ignore[arg-type] # a table


def test_all_missing() -> None:
    """All that is missing is told at once."""
    bare = GOOD._replace(shared=False, headers=False, compiler="", make="")

    assert ["shared library", "headers", "C compiler", "make"] == [
        one.name for one in _preflight.missing(bare)
    ]


def _script(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_script() -> None:
    """On this machine, which built the package, it prints nothing."""
    done = _script(path=os.environ["PATH"])

    assert ("", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_script_without_tools(tmp_path: Path) -> None:
    """Without a compiler and make on PATH it names both and fails."""
    done = _script(path=str(tmp_path))

    assert 1 == done.returncode
    assert [
        "missing: C compiler: no C compiler",
        "missing: make: no make on PATH",
    ] == [line.split(" (")[0] for line in done.stderr.splitlines()]


def test_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python on PATH that has all of it is found; one that has not is passed over."""
    for name, code in (("python3.12", 1), ("python3.11", 0)):
        fake = tmp_path / name
        fake.write_text(f"#!/bin/sh\nexit {code}\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert str(tmp_path / "python3.11") == _preflight.another_python()
