# SPDX-License-Identifier: Apache-2.0
"""
``envoy-pyfilter doctor``: what is missing, to run and to build.

Each check is a function from facts to a ``Result``; ``look`` gathers facts, tests invent them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from envoy_pyfilter import _envoy, _preflight
from envoy_pyfilter._bootstrap import PyFilter, Wanted, as_yaml, bootstrap
from envoy_pyfilter._check import with_envoy
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._preflight import Result

PACKAGES = ("cffi", "msgspec", "PyYAML")
_HOOK = "envoy_dynamic_module_on_program_init"
_OPEN = f"import ctypes, sys; ctypes.CDLL(sys.argv[1], mode=1).{_HOOK}"

_ONLY_ENVOY = "undefined symbol: envoy_dynamic_module_callback_"  # all but Envoy itself was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found; "" and None stand for: not there."""

    machine: _preflight.Facts
    packages: dict[str, str]  # name -> version
    module: str  # path of the shared object
    module_error: str  # what the loader said of it; "" when it opened
    envoy: str  # path
    envoy_release: str
    envoy_error: str  # why the Envoy that was found will not do, or why there is none
    load_error: str  # what Envoy said when it was to load the module; "" when it did


def _versions() -> dict[str, str]:
    installed = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return {name: installed.get(name, "") for name in PACKAGES}


def _module() -> tuple[str, str]:
    try:
        path = str(_envoy.module_folder() / _envoy.MODULE_FILE)
    except Refusal:
        return "", ""
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, path], capture_output=True, text=True, check=False
    )
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    opened = done.returncode == 0 or _ONLY_ENVOY in lines[-1]
    return path, "" if opened else lines[-1].removeprefix(f"OSError: {path}: ")


def _load(envoy: Path) -> str:
    """Have Envoy load the module with the access filter; give what it said against it."""
    with tempfile.TemporaryDirectory(prefix="envoy-pyfilter-") as folder:
        file = Path(folder, "doctor.yaml")
        wanted = Wanted(filters=[PyFilter(name="access")], upstream=("127.0.0.1", 1))
        file.write_text(as_yaml(bootstrap(wanted)))
        return "; ".join(finding.text for finding in with_envoy(envoy, file))


def look(spec: str | None) -> Facts:
    """Gather the facts; *spec* names an Envoy as in ``_envoy.present``. Downloads nothing."""
    module, module_error = _module()
    envoy, release, envoy_error, load_error = "", "", "", ""
    try:
        path = _envoy.present(spec)
        if path is not None:
            envoy = str(path)
            release = _envoy.require_supported(path)
        elif spec is not None:
            wanted = _envoy.full(spec)
            how = f"envoy-pyfilter run --envoy {wanted} downloads it"
            envoy_error = f"no Envoy {wanted} in {_envoy.folder()}: {how}"
    except Refusal as refusal:
        envoy_error = str(refusal)
    if release and module and not module_error:
        load_error = _load(Path(envoy))
    return Facts(
        machine=_preflight.look(),
        packages=_versions(),
        module=module,
        module_error=module_error,
        envoy=envoy,
        envoy_release=release,
        envoy_error=envoy_error,
        load_error=load_error,
    )


def check_package(facts: Facts, name: str) -> Result:
    """One of the packages that we import."""
    version = facts.packages[name]
    if version:
        return Result(name, True, version, about_python=False)
    text = f"the package {name} is not installed: pip install {name}"
    return Result(name, False, text, about_python=False)


def check_module(facts: Facts) -> Result:
    """Find the shared object, made for this Python."""
    if not facts.module:
        text = (
            f"{_envoy.MODULE_FILE} is not beside the package: pip install envoy-pyfilter, or run "
            "make in a checkout"
        )
        return Result("module", False, text, about_python=False)
    if facts.module_error:
        short = ".".join(map(str, facts.machine.version[:2]))
        help_ = "install the package again with the Python that is to run in Envoy"
        if facts.module_error.startswith(f"libpython{short}."):  # made for this Python
            library = facts.machine.library
            folder = f"start Envoy with LD_LIBRARY_PATH={Path(library).parent}"
            help_ = folder if library else "it is this Python's shared library"
        text = f"{facts.module} does not open ({facts.module_error}): {help_}"
        return Result("module", False, text, about_python=False)
    return Result("module", True, facts.module, about_python=False)


def check_envoy(facts: Facts) -> Result:
    """Find an Envoy of a release that we support."""
    if facts.envoy_error:
        return Result("Envoy", False, facts.envoy_error, about_python=False)
    if facts.envoy:
        text = f"{facts.envoy_release} ({facts.envoy})"
        return Result("Envoy", True, text, about_python=False)
    text = (
        "no envoy in this environment or on PATH: pip install 'envoy-pyfilter[envoy]', or let "
        f"envoy-pyfilter run download one ({_envoy.supported()} are supported)"
    )
    return Result("Envoy", False, text, about_python=False)


def check_load(facts: Facts) -> Result | None:
    """Try the two together; None when one of them is missing."""
    if not facts.envoy_release or not facts.module or facts.module_error:
        return None
    if facts.load_error:
        text = f"Envoy does not take the module: {facts.load_error}"
        return Result("together", False, text, about_python=False)
    text = f"Envoy {facts.envoy_release} loads the access filter"
    return Result("together", True, text, about_python=False)


def results(facts: Facts) -> tuple[list[Result], list[Result]]:
    """Give what running needs and what only building needs; without the module both are needed."""
    to_run = [check(facts.machine) for check in _preflight.TO_RUN]
    to_run += [check_package(facts, name) for name in PACKAGES]
    to_run += [check_module(facts), check_envoy(facts)]
    together = check_load(facts)
    to_run += [together] if together else []
    to_build = [check(facts.machine) for check in _preflight.TO_BUILD]
    return (to_run, to_build) if facts.module else (to_run + to_build, [])


def report(facts: Facts) -> tuple[list[str], int]:
    """Give the lines to print and the exit code: 1 if something is missing that running needs."""
    needed, optional = results(facts)
    lines = [f"{'ok' if one.ok else 'MISSING':8} {one.name}: {one.text}" for one in needed]
    lines += [
        f"{'ok' if one.ok else '-':8} {one.name}: {one.text}"
        + ("" if one.ok else " (only to build from source)")
        for one in optional
    ]
    folder = Path(facts.module).parent if facts.module else None
    if folder is not None:
        lines += [f"To start Envoy by hand: {_envoy.SEARCH_PATH}={folder} envoy -c FILE"]
    return lines, int(not all(one.ok for one in needed))
