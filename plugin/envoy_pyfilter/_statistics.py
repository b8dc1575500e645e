# SPDX-License-Identifier: Apache-2.0
"""
The ``statistics`` of a filter's config, in the words of Envoy's own ext_proc filter.

What is counted, and when, is decided in ``abi/statistics.c``; which failure has which status in
``_flow/codes.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._problems import joined, problem, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .plan_spec import StateSpec

_CALLS: Final = ("latency_us", "call_status")
_BODIES: Final = ("call_count", "total_latency_us", "max_latency_us", "last_call_status")
FIELDS: Final = (
    *(f"{way}_header_{one}" for way in ("request", "response") for one in _CALLS),
    *(f"{way}_body_{one}" for way in ("request", "response") for one in _BODIES),
    *(f"{way}_trailer_{one}" for way in ("request", "response") for one in _CALLS),
    "bytes_sent",
    "bytes_received",
    "failed_open",
    "received_immediate_response",
    "grpc_status_before_first_call",
    *(
        f"{way}_{part}_processing_effect"
        for way in ("request", "response")
        for part in ("header", "body", "trailer")
    ),
    "destination",
)
"""What there is to know of a stream (``FIELD``), by native ext_proc's names."""

COUNTED: Final = (
    "streams_started",
    "stream_msgs_sent",
    "stream_msgs_received",
    "spurious_msgs_received",
    "streams_closed",
    "streams_failed",
    "failure_mode_allowed",
    "rejected_header_mutations",
    "immediate_responses_sent",
)
"""Counters that can count in process, in the order of STATISTICS_* of services.h."""

UNCOUNTED: Final = (
    "message_timeouts",
    "override_message_timeout_received",
    "override_message_timeout_ignored",
    "clear_route_cache_ignored",
    "clear_route_cache_disabled",
    "clear_route_cache_upstream_ignored",
    "http_not_ok_resp_received",
    "server_half_closed",
)
"""The others: they are there, as dashboards expect, and stay 0."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*\.?")


class StatisticsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where the statistics of each stream go; docs/statistics.md explains each key.

    *key* is the filter-state key of the line, *metadata_namespace* the namespace of the object.
    *fields* get filter-state keys of their own, ``<key>.<field>``. *stat_prefix* stands before the
    counters' names.
    """

    key: str = ""
    metadata_namespace: str = ""
    fields: list[str] = []
    stat_prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsSpec:
    """What C gets: where to write, and the counters' names by number."""

    key: str
    metadata_namespace: str
    fields: tuple[tuple[str, str], ...]  # names, and their keys
    destination: str
    counted: tuple[str, ...]
    uncounted: tuple[str, ...]


def compiled(value: dict[str, Any], config: StatisticsConfig, destination: str) -> StatisticsSpec:
    """
    Return what C has to keep; *value* is the config as it was given.

    Raises ``ConfigError`` for what no format of an access log, and no stat, could name.
    """
    given = value.get("statistics") or {}
    for name in ("key", "metadata_namespace"):
        if name in given:
            _check_name(f"statistics.{name}", getattr(config, name))
    if "stat_prefix" in given and _PREFIX.fullmatch(config.stat_prefix) is None:
        expected = "letters, digits, underscores, dashes, and dots between them"
        raise problem(
            "statistics.stat_prefix", "not allowed", got=given["stat_prefix"], expected=expected
        )
    _check_fields(config)
    prefix = f"{config.stat_prefix.rstrip('.')}." if config.stat_prefix else ""
    return StatisticsSpec(
        key=config.key,
        metadata_namespace=config.metadata_namespace,
        fields=tuple((name, f"{config.key}.{name}") for name in config.fields),
        destination=destination,
        counted=tuple(prefix + name for name in COUNTED),
        uncounted=tuple(prefix + name for name in UNCOUNTED),
    )


def check_keys(spec: StatisticsSpec, states: Iterable[StateSpec]) -> None:
    """Refuse keys of filter state that the filter's own ``state`` writes, too."""
    own = {spec.key: "key"} | {key: "fields" for _, key in spec.fields}
    for state in states:
        key = state.key.decode()
        if key in own:
            raise problem(f"statistics.{own[key]}", f"{joined('state', key)} is written there, too")


def _check_name(path: str, name: str) -> None:
    if not name or not name.isprintable() or set(name) & set(" :%"):
        expected = "printable text without spaces, colons and percent signs"
        raise problem(path, "not allowed", got=name, expected=expected)


def _check_fields(config: StatisticsConfig) -> None:
    path = "statistics.fields"
    if config.fields and not config.key:
        raise problem(path, "there is no statistics.key that their keys could begin with")
    for index, name in enumerate(config.fields):
        if name not in FIELDS:
            raise problem(f"{path}[{index}]", f"unknown field {name}{suggestion(name, FIELDS)}")
        if name in config.fields[:index]:
            raise problem(f"{path}[{index}]", f"{name} is there twice")
