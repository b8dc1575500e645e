# SPDX-License-Identifier: Apache-2.0
"""``envoy/kubernetes/gather.py``: a folder with all that an Envoy without Python needs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from .command import ENVIRONMENT, RELEASES, ROOT
from .conftest import binary
from .test_kubernetes import documents

PACKAGES = ("envoy-pyfilter", "cffi", "msgspec", "PyYAML", "pycparser")


def environment(folder: Path) -> Path:
    """Make an environment that has the package and what it needs, by links; give its Python."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in PACKAGES:
        for file in metadata.files(package) or ():
            top = Path(str(file)).parts[0]
            source = Path(sysconfig.get_path("purelib"), top)
            if source.exists() and top != ".." and not (site / top).exists():
                (site / top).symlink_to(source)
    return folder / "bin" / "python"


def test_an_envoy_takes_all_of_it_from_the_folder(tmp_path: Path) -> None:
    """
    Envoy, with no more than LD_LIBRARY_PATH, maps nothing of the Python that was copied.

    The module's Python is asked by a filter, whose module says where its modules come from.
    """
    folder = tmp_path / "opt"
    python = environment(tmp_path / "venv")
    script = ROOT / "envoy" / "kubernetes" / "gather.py"
    subprocess.run([python, script, folder], check=True)
    (entry,) = documents("gateway-volume.yaml")[0]["spec"]["dynamicModules"]
    path = Path(entry["source"]["local"]["path"]).relative_to("/opt/envoy-pyfilter")
    module = folder / path
    assert module.is_file()

    filters = tmp_path / "filters"
    filters.mkdir()
    (filters / "tell.py").write_text(
        "import sys, os, ssl\n"
        "from envoy_pyfilter import Filter\n"
        "with open('/proc/self/maps') as maps, open(os.environ['TOLD'], 'w') as told:\n"
        "    lines = [line.split()[-1] for line in maps if '/' in line]\n"
        "    told.write('\\n'.join([*lines, sys.prefix, os.__file__]))\n"
        "class Tell(Filter):\n"
        "    pass\n"
    )
    bootstrap = tmp_path / "envoy.yaml"
    command = [sys.executable, "-m", "envoy_pyfilter", "config", "--bootstrap"]
    command += ["--filter", "tell:Tell"]
    told = tmp_path / "told"
    env = {**ENVIRONMENT, "TOLD": str(told)}
    with bootstrap.open("w") as file:
        subprocess.run(command, cwd=filters, env=env, stdout=file, check=True)
    done = subprocess.run(
        [binary(RELEASES[0]), "--mode", "validate", "-c", bootstrap],
        env={
            "LD_LIBRARY_PATH": str(folder / "lib"),
            "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module.parent),
            "TOLD": str(told),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    *maps, prefix, standard = told.read_text().splitlines()
    assert str(folder) == prefix
    assert standard.startswith(str(folder))
    names = ("python", "cffi", "pyfilter")
    ours = {one for one in maps if any(name in Path(one).name for name in names)}
    assert any("libpython" in one for one in ours)
    assert all(one.startswith(str(folder)) for one in ours), ours
