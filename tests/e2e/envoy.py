# SPDX-License-Identifier: Apache-2.0
"""
One Envoy process: started with a bootstrap, watched through its admin port, ended by SIGTERM.

Its environment holds nothing but the search path of our module, as when it is started by hand.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

from .bootstrap import Dict, bootstrap
from .waiting import until

ROOT = Path(__file__).parents[2]
RELEASES = sorted(
    line for line in (ROOT / "envoy" / "version").read_text().splitlines() if line[0].isdigit()
)
DEATHS = ("Caught Segmentation", "Caught Abort", "assert failure", "envoy bug failure")


def binary(release: str) -> Path:
    """Path of a release's Envoy in the checkout's ``.envoy`` folder."""
    path = ROOT / ".envoy" / release / "envoy" / "_bin" / "envoy"
    assert path.exists(), f"Envoy {release} is not installed: make test installs it"
    return path


def module_folder() -> Path:
    """Folder of the installed package, where the shared object lies."""
    spec = importlib.util.find_spec("envoy_pyfilter")
    assert spec is not None, "envoy_pyfilter is not installed: make test installs it"
    assert spec.submodule_search_locations is not None
    for folder in spec.submodule_search_locations:
        if (Path(folder) / "libenvoy_pyfilter.so").exists():
            return Path(folder)
    raise AssertionError("libenvoy_pyfilter.so is not in the installed package")


class Envoy:
    """A running Envoy, whose listeners a test adds, replaces and removes through a file."""

    def __init__(
        self,
        release: str,
        folder: Path,
        *,
        clusters: list[Dict] | None = None,
        concurrency: int = 1,
        level: str = "info",
        stdout: int | None = None,
        wrapper: list[str] | None = None,
        drain_seconds: int = 1,
        runtime: Dict | None = None,
        overload: Dict | None = None,
        stats: str = "",
    ) -> None:
        """
        Prepare; ``start`` starts it.

        *stdout* is a file descriptor for Envoy's standard output, else it goes to a file.
        *wrapper* is a command that runs another one, as ``nice`` does. After *drain_seconds* the
        connections of a replaced listener are cut. *runtime* holds keys of Envoy's runtime,
        *overload* is its overload manager. *stats* is a pattern of the only stats that it keeps,
        for one with many listeners.
        """
        self.release = release
        self.folder = folder
        self.listeners: dict[str, Dict] = {}
        self.tests = 0  # that have used it, when it is shared
        self.log_path = folder / "envoy.log"
        self.stdout_path = folder / "stdout"
        self._clusters = clusters or []
        self._concurrency = concurrency
        self._level = level
        self._stdout = stdout
        self._wrapper = wrapper or []
        self._drain_seconds = drain_seconds
        self._runtime = runtime
        self._overload = overload
        self._stats = stats
        self._process: subprocess.Popen[bytes] | None = None
        self._version = 0
        self._admin: tuple[str, int] = ("", 0)

    # --- life ---

    def start(self) -> Envoy:
        """Start it and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_listeners()
        config = self.folder / "envoy.json"
        whole = bootstrap(self._lds, self._clusters, self._runtime, self._overload, self._stats)
        config.write_text(json.dumps(whole))
        address = self.folder / "admin"
        address.unlink(missing_ok=True)
        with contextlib.ExitStack() as files:
            stdout = self._stdout
            if stdout is None:
                stdout = files.enter_context(self.stdout_path.open("ab")).fileno()
            log = files.enter_context(self.log_path.open("ab"))
            self._process = subprocess.Popen(
                self._command(config, address),
                env={"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module_folder())},
                stdout=stdout,
                stderr=log,
            )
        until(lambda: self._running() and address.exists() and address.read_text(), self.log)
        host, _, port = address.read_text().rpartition(":")
        self._admin = (host, int(port))
        until(lambda: self._running() and self.get("/ready") == "LIVE\n", self.log)
        if self.listeners:
            until(lambda: self.listeners.keys() <= self.ports().keys(), self.log)
        return self

    def _command(self, config: Path, address: Path) -> list[str]:
        return [
            *self._wrapper,
            str(binary(self.release)),
            *("-c", str(config)),
            *("--concurrency", str(self._concurrency)),
            *("-l", self._level),
            *("--component-log-level", "dynamic_modules:trace"),
            *("--admin-address-path", str(address)),
            *("--file-flush-interval-msec", "10"),
            *("--drain-time-s", str(self._drain_seconds), "--drain-strategy", "immediate"),
            "--disable-hot-restart",
        ]

    def _running(self) -> bool:
        assert self.alive, f"Envoy ended: {self.log()[-3000:]}"
        return True

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None: it still runs, or was stopped."""
        return None if self._process is None else self._process.poll()

    def stop(self, *, sig: int = signal.SIGTERM) -> None:
        """End it, and insist on a clean end."""
        process = self._process
        assert process is not None
        process.send_signal(sig)
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"Envoy did not end: {self.log()[-3000:]}") from None
        self._process = None
        self.check_log()
        assert code == 0, f"exit code {code}: {self.log()[-3000:]}"

    def check_log(self) -> None:
        """Insist that nothing in the log tells of a crash."""
        found = [line for line in self.log().splitlines() if any(d in line for d in DEATHS)]
        assert not found, "\n".join(found)

    def kill(self) -> None:
        """End it anyhow, at the end of a test that failed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # --- listeners ---

    @property
    def _lds(self) -> Path:
        return self.folder / "listeners.json"

    def _write_listeners(self) -> None:
        self._version += 1
        answer = {
            "version_info": str(self._version),
            "resources": list(self.listeners.values()),
        }
        new = self._lds.with_suffix(".new")
        new.write_text(json.dumps(answer))
        new.replace(self._lds)  # Envoy watches for files that are moved in.

    def _updates(self) -> tuple[int, int]:
        stats = self.stats("^listener_manager\\.lds\\.update_(success|rejected)$")
        return (
            stats.get("listener_manager.lds.update_success", 0),
            stats.get("listener_manager.lds.update_rejected", 0),
        )

    def apply(self) -> bool:
        """Give Envoy the listeners as they stand now; false when it rejects them."""
        before = self._updates()
        self._write_listeners()
        until(lambda: self._updates() != before or not self.alive, self.log)
        assert self.alive, self.log()[-3000:]
        accepted = self._updates()[0] > before[0]
        if accepted:
            until(lambda: self.listeners.keys() == self.ports().keys(), self.log)
        return accepted

    def ports(self) -> dict[str, int]:
        """Port of each active listener."""
        answer = json.loads(self.get("/listeners?format=json"))
        return {
            status["name"]: status["local_address"].get("socket_address", {}).get("port_value", 0)
            for status in answer.get("listener_statuses", [])
        }

    # --- what it says ---

    def get(self, path: str, *, method: str = "GET") -> str:
        """Ask the admin port; empty while it does not answer."""
        connection = http.client.HTTPConnection(*self._admin, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match *pattern*."""
        text = self.get(f"/stats?format=json&filter={pattern}")
        found: list[dict[str, Any]] = json.loads(text or "{}").get("stats", [])
        return {stat["name"]: stat["value"] for stat in found if "name" in stat}

    def log(self, start: int = 0) -> str:
        """Read its log so far, from byte *start* on."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    def threads(self) -> list[str]:
        """Names of its threads, sorted."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                found.append((task / "comm").read_text().strip())
        return sorted(found)

    def open_files(self) -> list[str]:
        """Tell what its file descriptors point to, sorted."""
        folder = Path(f"/proc/{self.pid}/fd")
        found = []
        for link in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(str(link.readlink()))
        return sorted(found)


def validate(release: str, folder: Path, config: Dict) -> subprocess.CompletedProcess[str]:
    """Run ``envoy --mode validate`` on a whole bootstrap and give its exit code and output."""
    path = folder / "validate.json"
    path.write_text(json.dumps(config))
    command = [str(binary(release)), "-c", str(path), "--mode", "validate", "-l", "info"]
    return subprocess.run(
        command,
        env={"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module_folder())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
