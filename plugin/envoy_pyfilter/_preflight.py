# SPDX-License-Identifier: Apache-2.0
"""
What building and running need of the machine, and one sentence for each thing that is missing.

``make`` runs this file before anything is installed, so it needs only the standard library, and it
has to run on the Pythons that it refuses (3.6 and newer) to say so. ``envoy-pyfilter doctor`` runs
the same checks.
"""

import glob
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from typing import Iterator, List, NamedTuple, Tuple

OLDEST = (3, 10)
NEWEST_TRIED = 16


class Facts(NamedTuple):
    """What was found; made by ``look`` or, in a test, by hand."""

    platform: str  # sys.platform
    implementation: str  # "CPython", "PyPy"
    version: Tuple[int, int, int]
    executable: str
    shared: bool  # built with a shared libpython (Py_ENABLE_SHARED)
    library: str  # where that libpython lies; "" when the file is missing
    headers: bool  # Python.h is there
    venv: bool  # `python -m venv` works, pip included
    compiler: str  # path of the C compiler; "" when there is none
    c_library: bool  # that compiler finds <stdio.h>
    make: str  # path of make; "" when there is none


class Result(NamedTuple):
    """The outcome of one check."""

    name: str
    ok: bool
    text: str  # what was found or, in one sentence, what is missing and how to get it
    about_python: bool  # choosing another Python might help


def _libpython() -> str:
    names = [sysconfig.get_config_var(key) for key in ("INSTSONAME", "LDLIBRARY")]
    folders = [sysconfig.get_config_var(key) for key in ("LIBDIR", "LIBPL")]
    for folder in map(str, filter(None, folders)):
        for name in map(str, filter(None, names)):
            path = os.path.join(folder, name)
            if ".so" in name and os.path.exists(path):
                return path
    return ""


def _has(*modules: str) -> bool:
    try:
        for module in modules:
            __import__(module)
    except ImportError:
        return False
    return True


def _compiler() -> str:
    names = [os.environ.get("CC", "").split(" ")[0], "cc", "gcc", "clang"]
    return next(filter(None, (shutil.which(name) for name in names if name)), "")


