# SPDX-License-Identifier: Apache-2.0
"""What a fake host hands out and keeps: metrics, schedulers, replies. All are in ``testing``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import queue
    from collections.abc import Sequence

MetricKey: TypeAlias = tuple[int, tuple[bytes, ...]]

_METRIC_SUCCESS = 0
_METRIC_NOT_FOUND = 1
_METRIC_INVALID_LABELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SentReply:
    """A local reply as it was handed to the proxy (ABI: ``http_send_response``)."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    details: bytes


class FakeMetrics:
    """What Envoy counts for one filter instance, over all its streams."""

    def __init__(self) -> None:
        self.label_counts: dict[int, int] = {}
        self.values: dict[MetricKey, int] = {}
        self.recorded: dict[MetricKey, list[int]] = {}

    def change(self, kind: str, metric: int, labels: Sequence[bytes], value: int) -> int:
        """Do what the ABI's callback of that kind does; return its ``metrics_result``."""
        if metric not in self.label_counts:
            return _METRIC_NOT_FOUND
        if len(labels) != self.label_counts[metric]:
            return _METRIC_INVALID_LABELS
        key = (metric, tuple(labels))
        old = self.values.get(key, 0)
        if kind == "histogram_record":
            self.recorded.setdefault(key, []).append(value)
        elif kind == "gauge_set":
            self.values[key] = value
        else:
            self.values[key] = old - value if kind == "gauge_sub" else old + value
        return _METRIC_SUCCESS


class FakeScheduler:
    """A ``Scheduler`` that puts its events into a queue."""

    def __init__(self, events: queue.SimpleQueue[int]) -> None:
        self._events = events
        self.deleted = False

    def commit(self, event_id: int) -> None:
        """Add an event; after ``delete`` Envoy's memory would be used after it was freed."""
        if self.deleted:
            raise AssertionError("scheduler used after it was deleted")
        self._events.put(event_id)

    def delete(self) -> None:
        """Give the handle back, once."""
        if self.deleted:
            raise AssertionError("scheduler deleted twice")
        self.deleted = True
