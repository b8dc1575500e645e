# SPDX-License-Identifier: Apache-2.0
"""Our variants in which threads want the GIL at the same time; ``variants.py`` names them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.ours import access, file_sink, ours_json, python_sink, writing

if TYPE_CHECKING:
    from pathlib import Path

    from bench.setup import Setup

COMPUTES = 50
"""Milliseconds with each batch of records: longer than the next batch takes to come."""


def json_quiet(folder: Path) -> Setup:
    """The access filter with a JSON file, and a Python sink that does nothing."""
    return _recording(folder, ms=0, gil=False)


def json_busy(folder: Path) -> Setup:
    """The access filter with a JSON file, and a Python sink that computes all the time."""
    return _recording(folder, ms=COMPUTES, gil=True)


def json_busy_free(folder: Path) -> Setup:
    """The access filter with a JSON file, and a sink that computes in C without the GIL."""
    return _recording(folder, ms=COMPUTES, gil=False)


def hook_quiet(folder: Path) -> Setup:
    """A Python filter with one hook, and a Python sink that does nothing."""
    return _deciding(folder, ms=0, gil=False)


def hook_busy(folder: Path) -> Setup:
    """A Python filter with one hook, and a Python sink that computes all the time."""
    return _deciding(folder, ms=COMPUTES, gil=True)


def hook_busy_free(folder: Path) -> Setup:
    """A Python filter with one hook, and a sink that computes in C without the GIL."""
    return _deciding(folder, ms=COMPUTES, gil=False)


def hook_busy_5000us(folder: Path) -> Setup:
    """As `ours-hook-busy`, with a switch interval of 5 ms, CPython's own."""
    return _deciding(folder, ms=COMPUTES, gil=True, switch_interval=5e-3)


def hook_busy_1000us(folder: Path) -> Setup:
    """As `ours-hook-busy`, with a switch interval of 1 ms."""
    return _deciding(folder, ms=COMPUTES, gil=True, switch_interval=1e-3)


def hook_busy_100us(folder: Path) -> Setup:
    """As `ours-hook-busy`, with a switch interval of 0.1 ms."""
    return _deciding(folder, ms=COMPUTES, gil=True, switch_interval=1e-4)


def hook_busy_10us(folder: Path) -> Setup:
    """As `ours-hook-busy`, with a switch interval of 0.01 ms."""
    return _deciding(folder, ms=COMPUTES, gil=True, switch_interval=1e-5)


def hook_5000us(folder: Path) -> Setup:
    """As `ours-hook`, with a switch interval of 5 ms, CPython's own."""
    return writing(folder, "One", switch_interval=5e-3)


def hook_1000us(folder: Path) -> Setup:
    """As `ours-hook`, with a switch interval of 1 ms."""
    return writing(folder, "One", switch_interval=1e-3)


def hook_100us(folder: Path) -> Setup:
    """As `ours-hook`, with a switch interval of 0.1 ms."""
    return writing(folder, "One", switch_interval=1e-4)


def hook_10us(folder: Path) -> Setup:
    """As `ours-hook`, with a switch interval of 0.01 ms."""
    return writing(folder, "One", switch_interval=1e-5)


def _recording(folder: Path, **computes: Any) -> Setup:
    sinks = [*file_sink(folder), python_sink("Busy", **computes)]
    filters = [access(sinks)]
    return replace(ours_json(folder), filters=filters)


def _deciding(folder: Path, *, switch_interval: float = 0, **computes: Any) -> Setup:
    setup = writing(folder, "One", switch_interval=switch_interval)
    sinks = [python_sink("Busy", **computes)]
    recording = access(sinks)
    return replace(setup, filters=[recording, *setup.filters])
