# SPDX-License-Identifier: Apache-2.0
"""An Envoy process, bare or under valgrind, and what the kernel says of its threads."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envoy_pyfilter import _envoy

from bench.ending import with_us
from bench.trouble import Trouble, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


class Envoy:
    """A running Envoy: its process, and the port that it listens on."""

    def __init__(self, process: subprocess.Popen[bytes], admin: str, port: int) -> None:
        """Made by ``started``."""
        self.pid = process.pid
        self.server_pid: int | None = None
        self.whole_lines: Path | None = None
        """A file that gets a line for each request, not later than a second after it."""
        self.port = port
        self._admin = admin

    def get(self, page: str) -> str:
        """Give a page of the admin interface."""
        with urllib.request.urlopen(f"http://{self._admin}/{page}", timeout=30) as answer:
            return str(answer.read().decode())


@contextmanager
def started(  # noqa: PLR0913 (all by keyword)
    *,
    binary: Path,
    config: dict[str, Any],
    folder: Path,
    workers: int = 1,
    modules: Path | None = None,
    under: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
) -> Iterator[Envoy]:
    """
    Run Envoy until the block ends, ready for requests.

    *under*: what it is started with; *options*: more of its own. Its config, its log and its admin
    address lie in *folder*. ``Trouble`` when it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bootstrap, admin, log = folder / "envoy.json", folder / "admin.txt", folder / "envoy.log"
    bootstrap.write_text(json.dumps(config, indent=1), encoding="utf-8")
    admin.unlink(missing_ok=True)
    command = [*under, *arguments(binary, bootstrap, admin, workers), *options]
    environment = _envoy.environment()
    if modules is not None:
        environment[_envoy.SEARCH_PATH] = str(modules)
    with log.open("w") as out:
        process = subprocess.Popen(
            with_us(command), env=environment, stdout=out, stderr=out, cwd=folder
        )
    try:
        yield _ready(process, admin, log)
    finally:
        stop(process)


def arguments(binary: Path, bootstrap: Path, admin: Path, workers: int) -> list[str]:
    """Give the command line of an Envoy."""
    return [
        *(str(binary), "-c", str(bootstrap), "--concurrency", str(workers)),
        *("--disable-hot-restart", "--admin-address-path", str(admin), "-l", "warn"),
    ]


def shown(workers: int, *under: str) -> str:
    """Give the command line for the report, with names for what differs."""
    whole = arguments(Path("envoy"), Path("CONFIG"), Path("ADMIN"), workers)
    return shlex.join([*under, *whole])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, and wait for it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Give the time that all threads of a process ran, from the scheduler (nanoseconds there)."""
    ran = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
            ran += int(task.read_text().split()[0])
    return ran / 1e9


def resident_mib(pid: int) -> float:
    """Give the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise Trouble(f"/proc/{pid}/status has no VmRSS")
    return int(found[1]) / 1024


def _ready(process: subprocess.Popen[bytes], admin: Path, log: Path) -> Envoy:
    def port() -> int | None:
        if process.poll() is not None:
            words = log.read_text(errors="replace").strip()[-2000:]
            raise Trouble(f"Envoy ended with {process.returncode}:\n{words}")
        address = admin.read_text(encoding="utf-8").strip()
        page = f"http://{address}/listeners?format=json"
        with urllib.request.urlopen(page, timeout=30) as answer:
            listeners = json.load(answer)["listener_statuses"]
        found: int = listeners[0]["local_address"]["socket_address"]["port_value"]
        return found

    found = wait_for(port, f"Envoy's listener; its log is {log}", 180)
    return Envoy(process, admin.read_text(encoding="utf-8").strip(), found)
