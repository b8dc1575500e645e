# SPDX-License-Identifier: Apache-2.0
"""The command as a process: run to its end, or watched while it runs."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from envoy_pyfilter.cli import main

ROOT = Path(__file__).parents[2]
RELEASES = [
    line for line in (ROOT / "envoy" / "version").read_text().splitlines() if line[0].isdigit()
]
COMMAND = [sys.executable, "-m", "envoy_pyfilter"]
ENVIRONMENT = {**os.environ, "ENVOY_PYFILTER_ENVOYS": str(ROOT / ".envoy"), "TERM": "xterm"}
PATIENCE = 30.0


def until(condition: Callable[[], bool], told: Callable[[], str]) -> None:
    """Wait until *condition* holds; *told* says what was there instead."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the command gave back."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str | Path, cwd: Path = ROOT) -> Done:
    """Run the command to its end, in this process: starting Python takes longer than most tests."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with (
            mock.patch.dict(os.environ, ENVIRONMENT),
            mock.patch.object(sys, "path", sys.path.copy()),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main([str(one) for one in arguments])
    except SystemExit as error:  # argparse
        code = int(error.code or 0)
    finally:
        os.chdir(before)
    return Done(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


class Running:
    """The command while it runs; *terminal*: its stdout is a terminal instead of a pipe."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path = ROOT,
        terminal: bool = False,
        stdout: tuple[int, int] | None = None,
        **env: str,
    ) -> None:
        """Start it; *stdout*: both ends of a pipe, the first of which the caller closes."""
        read, write = stdout or (pty.openpty() if terminal else os.pipe())
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env={**ENVIRONMENT, **env},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(write)
        assert self.process.stderr is not None
        self._read, self._log = read, self.process.stderr.fileno()
        self._texts = {self._log: b""}
        if stdout is None:
            self._texts[read] = b""
        self._threads = [threading.Thread(target=self._collect, args=(fd,)) for fd in self._texts]
        for thread in self._threads:
            thread.start()

    def _collect(self, fd: int) -> None:
        while True:
            try:
                data = os.read(fd, 1 << 16)
            except OSError:  # what a terminal says when the other side is closed
                return
            if not data:
                return
            self._texts[fd] += data

    @property
    def out(self) -> str:
        """What it wrote to stdout so far."""
        return self._texts.get(self._read, b"").decode()

    @property
    def err(self) -> str:
        """What it wrote to stderr so far."""
        return self._texts[self._log].decode()

    def told(self) -> str:
        """Say all of it."""
        return f"--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def url(self) -> str:
        """Give the address that it prints, once it does."""
        until(lambda: "curl -i" in self.err, self.told)
        found = re.search(r"curl -i (http://[\d.:]+)", self.err)
        assert found is not None
        return found[1]

    def lines(self, count: int) -> list[str]:
        """Give the lines of stdout, once there are *count*."""
        until(lambda: self.out.count("\n") >= count, self.told)
        return self.out.splitlines()

    def envoy(self) -> int:
        """Pid of its Envoy."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and give the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and give the exit code."""
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        assert self.process.stderr is not None
        self.process.wait()
        for thread in self._threads:
            thread.join(PATIENCE)
        self.process.stderr.close()
        if self._read in self._texts:
            os.close(self._read)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not waited for does not."""
    try:
        return state(Path(f"/proc/{pid}")) != "Z"
    except FileNotFoundError:
        return False


def state(process: Path) -> str:
    """Give the letter with which the kernel names a process's or a thread's state."""
    return (process / "stat").read_text().rsplit(")", 1)[1].split()[0]


def is_pending(pid: int, number: int) -> bool:
    """Tell whether a signal waits for a process."""
    found = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) & 1 << number - 1)
