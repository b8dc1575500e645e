# SPDX-License-Identifier: Apache-2.0
"""
The base image: pulled from a registry, or made where none is reached.

A Debian made here has the host's certificate authorities, for an index behind one's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
from docker.errors import APIError, ImageNotFound

DEFAULT = "debian:bookworm-slim"
_HOST_CAS = Path("/etc/ssl/certs/ca-certificates.crt")
_IMAGE_CAS = ("usr/local/share/ca-certificates/host.crt", "etc/ssl/certs/ca-certificates.crt")
# What Debian's own slim images leave out; dpkg is told, so that it stays so.
_LEFT_OUT = [f"usr/share/{name}" for name in ("doc", "man", "groff", "info", "lintian", "locale")]


def ensure(client: docker.DockerClient, name: str = DEFAULT) -> str:
    """Have the image ``debian:SUITE-slim``, and give its name."""
    try:
        client.images.get(name)
    except ImageNotFound:
        try:
            client.images.pull(name)
        except APIError as error:
            print(f"no registry gives {name} ({error.explanation}): making it")
            _make(client, name)
    return name


def _work() -> Path:
    """Give a folder for device files and some hundred MB: /tmp may take neither."""
    folder = Path(__file__).parents[2] / "build"
    folder.mkdir(exist_ok=True)
    return folder


def _make(client: docker.DockerClient, name: str) -> None:
    suite = name.removeprefix("debian:").removesuffix("-slim")
    with TemporaryDirectory(prefix="base-", dir=_work()) as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        _bootstrap(suite, root)
        _slim(root)
        changes = ['CMD ["bash"]']
        if _HOST_CAS.exists():
            for place in _IMAGE_CAS:
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(_HOST_CAS, root / place)
            changes.append(f"ENV PIP_CERT=/{_IMAGE_CAS[-1]}")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, ".")
        repository, tag = name.split(":")
        client.api.import_image_from_file(str(archive), repository, tag, changes=changes)


def _bootstrap(suite: str, root: Path) -> None:
    command = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    assert command, "no registry is reached, and debootstrap is missing (apt-get install it)"
    assert os.geteuid() == 0, "no registry is reached, and debootstrap needs root"
    scripts = Path("/usr/share/debootstrap/scripts")
    arguments = [command, "--variant=minbase", suite, str(root)]
    if not (scripts / suite).exists():  # a suite newer than debootstrap: all are made alike
        arguments += ["http://deb.debian.org/debian", str(scripts / "sid")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr}"


def _slim(root: Path) -> None:
    for place in (*_LEFT_OUT, "var/lib/apt/lists", "var/cache/apt", "var/log"):
        shutil.rmtree(root / place, ignore_errors=True)
        (root / place).mkdir()
    rules = [f"path-exclude=/{place}/*\n" for place in _LEFT_OUT]
    rules.append("path-include=/usr/share/doc/*/copyright\n")
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text("".join(rules))
    # The lists of a Debian that is not released yet are good for a week; a mirror may lag behind.
    (root / "etc/apt/apt.conf.d/lists").write_text('Acquire::Check-Valid-Until "false";\n')
