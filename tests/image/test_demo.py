# SPDX-License-Identifier: Apache-2.0
"""``make demo-docker``: what it starts, what it shows, and that it removes all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import reaper
from .build import ROOT
from .engine import Engine, until

DEMO = [sys.executable, str(ROOT / "envoy" / "demo_docker.py")]
PROJECT = "com.docker.compose.project"


class Demo:
    """The demo while it runs, and what it has printed."""

    def __init__(self, name: str, image: str) -> None:
        """Start it for an image."""
        environment = {**os.environ, "IMAGE": image, "ENVOY_PORT": "0"}
        self.process = subprocess.Popen(
            [*DEMO, "--name", name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += re.sub(r"\x1b\[\d*m", "", line)  # without colours

    def wait(self, pattern: str) -> str:
        """Wait until it has printed something, and give the first group of *pattern*."""

        def found() -> re.Match[str] | None:
            one = re.search(pattern, self.printed)
            assert one or self.process.poll() is None, self.printed
            return one

        return until(found, lambda: self.printed, within=60)[1]

    def end(self, number: int) -> int:
        """Send a signal, and give the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@contextmanager
def running(image: str) -> Iterator[tuple[Demo, str]]:
    """Run the demo; what it leaves, should it fail, is removed. Give its label, too."""
    name = f"envoy-pyfilter-{uuid.uuid4().hex[:12]}"
    label = f"{PROJECT}={name}"
    with reaper.watching(label):
        demo = Demo(name, image)
        try:
            yield demo, label
        finally:
            demo.process.terminate()
            demo.process.wait(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo(engine: Engine, image: str, number: int) -> None:
    """The agent shows the request that it tells to try; a signal removes all."""
    with running(image) as (demo, label):
        address = demo.wait(r"curl -i (http://127\.0\.0\.1:\d+)/v1/chat")
        made = reaper.left(engine.client, label)
        with urllib.request.urlopen(f"{address}/v1/chat", b'{"prompt": "hello"}') as answer:  # noqa: S310
            assert 200 == answer.status
            assert "demo-1" == answer.headers["x-ai-model"]
        demo.wait(r"(FORWARDED +POST .*/v1/chat)")
        demo.wait(r"response +POST .*/v1/chat +(200)")

        assert ["container"] * 3 == [one.split()[0] for one in made][:3]
        assert {"network", "volume"} == {one.split()[0] for one in made[3:]}
        assert 0 == demo.end(number)
        assert [] == reaper.left(engine.client, label)
