# SPDX-License-Identifier: Apache-2.0
"""
``envoy-pyfilter run``: one Envoy as a child, from its start to its end.

1. The bootstrap is the user's, or is made and written to a folder of our own.
2. Envoy starts with its stdout as a pipe: what our file sink writes to ``/dev/stdout`` comes there.
3. Its admin port says when it is ready; we print the address and a line to try.
4. Entries are printed as they come, until Envoy ends or a signal ends it.

Envoy has a session of its own, so that Ctrl-C reaches only us; we end it in order. If we cannot,
for we were killed, the kernel ends it (``_child.py``).
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from envoy_pyfilter import _child, _envoy
from envoy_pyfilter._console import say
from envoy_pyfilter._envoy_log import complaints, not_bound
from envoy_pyfilter._follow import Printer, follow

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

Child: TypeAlias = "subprocess.Popen[str]"

PATIENCE = 10.0  # seconds that Envoy gets to end after SIGTERM
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUIET = ["-l", "warning", "--component-log-level", "main:error,dynamic_modules:info"]
ADMIN = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run."""

    envoy: Path
    config: Path
    add_admin: bool = False  # the bootstrap has no admin address
    log_level: str | None = None  # None: warnings, and what filters say through logging
    files: list[Path] = field(default_factory=list)  # entries come there, besides stdout
    ports: dict[int, str] = field(default_factory=dict)  # port -> the option that says it
    try_path: str = "/"


class Admin:
    """Envoy's admin port, known by the file that Envoy writes its address to."""

    def __init__(self, path: Path) -> None:
        """*path*: what ``--admin-address-path`` names."""
        self.path = path

    def get(self, path: str) -> tuple[int, str]:
        """Ask; (0, "") while there is nobody to answer."""
        try:
            host, _, port = self.path.read_text().rpartition(":")
            connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, ValueError, http.client.HTTPException):
            return 0, ""

    def listeners(self) -> list[str]:
        """Give the listeners' addresses as ``host:port``, a wildcard as loopback."""
        _, text = self.get("/listeners?format=json")
        found: list[dict[str, Any]] = json.loads(text or "{}").get("listener_statuses", [])
        addresses = [one.get("local_address", {}).get("socket_address") for one in found]
        return [_reachable(one["address"], one["port_value"]) for one in addresses if one]


def _reachable(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Run:
    """One run of Envoy; ``until_end`` gives the exit code of the command."""

    def __init__(self, job: Job, folder: Path) -> None:
        """*folder*: a place for what belongs to this run only."""
        self.job = job
        self.admin = Admin(folder / "admin")
        self.process: Child | None = None
        self.stopping = False
        self.printer = Printer(sys.stdout, self.stop)
        self.last_words: deque[str] = deque(maxlen=2000)

    def stop(self) -> None:
        """End Envoy: politely at first, at once when asked again or when it takes too long."""
        again, self.stopping = self.stopping, True
        if self.process is None:
            return
        if again:
            self.process.kill()
            return
        self.process.terminate()
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.daemon = True
        timer.start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def _command(self) -> list[str]:
        command = [sys.executable, "-I", _child.__file__, str(os.getpid()), str(self.job.envoy)]
        command += ["-c", str(self.job.config), "--disable-hot-restart"]
        command += ["--admin-address-path", str(self.admin.path)]
        command += ["-l", self.job.log_level] if self.job.log_level else QUIET
        return command + (["--config-yaml", ADMIN] if self.job.add_admin else [])

    def _start(self) -> Child:
        process = subprocess.Popen(
            self._command(),
            env=_envoy.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self.process = process
        if self.stopping:
            process.terminate()
        return process

    def _copy_log(self, source: IO[str]) -> None:
        """Envoy's own log goes to our stderr; its end is kept, to say why Envoy ended."""
        for line in source:
            self.last_words.append(line)
            with suppress(OSError):
                sys.stderr.write(line)
                sys.stderr.flush()

    def _threads(self, process: Child, ended: threading.Event) -> list[threading.Thread]:
        """Give the threads that read what Envoy writes."""
        out, err = cast("IO[str]", process.stdout), cast("IO[str]", process.stderr)
        works: list[Callable[[], None]] = [
            partial(self.printer.lines, out),
            partial(self._copy_log, err),
        ]
        for path in self.job.files:
            start = path.stat().st_size if path.is_file() else 0
            works.append(partial(follow, path, self.printer.line, ended, start))
        return [threading.Thread(target=work, daemon=True) for work in works]

    def _wait_ready(self, process: Child) -> bool:
        """Wait until Envoy serves; false when it ended or was told to."""
        told = time.monotonic() + 15
        while process.poll() is None and not self.stopping:
            status, text = self.admin.get("/ready")
            if status == http.client.OK:
                return True
            if time.monotonic() > told:
                say(f"Envoy is not ready yet: {text.strip() or 'its admin port does not answer'}")
                told += 15
            time.sleep(0.05)
        return False

    def _announce(self) -> None:
        release = _envoy.version(self.job.envoy)
        addresses = self.admin.listeners()
        where = " and ".join(f"http://{address}" for address in addresses) or "no address"
        admin = self.admin.path.read_text()
        say(f"Envoy {release} listens on {where} (admin: http://{admin}). Ctrl-C ends it. Try:")
        for address in addresses[:1]:
            say(f"  curl -i http://{address}{self.job.try_path}")

    def until_end(self) -> int:
        """Start Envoy, print entries until it ends, and give the command's exit code."""
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        ended = threading.Event()
        process = self._start()
        threads = self._threads(process, ended)
        try:
            for thread in threads:
                thread.start()
            ready = self._wait_ready(process)
            if ready:
                self._announce()
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            ended.set()
            for thread in threads:
                thread.join(PATIENCE)
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._verdict(process.returncode, ready=ready)

    def _not_bound(self, address: str, reason: str) -> str:
        """Say where Envoy could not listen, and how to have another address."""
        port = address.rpartition(":")[2]
        option = self.job.ports.get(int(port)) if port.isdecimal() else None
        other = f"{option} chooses another port, 0 a free one"
        if option is None:
            other = f"{self.job.config} has to name another address"
        return f"Envoy cannot listen on {address}: {reason}; {other}"

    def _verdict(self, code: int, *, ready: bool) -> int:
        if self.stopping:
            say("Envoy has ended.")
            return 0
        bound = None if ready else not_bound("".join(self.last_words))
        if bound is not None:
            say(f"envoy-pyfilter: {self._not_bound(*bound)}")
            return 1
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by {_signal_name(-code)}"
        reasons = complaints("".join(self.last_words))[-1:]
        when = "" if ready else " before it was ready"
        say(f"envoy-pyfilter: Envoy {how}{when}{': ' if reasons else ''}{''.join(reasons)}")
        return 1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def run(job: Job) -> int:
    """Run Envoy until it ends; 0 when we ended it."""
    with tempfile.TemporaryDirectory(prefix="envoy-pyfilter-") as folder:
        return Run(job, Path(folder)).until_end()
