# SPDX-License-Identifier: Apache-2.0
"""The harness: what it leaves when it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys

from . import reaper
from .build import ROOT
from .engine import Engine, until

# A session that makes one of each, says so, and waits to be killed.
SESSION = """
import sys
from image import reaper
from image.engine import Engine, connect

engine = Engine(connect())
with reaper.watching(engine.label), engine.scope():
    engine.create(sys.argv[1], network=engine.network(), volumes=[f"{engine.volume().name}:/v"])
    print(engine.label, flush=True)
    sys.stdin.read()
"""


def test_killed(engine: Engine, image: str) -> None:
    """What a session made is removed though it was killed."""
    command = [sys.executable, "-c", SESSION, image]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT / "tests", stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        label = process.stdout.readline().strip()
        made = {one.split()[0] for one in reaper.left(engine.client, label)}
        process.send_signal(signal.SIGKILL)

    assert {"container", "network", "volume"} == made
    until(lambda: not reaper.left(engine.client, label), lambda: reaper.left(engine.client, label))