def _preprocesses(compiler: str, source: bytes) -> bool:
    """Tell whether the compiler finds what *source* includes."""
    if not compiler:
        return False
    child = subprocess.Popen(
        [compiler, "-E", "-x", "c", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    child.communicate(source)
    return child.returncode == 0


def look() -> Facts:
    """Find out what this machine and the running Python have."""
    compiler = _compiler()
    headers = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    return Facts(
        platform=sys.platform,
        implementation=platform.python_implementation(),
        version=(sys.version_info[0], sys.version_info[1], sys.version_info[2]),
        executable=sys.executable,
        shared=bool(sysconfig.get_config_var("Py_ENABLE_SHARED")),
        library=_libpython(),
        headers=os.path.exists(headers),
        venv=_has("venv", "ensurepip"),
        compiler=compiler,
        c_library=_preprocesses(compiler, b"#include <stdio.h>\n"),
        make=shutil.which("make") or shutil.which("gmake") or "",
    )


def get(debian: str, fedora: str) -> str:
    """Say how packages are installed on the two large families of Linux."""
    return "Debian, Ubuntu: apt-get install {}; Fedora, RHEL: dnf install {}".format(debian, fedora)


def check_platform(facts: Facts) -> Result:
    """Envoy loads our kind of module on Linux only."""
    ok = facts.platform == "linux"
    text = "Linux" if ok else "the system is {}: this needs Linux".format(facts.platform)
    return Result("system", ok, text, about_python=False)


def check_version(facts: Facts) -> Result:
    """CPython 3.10 or newer."""
    found = "{} {}.{}.{} ({})".format(facts.implementation, *facts.version, facts.executable)
    ok = facts.implementation == "CPython" and facts.version >= OLDEST
    if ok:
        return Result("Python", True, found, about_python=True)
    how = get("python3 python3-dev python3-venv", "python3 python3-devel")
    text = "found {}, but CPython 3.10 or newer is needed ({})".format(found, how)
    return Result("Python", False, text, about_python=True)


def check_shared(facts: Facts) -> Result:
    """Envoy maps libpython, so it has to be a shared library."""
    name = "shared library"
    if facts.shared and facts.library:
        return Result(name, True, facts.library, about_python=True)
    python = "Python {}.{}.{} ({})".format(*facts.version, facts.executable)
    if not facts.shared:
        text = (
            "{} was built without a shared library, which Envoy needs to run Python: take another "
            "Python, or build this one with --enable-shared".format(python)
        )
        return Result(name, False, text, about_python=True)
    short = "{}.{}".format(*facts.version[:2])
    how = get("libpython" + short, "python3-libs")
    text = "the file libpython{}.so of {} is not installed ({})".format(short, python, how)
    return Result(name, False, text, about_python=True)


def check_headers(facts: Facts) -> Result:
    """Python.h, to compile."""
    if facts.headers:
        return Result("headers", True, "Python.h", about_python=True)
    how = get("python3-dev", "python3-devel")
    text = "the headers (Python.h) of {} are not installed ({})".format(facts.executable, how)
    return Result("headers", False, text, about_python=True)


def check_venv(facts: Facts) -> Result:
    """Modules that make a virtual environment with pip in it."""
    if facts.venv:
        return Result("venv", True, "venv with pip", about_python=True)
    how = get("python3-venv", "python3")
    text = "{} cannot make virtual environments ({})".format(facts.executable, how)
    return Result("venv", False, text, about_python=True)


def check_compiler(facts: Facts) -> Result:
    """Any C compiler, with the C library's headers."""
    how = get("gcc libc6-dev", "gcc glibc-devel")
    if facts.compiler and facts.c_library:
        return Result("C compiler", True, facts.compiler, about_python=False)
    if facts.compiler:
        text = "{} does not find the C library's headers ({})".format(facts.compiler, how)
    else:
        text = "no C compiler (cc, gcc or clang) on PATH ({})".format(how)
    return Result("C compiler", False, text, about_python=False)


def check_make(facts: Facts) -> Result:
    """GNU make, for the Makefile."""
    if facts.make:
        return Result("make", True, facts.make, about_python=False)
    return Result("make", False, "no make on PATH ({})".format(get("make", "make")), False)


TO_RUN = (check_platform, check_version, check_shared)
TO_BUILD = (check_headers, check_venv, check_compiler, check_make)


def missing(facts: Facts) -> List[Result]:
    """Give the checks that failed, of all that a build needs."""
    results = [check(facts) for check in TO_RUN + TO_BUILD]
    return [result for result in results if not result.ok]


def _pythons() -> Iterator[str]:
    seen = {os.path.realpath(sys.executable)}
    names = ["python3"] + ["python3.{}".format(n) for n in range(NEWEST_TRIED, OLDEST[1] - 1, -1)]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in names:
            for path in glob.glob(os.path.join(glob.escape(folder), name)):
                real = os.path.realpath(path)
                if real not in seen:
                    seen.add(real)
                    yield path


def another_python() -> str:
    """Find a Python on PATH that has all that is needed; "" when there is none."""
    for path in _pythons():
        command = [path, "-I", os.path.abspath(__file__), "--python-only"]
        try:
            done = subprocess.call(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done == 0:
            return path
    return ""


def main(arguments: List[str]) -> int:
    """Print what is missing and return 1; print nothing and return 0 when all is there."""
    found = missing(look())
    if "--python-only" in arguments:
        return int(any(result.about_python for result in found))
    if not found:
        return 0
    for result in found:
        print("missing: {}: {}".format(result.name, result.text), file=sys.stderr)
    if any(result.about_python for result in found):
        other = another_python()
        if other:
            print("{} has all of it: make PYTHON={} ...".format(other, other), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
