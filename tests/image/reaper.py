# SPDX-License-Identifier: Apache-2.0
"""
Removes all that a session made, when the session is over.

``python -m image.reaper LABEL...`` waits for the end of its stdin, which comes when the session
ends and also when it is killed; then it removes what has one of the labels.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.containers import Container

Filters = dict[str, str | list[str] | bool]


def left(client: docker.DockerClient, label: str) -> list[str]:
    """Name the containers, networks and volumes that have *label*."""
    wanted: Filters = {"label": label}
    found = [f"container {one.name}" for one in _containers(client, wanted)]
    found += [f"network {one.name}" for one in client.networks.list(filters=wanted)]
    return found + [f"volume {one.name}" for one in client.volumes.list(filters=wanted)]


def remove(client: docker.DockerClient, label: str) -> None:
    """Remove the containers, networks and volumes that have *label*."""
    wanted: Filters = {"label": label}
    for container in _containers(client, wanted):
        with contextlib.suppress(APIError):
            container.remove(force=True, v=True)
    for network in client.networks.list(filters=wanted):
        with contextlib.suppress(APIError):
            network.remove()
    for volume in client.volumes.list(filters=wanted):
        with contextlib.suppress(APIError):
            volume.remove()


def _containers(client: docker.DockerClient, wanted: Filters) -> list[Container]:
    """List them; one that goes meanwhile is not there."""
    return client.containers.list(all=True, filters=wanted, ignore_removed=True)


@contextlib.contextmanager
def watching(*labels: str) -> Iterator[None]:
    """Have everything with *labels* removed when the block ends, or this process does."""
    command = [sys.executable, "-m", "image.reaper", *labels]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[1], start_new_session=True
    )
    assert process.stdin is not None
    try:
        yield
    finally:
        process.stdin.close()
        assert process.wait(120) == 0


if __name__ == "__main__":
    sys.stdin.buffer.read()
    for named in sys.argv[1:]:
        remove(docker.from_env(timeout=600), named)
