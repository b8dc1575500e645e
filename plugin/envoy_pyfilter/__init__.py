# SPDX-License-Identifier: Apache-2.0
"""Filters for a stock Envoy, written in Python."""

from __future__ import annotations

from .access import AccessConfig, AccessFilter
from .body import Body
from .errors import ConfigError, PyFilterError, StreamGone, WrongThread
from .filter import Config, Filter
from .headers import Headers
from .metadata import DynamicMetadata, FilterState, Metadata
from .metrics import Counter, Gauge, Histogram
from .record import Record
from .sinks import Sink
from .stream import Stream
from .verdict import (
    BUFFER,
    PASS,
    PAUSE,
    Decision,
    LocalReply,
    Reply,
    ResetReason,
    Verdict,
)

__all__ = [
    "BUFFER",
    "PASS",
    "PAUSE",
    "AccessConfig",
    "AccessFilter",
    "Body",
    "Config",
    "ConfigError",
    "Counter",
    "Decision",
    "DynamicMetadata",
    "Filter",
    "FilterState",
    "Gauge",
    "Headers",
    "Histogram",
    "LocalReply",
    "Metadata",
    "PyFilterError",
    "Record",
    "Reply",
    "ResetReason",
    "Sink",
    "Stream",
    "StreamGone",
    "Verdict",
    "WrongThread",
]
