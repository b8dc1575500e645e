# SPDX-License-Identifier: Apache-2.0
"""Builds the image, once for each release; the engine's cache makes the second time short."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker

from . import base

ROOT = Path(__file__).parents[2]
RELEASES = [
    line for line in (ROOT / "envoy" / "version").read_text().splitlines() if line[0].isdigit()
]
TAG = f"envoy-pyfilter-test-{sha256(bytes(ROOT)).hexdigest()[:8]}"  # each checkout has its own


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Let one process at a time do *what*: tests run in several, which share the engine."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    with (folder / f".{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(client: docker.DockerClient, tag: str, folder: Path, **options: Any) -> str:
    """Build an image of *folder*, as ``docker build --network=host`` does, and give its tag."""
    said: list[str] = []
    options |= {"network_mode": "host", "rm": True, "forcerm": True, "decode": True}
    for line in client.api.build(path=str(folder), tag=tag, **options):
        said.append(str(line.get("stream") or line.get("error") or ""))
        assert "error" not in line, "".join(said)[-6000:]
    return tag


def image(
    client: docker.DockerClient,
    release: str,
    suite: str = "bookworm",
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Build our image with an Envoy of *release* on a Debian, and give its tag."""
    with alone("image"):
        return build(
            client,
            f"{TAG}:{release}-{suite}",
            ROOT,
            dockerfile="envoy/Dockerfile",
            buildargs={
                "BASE": base.ensure(client, f"debian:{suite}-slim"),
                "ENVOY": release,
                **(arguments or {}),
            },
        )
