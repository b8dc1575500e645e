# SPDX-License-Identifier: Apache-2.0
"""The programs that are driven, and the machine they run on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.ending import with_us
from bench.trouble import Trouble

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "bench" / "peers"
ENVIRONMENT = ["ENVOY_PYFILTER_READS"]
"""What Envoy's environment may hold that changes what we cost."""
DEBIAN = {
    "h2load": "nghttp2-client",
    "valgrind": "valgrind",
    "callgrind_control": "valgrind",
    "callgrind_annotate": "valgrind",
    "cc": "gcc",
    "nm": "binutils",
}


def need(*tools: str) -> None:
    """Raise ``Trouble`` with one line that names each of *tools* that is not on the PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({DEBIAN[tool] for tool in missing}))
        raise Trouble(f"missing: {', '.join(missing)} (Debian: apt-get install {packages})")


def run(command: list[str], seconds: float = 300) -> str:
    """Run a program to its end and give what it printed; ``Trouble`` with its last words."""
    try:
        done = subprocess.run(
            with_us(command), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"{command[0]} did not end within {seconds:.0f} s") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise Trouble(f"{' '.join(command)} failed with {done.returncode}:\n{words}")
    return done.stdout


def version(tool: str) -> str:
    """Give the first line of what a program says of its version."""
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def machine() -> dict[str, Any]:
    """Describe what the figures were made on."""
    cpu = re.search(r"^model name\s*: (.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": int(memory[1]) // 1024 if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        **{key: os.environ[key] for key in ENVIRONMENT if key in os.environ},
        "when": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _commit() -> str:
    if shutil.which("git") is None:
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
