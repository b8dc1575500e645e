# SPDX-License-Identifier: Apache-2.0
"""How the load script ends before its time."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from bench.tools import ROOT

# A run as the load script has it: a folder, a program that ends with us, and one step that lasts.
RUN = """\
import subprocess, sys, time
from bench import __main__, tools
from bench.ending import with_us
from bench.running import Bench, bench

def lasts(_):
    with bench(None) as here, here.folder("one") as folder:
        print(folder.parent, flush=True)
        child = subprocess.Popen(with_us(["cat"]), stdin=subprocess.PIPE)
        try:
            print(child.pid, flush=True)
            tools.run(["sleep", "60"])
        finally:
            child.terminate()
            child.wait()
    yield "it was not interrupted"

Bench.__init__ = lambda self, _, work: setattr(self, "_work", work)
__main__.COMMANDS["list"] = lasts
sys.argv = ["bench", "list"]
sys.exit(__main__.main())
"""
# The first terminal that the first process of a session opens is the session's.
ON_TERMINAL = """\
import os, sys
terminal = os.open(sys.argv[2], os.O_RDWR)
for descriptor in (0, 1, 2):
    os.dup2(terminal, descriptor)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
IGNORING = ["import os, signal, sys", "signal.signal({}, signal.SIG_IGN)"]
IGNORING += ["os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"]


@pytest.fixture(autouse=True)
def not_nohup() -> Iterator[None]:
    """Have SIGHUP reach what is started, though the tests run where it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def started(work: Path, *ignored: str) -> tuple[subprocess.Popen[str], Path, int]:
    """Start a run that lasts, in *work*; give it, its folder, and the process that it started."""
    code = [RUN]
    for one in ignored:
        code = ["; ".join(IGNORING).format(one), *code]
    process = subprocess.Popen(
        [sys.executable, "-c", *code],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder, child = line(process.stdout), line(process.stdout)
    return process, Path(folder), int(child)


def line(stream: IO[str] | None) -> str:
    """Read one line."""
    assert stream is not None
    return stream.readline().strip()


def gone(process: int) -> bool:
    """Tell whether a process has ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """Each signal ends what was started, removes the folder, and is named."""
    process, folder, child = started(tmp_path)
    assert folder.is_dir()
    process.send_signal(number)
    printed, said = process.communicate(timeout=30)
    assert ("", f"bench: interrupted by {number.name}\n") == (printed, said)
    assert 128 + number == process.returncode
    assert not folder.exists()
    assert gone(child)


def test_a_job_in_the_background(tmp_path: Path) -> None:
    """A shell has SIGINT ignored there; it ends the run all the same, and no step is blamed."""
    process, folder, _ = started(tmp_path, "signal.SIGINT")
    process.send_signal(signal.SIGINT)
    assert "bench: interrupted by SIGINT\n" == process.communicate(timeout=30)[1]
    assert not folder.exists()


def test_nohup(tmp_path: Path) -> None:
    """SIGHUP that is ignored stays so."""
    process, folder, _ = started(tmp_path, "signal.SIGHUP")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert "bench: interrupted by SIGTERM\n" == process.communicate(timeout=30)[1]
    assert not folder.exists()


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """The run ends in order, though what it still prints is refused."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, RUN, os.ttyname(its)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    with open(ours, encoding="utf-8") as printed:  # noqa: PTH123 (a descriptor)
        assert tmp_path == Path(line(printed)).parent
        line(printed)
        os.close(its)
    assert 128 + signal.SIGHUP == process.wait(timeout=30)
    assert not list(tmp_path.iterdir())


def test_killed(tmp_path: Path) -> None:
    """What it started ends with it."""
    process, _, child = started(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    with suppress(ProcessLookupError):  # it has ended, and its parent knows
        descriptor = os.pidfd_open(child)
        ended, _, _ = select.select([descriptor], [], [], 30)
        os.close(descriptor)
        assert ended
