# SPDX-License-Identifier: Apache-2.0
"""
Copies what an Envoy without Python needs into one folder: run by the Python of an environment.

    python gather.py FOLDER

The folder then has Python's program, its library and its modules, the shared libraries that these
need except glibc, and the packages of the environment: ``bin``, ``lib`` and ``lib/pythonX.Y``; the
link ``module`` leads to the package. It works wherever it is copied to, on a system whose glibc is
not older, with FOLDER/lib in LD_LIBRARY_PATH.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

# The system that Envoy runs on has these; two glibcs in one process do not work.
GLIBC = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|nsl|anl))\.so(\.\d+)*")
NOT_NEEDED = ["__pycache__", "test", "idlelib", "tkinter", "_tkinter*", "turtledemo", "lib2to3"]
NOT_NEEDED += ["ensurepip", "config-*", "site-packages", "dist-packages"]


def libraries(of: Path) -> dict[str, Path]:
    """Name the shared libraries that the loader would map for *of*."""
    said = subprocess.run(["ldd", of], capture_output=True, text=True, check=False).stdout
    found = dict(re.findall(r"^\s+(\S+) => (/\S+)", said, re.MULTILINE))
    return {name: Path(path) for name, path in found.items() if not GLIBC.fullmatch(name)}


def gather(folder: Path) -> None:
    """Fill *folder*."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    modules, site = folder / "lib" / name, Path(sysconfig.get_path("purelib"))
    (folder / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), folder / "bin" / name)
    standard = sysconfig.get_path("stdlib")
    shutil.copytree(standard, modules, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    shutil.copytree(site, modules / "site-packages", ignore=shutil.ignore_patterns("__pycache__"))
    (modules / "dist-packages").symlink_to("site-packages")  # where Debian's Python looks
    (folder / "module").symlink_to(f"lib/{name}/site-packages/envoy_pyfilter")
    objects = [folder / "bin" / name, *modules.rglob("*.so")]
    objects.append(site / "envoy_pyfilter" / "libenvoy_pyfilter.so")  # finds libpython from there
    for one in objects:
        for library, path in libraries(one).items():
            if not path.is_relative_to(folder):
                shutil.copy(path, folder / "lib" / library)


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
