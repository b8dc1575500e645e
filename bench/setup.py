# SPDX-License-Identifier: Apache-2.0
"""What a variant puts into Envoy, and how it is seen that it did the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.job import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Server:
    """A process beside Envoy: its arguments after ``python -m``, and the socket that it opens."""

    arguments: list[str]
    socket: Path
    when_checked: list[str] = field(default_factory=list)
    """More arguments, with which it writes down what it gets."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One variant in one folder."""

    filters: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    clusters: list[dict[str, Any]] = field(default_factory=list)
    server: Server | None = None
    modules: Path | None = None
    """Where Envoy finds the dynamic module; None: our package."""
    output: Path | None = None
    """The file with a line for each request."""
    read: Callable[[str], dict[str, str]] | None = None
    """Reads a line of it into the ten values, or what else is expected."""
    expected: dict[str, str] = field(default_factory=lambda: EXPECTED)
    lacks: tuple[str, ...] = ()
    """Those of the ten that its format has no place for."""
    buffered: bool = False
    """The file lacks its last lines while the process lives."""
    witness: tuple[str, str] | None = None
    """What Envoy's own log is to print with this format: for what is written into a stream."""
