# SPDX-License-Identifier: Apache-2.0
"""
The access logger's config: what Envoy's ``logger_name`` and ``logger_config`` mean.

It is the record lane's second host. Its ``log`` and ``sinks`` are those of the access filter; what
only a filter can do is refused: by key, by value, and with what was expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._config import check_instance, named, python_path
from ._decode import decode, parse_object
from ._imports import search_folders
from ._metrics_config import MetricConfig, metric_specs
from ._problems import problem, shown
from ._sink_config import FileSinkConfig, SinkConfig, sink_specs
from .access import LogConfig, chosen_fields, header_rules
from .errors import ConfigError
from .fields import LOGGER_FIELDS, ONLY_FILTER
from .metrics import RESERVED
from .plan_spec import CILIUM_FORMATS, PlanSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .plan_spec import MetricSpec, Part, SinkSpec

NAME: Final = "access"
"""The one ``logger_name`` that there is."""

_WHEN: Final = "an access logger writes when Envoy logs"
_WHICH: Final = "the filter of Envoy's access log says which streams are logged"
_ONLY: Final[Mapping[str, tuple[object, str]]] = {
    "request": (False, "an access logger writes no entry of the request"),
    "response_at": ("stream_complete", _WHEN),
    "tunnel_at": ("stream_complete", _WHEN),
    "compat": ("none", _WHICH),
    "aborted": (True, _WHICH),
    "redirected": (True, _WHICH),
}
"""Keys of ``log`` that have one value here, and why."""

_NOT_TOLD: Final = {"note": "NOTE", "filter_state": "FILTER_STATE"}


class LoggerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The access logger's config; docs/config.md explains each key."""

    instance: str = ""
    python_path: list[str] = []
    log: LogConfig = LogConfig()
    sinks: list[SinkConfig] = msgspec.field(
        default_factory=lambda: [FileSinkConfig(path="/dev/stdout")]
    )
    state: dict[str, str] = msgspec.field(default_factory=dict)
    metrics: list[MetricConfig] = []


def with_defaults(config: LoggerConfig) -> dict[str, Any]:
    """Write a config out with every key that a logger has."""
    whole: dict[str, Any] = msgspec.to_builtins(config)
    whole["log"] = {key: value for key, value in whole["log"].items() if key not in _ONLY}
    del whole["state"]
    return {**whole, "instance": config.instance or NAME}


def load(logger_name: str, config: bytes, *, validating: bool) -> PlanSpec:
    """
    Compile the plan of Envoy's ``logger_name`` and ``logger_config`` (a Struct as JSON).

    The same when *validating*, but the plan then cannot make its Python sinks. Raises
    ``ConfigError`` whose message is complete: logger, path, problem.
    """
    try:
        if logger_name != NAME:
            what = "no access logger has this name"
            raise problem("logger_name", what, got=logger_name, expected=NAME)
        value = parse_object(config, "logger_config")
        with search_folders(python_path(value)):
            return _compile(decode(value, LoggerConfig), value, validating=validating)
    except ConfigError as error:
        raise named("access logger", error) from None


def _compile(config: LoggerConfig, value: dict[str, Any], *, validating: bool) -> PlanSpec:
    instance = config.instance or NAME
    check_instance(instance)
    log = config.log
    _refuse_what_filters_do(log, value.get("log", {}))
    if config.state:
        what = "an access logger cannot write filter state"
        raise problem("state", what, expected="it in the access filter's config")
    sinks = sink_specs(config.sinks, "access logger", instance, validating=validating)
    for index, sink in enumerate(sinks):
        _check_formats(sink, f"sinks[{index}]")
    metrics = metric_specs(config.metrics, RESERVED, labels=False)
    _check_metrics(config.metrics, metrics)
    return PlanSpec(
        of_logger=True,
        instance=instance,
        log_request=False,
        at_end_of_stream=False,
        aborted=True,
        redirected=True,
        tunnel_at_handshake=False,
        compat_cilium=False,
        fields=chosen_fields(log.fields, LOGGER_FIELDS),
        request_headers=header_rules(log.request_headers, "log.request_headers"),
        response_headers=header_rules(log.response_headers, "log.response_headers"),
        trailers=log.trailers,
        state=(),
        state_metadata=False,
        sinks=sinks,
        metrics=metrics,
    )


def _refuse_what_filters_do(log: LogConfig, given: dict[str, Any]) -> None:
    """Refuse what was *given* for a key that has one value here."""
    for key, (only, why) in _ONLY.items():
        if key in given and getattr(log, key) != only:
            expected = f"{shown(only)}, or no such key"
            raise problem(f"log.{key}", why, got=given[key], expected=expected)


def _check_formats(sink: SinkSpec, path: str) -> None:
    """Refuse commands for what an access logger is never told."""
    for key in CILIUM_FORMATS if sink.cilium is not None else ():
        _check_parts(getattr(sink.cilium, key), f"{path}.{key}")


def _check_metrics(configs: list[MetricConfig], specs: tuple[MetricSpec, ...]) -> None:
    """Refuse values of that kind."""
    for spec in specs:
        places = [index for index, config in enumerate(configs) if config.name == spec.name]
        for index, measure in zip(places, spec.measures, strict=True):
            _check_parts(measure.value, f"metrics[{index}].value")


def _check_parts(parts: tuple[Part, ...], path: str) -> None:
    for part in parts:
        text = part.text.decode()
        if part.op in _NOT_TOLD or (part.op == "field" and text in ONLY_FILTER):
            command = f"%{_NOT_TOLD.get(part.op, 'FIELD')}({text})%"
            raise problem(path, f"an access logger cannot tell {command}")
