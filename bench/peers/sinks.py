# SPDX-License-Identifier: Apache-2.0
"""Python sinks: one that does the job on its own thread, and one that computes."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envoy_pyfilter.sinks import Sink

if TYPE_CHECKING:
    from envoy_pyfilter.record import Record

BUFFER = 65536
STEPS = 1000
BLOCK = bytes(1 << 16)


class Lines(Sink):
    """Writes the ten values of each record as a line into a buffered file."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Open the file ``path``."""
        self.out = Path(config["path"]).open("a", buffering=BUFFER)  # noqa: SIM115 (as long as the sink)

    def write(self, records: list[Record]) -> None:
        """Write a line for each."""
        self.out.writelines(line(record) for record in records)


def line(record: Record) -> str:
    """Give the line of a record."""
    request, response = record.request_headers, record.response_headers
    values = (
        record.method,
        record.path,
        record.authority,
        request["user-agent"],
        request["accept"],
        request["x-request-id"],
        record.response_code,
        response["content-type"],
        response["content-length"],
        response["x-served-by"],
    )
    return "\t".join(map(str, values)) + "\n"


class Busy(Sink):
    """
    Computes for ``ms`` milliseconds with each batch, and drops it.

    ``gil``: whether it holds the GIL meanwhile (a loop in Python) or not (hashing in C). While
    requests come faster than that, its thread never rests.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Take ``ms`` and ``gil``."""
        self._seconds = config["ms"] / 1000
        self._step = count if config["gil"] else digest

    def write(self, _: list[Record]) -> None:
        """Compute."""
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            self._step()


def count() -> int:
    """Compute in Python."""
    return sum(i * i for i in range(STEPS))


def digest() -> bytes:
    """Compute in C, without the GIL."""
    return hashlib.sha256(BLOCK).digest()
