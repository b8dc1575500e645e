# SPDX-License-Identifier: Apache-2.0
"""
Metrics that Envoy counts for a filter, declared on its class.

A metric ``Counter("denied")`` of an instance ``limits`` is the stat ``limits.denied``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final

from ._text import Text, utf8, whole_number
from .errors import ConfigError

if TYPE_CHECKING:
    from .filter import Filter
    from .stream import Stream

RESERVED: Final = frozenset(
    {
        "entries_request",
        "entries_denied",
        "entries_response",
        "entries_progress",
        "dropped_ring_full",
        "dropped_too_large",
        "dropped_queue_full",
        "dropped_sink",
        "sink_errors",
        "state_conflicts",
        "dropped_notes",
        "hook_errors",
        "cilium_sent",
        "cilium_reconnects",
        "cilium_trimmed",
        "cilium_bad_values",
        "cilium_connected",
        "cilium_queue_depth",
        "metrics_skipped",
        "metrics_overflow",
    }
)
"""Stats that the package itself keeps under the instance's name."""

_NAME: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESULTS: Final = {1: "no such metric", 2: "wrong labels", 3: "metrics are frozen"}


class Metric:
    """
    A metric of a filter's class; use ``Counter``, ``Gauge`` or ``Histogram``.

    *name* and *labels* are what Envoy and Prometheus show; ``ValueError`` for names that they
    cannot. Envoy defines metrics while a config loads (ABI: ``http_filter_config_define_counter``
    and its kin), so they are class attributes.
    """

    kind: ClassVar[str]
    __slots__ = ("labels", "name")

    def __init__(self, name: str, labels: tuple[str, ...] = ()) -> None:
        """Declare the metric."""
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not a metric name: {name!r}")
        for label in labels:
            if _LABEL.fullmatch(label) is None:
                raise ValueError(f"metric {name}: not a label name: {label!r}")
        self.name = name
        self.labels = tuple(labels)

    def __repr__(self) -> str:
        """As it was declared."""
        return f"{type(self).__name__}({self.name!r}, labels={self.labels!r})"

    def _change(
        self,
        stream: Stream,
        change: str,
        value: int,
        labels: tuple[Text, ...],
        named: dict[str, Text],
    ) -> None:
        number = whole_number(value, f"metric {self.name}: value")
        metric = stream.filter._metric_ids.get(self)  # noqa: SLF001 (filled when the config loads)
        if metric is None:
            raise LookupError(f"metric {self.name} is not declared on the stream's filter class")
        ordered = self._ordered(labels, named)
        result = stream._host.change_metric(change, metric, ordered, number)  # noqa: SLF001
        if result:
            raise LookupError(f"metric {self.name}: {_RESULTS.get(result, result)}")

    def _ordered(self, labels: tuple[Text, ...], named: dict[str, Text]) -> list[bytes]:
        rest = self.labels[len(labels) :]
        if len(labels) > len(self.labels) or set(named) != set(rest):
            raise TypeError(f"metric {self.name} needs the labels {self.labels!r}")
        what = f"metric {self.name}: label"
        return [utf8(value, what) for value in (*labels, *(named[label] for label in rest))]


class Counter(Metric):
    """A number that only grows."""

    kind = "counter"
    __slots__ = ()

    def add(self, stream: Stream, value: int = 1, /, *labels: Text, **named: Text) -> None:
        """
        Add *value* (ABI: ``http_filter_increment_counter``).

        Label values stand in the declared order or are named.
        """
        self._change(stream, "counter_add", value, labels, named)


class Gauge(Metric):
    """A number from 0 that goes up and down."""

    kind = "gauge"
    __slots__ = ()

    def set(self, stream: Stream, value: int, /, *labels: Text, **named: Text) -> None:
        """Set it (ABI: ``http_filter_set_gauge``)."""
        self._change(stream, "gauge_set", value, labels, named)

    def add(self, stream: Stream, value: int = 1, /, *labels: Text, **named: Text) -> None:
        """Add *value* (ABI: ``http_filter_increment_gauge``)."""
        self._change(stream, "gauge_add", value, labels, named)

    def sub(self, stream: Stream, value: int = 1, /, *labels: Text, **named: Text) -> None:
        """
        Subtract *value* (ABI: ``http_filter_decrement_gauge``).

        Neither Envoy nor this checks what is left: a gauge that goes below 0 shows 2**64 more.
        """
        self._change(stream, "gauge_sub", value, labels, named)


class Histogram(Metric):
    """The distribution of a number without a unit."""

    kind = "histogram"
    __slots__ = ()

    def record(self, stream: Stream, value: int, /, *labels: Text, **named: Text) -> None:
        """Record one value (ABI: ``http_filter_record_histogram_value``)."""
        self._change(stream, "histogram_record", value, labels, named)


def declared(cls: type[Filter]) -> list[Metric]:
    """
    List the metrics of a filter's class and of its bases, base classes first.

    Raises ``ConfigError`` for a name that is declared twice or that the package keeps itself.
    """
    attributes: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    metrics: dict[str, Metric] = {}
    for value in attributes.values():
        if not isinstance(value, Metric) or metrics.get(value.name) is value:
            continue
        if value.name in RESERVED:
            raise ConfigError(f"{cls.__qualname__}: the metric name {value.name} is taken")
        if value.name in metrics:
            raise ConfigError(f"{cls.__qualname__}: two metrics are named {value.name}")
        metrics[value.name] = value
    return list(metrics.values())
