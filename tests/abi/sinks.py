# SPDX-License-Identifier: Apache-2.0
"""The program ``parts/sinks.c``: sinks and their flusher without Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .host import PATIENCE

RING_BYTES = 65536


class Sinks:
    """The program ``parts/sinks.c``; each sink has a number."""

    def __init__(self, program: Path, log: Path) -> None:
        """Start it; what it would log goes to *log*."""
        self.log = log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def __call__(
        self, what: str, sink: int = 0, first: int = 0, second: int = 0, text: str | Path = "-"
    ) -> int:
        """Have a command carried out, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, sink, first, second, text, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def open(self, sink: int, path: Path | str, ring_bytes: int = RING_BYTES) -> None:
        """Ask for the file's sink."""
        self("open", sink, ring_bytes, 0, path)

    def put(self, sink: int, letter: str, length: int, *, slot: int = 0) -> None:
        """Put a line of that many bytes, which the ring has to take."""
        assert self("put", sink, slot, length, letter) == 0

    def agent(self, sink: int, path: Path | str, *, oldest: bool = False) -> None:
        """Ask for the sink of the agent's socket; "limits" before it gives other limits."""
        assert self("agent", sink, RING_BYTES, int(oldest), path) == 0

    def packet(self, text: str, sink: int = 0, length: int = 0, *, slot: int = 0) -> None:
        """Put a packet, which the ring has to take: *text*, and dots up to *length* bytes."""
        assert self("packet", sink, slot, max(length, len(text)), text) == 0

    def end(self) -> None:
        """Let the program end, and the sanitizers say what they found."""
        self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, self.log.read_text()
