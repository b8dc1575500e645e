# SPDX-License-Identifier: Apache-2.0
"""
Builds the shared object with a sanitizer, and stub hosts of every release, below ``build/abi``.

What is built stays there, so only the first run takes its time. The package that the stub host
loads is a folder of links into the source tree, beside the shared object just built.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from .header import ROOT

STUB = Path(__file__).with_name("stub")
PARTS = Path(__file__).with_name("parts")
BUILD = ROOT / "build" / "abi"
RELEASES = ("1.38", "1.39", "1.40")
WRAPPED = ("now_ms", "eventfd", "poll", "connect", "sendmmsg")  # parts/kernel.c
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Werror")

# Which package brings a sanitizer's runtime on the common distributions.
RUNTIMES = {
    "address,undefined": ("libasan and libubsan", "libasan8 libubsan1", "libasan libubsan"),
    "thread": ("libtsan", "libtsan2", "libtsan"),
}


Made = TypeVar("Made")
With = ParamSpec("With")


def one_at_a_time(build: Callable[With, Made]) -> Callable[With, Made]:
    """Let the processes of one test run, which share the folder, build one after the other."""

    @wraps(build)
    def locked(*given: With.args, **named: With.kwargs) -> Made:
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return build(*given, **named)

    return locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A shared object inside its package, and the sanitizers (gcc's names) that are in it."""

    sanitize: str
    module: Path

    @property
    def site(self) -> Path:
        """The folder that holds the package."""
        return self.module.parent.parent


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words}\n{done.stdout[-6000:]}{done.stderr[-6000:]}")


def compiler() -> str:
    """Return the C compiler that CMake takes too."""
    found = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if not found:
        raise RuntimeError("no C compiler; install gcc (Debian, Ubuntu: apt-get install gcc)")
    return found


def tool(name: str) -> str:
    """Return a build tool, from this Python's environment or the system."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"no {name}; install it: {sys.executable} -m pip install {name}")
    return found


def folder(sanitize: str) -> Path:
    """Return the build folder of a set of sanitizers."""
    return BUILD / (sanitize.replace(",", "-") or "plain")


def check_runtime(sanitize: str) -> None:
    """Raise when the compiler has no runtime for these sanitizers, and say what brings it."""
    where = folder(sanitize)
    where.mkdir(parents=True, exist_ok=True)
    (where / "probe.c").write_text("int main(void) { return 0; }\n")
    flags = _sanitizer_flags(sanitize)
    try:
        _run(compiler(), *flags, where / "probe.c", "-o", where / "probe")
        _run(where / "probe")
    except RuntimeError as error:
        what, debian, fedora = RUNTIMES[sanitize]
        raise RuntimeError(
            f"{compiler()} cannot build with -fsanitize={sanitize}: {what} is missing or does not"
            f" run here (Debian, Ubuntu: apt-get install {debian}; Fedora: dnf install {fedora})"
            f"\n{error}"
        ) from error


def _sanitizer_flags(sanitize: str) -> list[str]:
    if not sanitize:
        return []
    return [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]


@one_at_a_time
def build_module(sanitize: str) -> Build:
    """Build the shared object with these sanitizers ("": none), and a package around it."""
    if sanitize:
        check_runtime(sanitize)
    where = folder(sanitize)
    _run(
        tool("cmake"),
        *("-S", ROOT, "-B", where, "-G", "Ninja"),
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
        f"-DCMAKE_BUILD_TYPE={'Debug' if sanitize else 'Release'}",
        f"-DCMAKE_C_FLAGS_DEBUG=-O1 -g {' '.join(_sanitizer_flags(sanitize))}",
        f"-DPYFILTER_SANITIZE={sanitize}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    _run(tool("cmake"), "--build", where, "--parallel", "2")
    site = where / "site"
    _run(tool("cmake"), "--install", where, "--prefix", site)
    package = site / "envoy_pyfilter"
    _link_package(package)
    return Build(sanitize=sanitize, module=package / "libenvoy_pyfilter.so")


def _link_package(package: Path) -> None:
    """Link the source tree's modules into *package*, and drop links that lead nowhere."""
    for old in package.iterdir():
        if old.is_symlink() and not old.exists():
            old.unlink()
    for source in (ROOT / "plugin" / "envoy_pyfilter").iterdir():
        link = package / source.name
        if source.suffix != ".so" and source.name != "__pycache__" and not link.exists():
            link.symlink_to(source)


@one_at_a_time
def build_stub(sanitize: str, release: str) -> Path:
    """Build the stub host that is like Envoy *release* ("1.37" to "1.40")."""
    where = folder(sanitize)
    where.mkdir(parents=True, exist_ok=True)
    made = where / f"stub_host_{release}"
    sources = sorted(STUB.glob("*.c"))
    inputs = [*STUB.glob("*.[ch]"), *(ROOT / "abi").glob("envoy_abi*.h")]
    if made.exists() and made.stat().st_mtime > max(one.stat().st_mtime for one in inputs):
        return made
    _run(
        compiler(),
        *("-std=gnu11", "-O1", "-g", *WARNINGS, *_sanitizer_flags(sanitize)),
        *("-D_GNU_SOURCE", f"-DSTUB_RELEASE={release.replace('.', '')}", "-I", ROOT / "abi"),
        *sources,
        *("-rdynamic", "-pthread", "-ldl", "-o", made),
    )
    return made


@one_at_a_time
def build_sinks(sanitize: str) -> Path:
    """Build ``parts/sinks.c``: the sinks and their flusher without Python, on a wrapped kernel."""
    where = folder(sanitize)
    check_runtime(sanitize)
    names = (
        *("ring", "sink", "left", "retry", "python_sink", "flusher", "text"),
        *("outlet", "file", "file_open"),
        *("agent", "agent_deliver", "agent_queue", "agent_socket"),
    )
    _run(
        compiler(),
        *("-std=gnu11", "-O1", "-g", *WARNINGS, *_sanitizer_flags(sanitize)),
        # glibc's checks would call poll by another name.
        *("-U_FORTIFY_SOURCE", "-D_GNU_SOURCE", "-I", ROOT / "abi"),
        *(PARTS / "sinks.c", PARTS / "kernel.c"),
        *(ROOT / "abi" / f"{name}.c" for name in names),
        "-Wl," + ",".join(f"--wrap={name}" for name in WRAPPED),
        *("-pthread", "-o", where / "sinks"),
    )
    return where / "sinks"


@one_at_a_time
def build_parts() -> Path:
    """Build ``parts/parts.c``: functions of the record lane that need neither a host nor Python."""
    made = BUILD / "parts.so"
    names = ("text", "escape", "rules", "headers", "flags", "decimal", "label", "seen")
    _run(
        compiler(),
        *("-std=gnu11", "-D_GNU_SOURCE", "-O2", *WARNINGS, "-shared", "-fPIC", "-pthread"),
        *("-I", ROOT / "abi", PARTS / "parts.c"),
        *(ROOT / "abi" / f"{name}.c" for name in names),
        *("-o", made),
    )
    return made
