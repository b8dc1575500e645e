# SPDX-License-Identifier: Apache-2.0
"""The key ``metrics``, and its way into the plan; docs/metrics.md explains it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from . import formats
from ._problems import joined, problem
from .errors import ConfigError
from .plan_spec import MeasureSpec, MetricSpec, Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MOST_LABELS: Final = 8
"""Labels of a metric (``METRIC_LABELS`` in C)."""

LONGEST_LABEL: Final = 128
"""Bytes of a label's value (``LABEL_LONGEST`` in C)."""

_LONGEST_NAME: Final = 128
_MOST_VALUES: Final = 100
_MOST_SERIES: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_LABELS: Final = ("le", "quantile")  # what Prometheus' own histograms have
_CONSTANT: Final = re.compile(r"[^\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069,;|]+")
_WORD: Final = f"1 to {_LONGEST_NAME} letters, digits and underscores, none of the digits first"


class MetricConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric, or one more number that goes into the metric of that name."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    value: str | None = None
    labels: dict[str, str] = {}
    max_label_values: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    max_series: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


def metric_specs(
    configs: list[MetricConfig], taken: Collection[str] = (), *, labels: bool = True
) -> tuple[MetricSpec, ...]:
    """
    Return the metrics of *configs*, each with all numbers that go into it.

    *taken*: stats that the filter has already. *labels*: whether the host's metrics can have any.
    Raises ``ConfigError``.
    """
    first: dict[str, int] = {}
    for index, config in enumerate(configs):
        path = f"metrics[{index}]"
        _check_name(config, taken, path)
        if config.labels and not labels:
            what = "Envoy gives the metrics of an access logger no labels"
            raise problem(
                f"{path}.labels", what, got=config.labels, expected="none, or the access filter"
            )
        _check_labels(config.labels, f"{path}.labels")
        at = first.setdefault(config.name, index)
        if at != index:
            _check_same(config, path, configs[at], f"metrics[{at}]")
    return tuple(_metric(configs, name) for name in first)


def _check_name(config: MetricConfig, taken: Collection[str], path: str) -> None:
    if _NAME.fullmatch(config.name) is None or len(config.name) > _LONGEST_NAME:
        raise problem(f"{path}.name", "not a metric's name", got=config.name, expected=_WORD)
    if config.name in taken:
        what = "the filter has a stat of this name already"
        raise problem(f"{path}.name", what, got=config.name, expected="another name")


def _check_labels(labels: Iterable[str], path: str) -> None:
    names = list(labels)
    if len(names) > MOST_LABELS:
        raise problem(path, "too many labels", got=len(names), expected=f"at most {MOST_LABELS}")
    for name in names:
        if _NAME.fullmatch(name) is None or len(name) > _LONGEST_NAME:
            raise problem(joined(path, name), "not a label's name", got=name, expected=_WORD)
        if name.startswith("__") or name in _RESERVED_LABELS:
            what = "Prometheus keeps this label for itself"
            raise problem(joined(path, name), what, got=name, expected="another name")


def _check_same(config: MetricConfig, path: str, other: MetricConfig, where: str) -> None:
    """Refuse two entries that cannot go into one metric, or that count one thing twice."""
    named = f"the metric {config.name} is of another type in {where}"
    if config.type != other.type:
        raise problem(f"{path}.type", named, got=config.type, expected=other.type)
    if config.labels.keys() != other.labels.keys():
        what = f"the metric {config.name} has other labels in {where}"
        expected = ", ".join(sorted(other.labels)) or "none"
        raise problem(f"{path}.labels", what, got=sorted(config.labels), expected=expected)
    if (config.value, config.labels) == (other.value, other.labels):
        raise problem(path, f"the same as {where}: it would be counted twice")


def _metric(configs: list[MetricConfig], name: str) -> MetricSpec:
    """Make the metric of that name. Labels in the order of their names: a mapping has none."""
    entries = [(f"metrics[{at}]", one) for at, one in enumerate(configs) if one.name == name]
    labels = tuple(sorted(entries[0][1].labels))
    return MetricSpec(
        name=name,
        type=entries[0][1].type,
        labels=labels,
        max_label_values=_limit(entries, "max_label_values", _MOST_VALUES),
        max_series=_limit(entries, "max_series", _MOST_SERIES),
        measures=tuple(_measure(one, labels, path) for path, one in entries),
    )


def _limit(entries: list[tuple[str, MetricConfig]], key: str, default: int) -> int:
    """Return the limit that an entry of the metric sets; all that do have to agree."""
    given = [(path, getattr(one, key)) for path, one in entries if getattr(one, key) is not None]
    for path, value in given:
        if value != given[0][1]:
            what = f"the metric has another {key} in {given[0][0]}"
            raise problem(f"{path}.{key}", what, got=value, expected=str(given[0][1]))
    return int(given[0][1]) if given else default


def _measure(config: MetricConfig, labels: tuple[str, ...], path: str) -> MeasureSpec:
    where = f"{path}.labels"
    return MeasureSpec(
        value=_value(config, f"{path}.value"),
        labels=tuple(_label(config.labels[name], joined(where, name)) for name in labels),
    )


def _value(config: MetricConfig, path: str) -> tuple[Part, ...]:
    if config.value is None:
        if config.type != "counter":
            what = f"a {config.type} needs a value"
            raise problem(path, what, expected="a command, like %BYTES_SENT%")
        return ()
    parts = _parts(config.value, path)
    if len(parts) != 1 or parts[0].op == "literal":
        expected = "one command and nothing else, like %BYTES_SENT%"
        raise problem(path, "not a value", got=config.value, expected=expected)
    return parts


def _label(text: str, path: str) -> tuple[Part, ...]:
    parts = _parts(text, path)
    if all(part.op == "literal" for part in parts) and (
        _CONSTANT.fullmatch(text) is None or len(text.encode()) > LONGEST_LABEL
    ):
        expected = f"1 to {LONGEST_LABEL} bytes without white space, commas, semicolons and bars"
        raise problem(path, "not a label's value", got=text, expected=expected)
    return parts


def _parts(text: str, path: str) -> tuple[Part, ...]:
    try:
        return formats.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
