# SPDX-License-Identifier: Apache-2.0
"""
A filter config on its way to C: metrics are defined with Envoy, the plan is made from its data.

Envoy takes definitions of metrics only while the config loads, on the main thread.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from envoy_pyfilter import _config
from envoy_pyfilter._abi import ffi, lib
from envoy_pyfilter._callbacks.buffers import lent, lent_list
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.filter import hooks_wanted
from envoy_pyfilter.metrics import declared
from envoy_pyfilter.sinks import PythonSink

if TYPE_CHECKING:
    from envoy_pyfilter._abi import CData
    from envoy_pyfilter.filter import Filter
    from envoy_pyfilter.plan_spec import HeaderRules, PlanSpec, SinkSpec, StateSpec

log = logging.getLogger("envoy_pyfilter")

_DEFINE = {
    "counter": lib.envoy_dynamic_module_callback_http_filter_config_define_counter,
    "gauge": lib.envoy_dynamic_module_callback_http_filter_config_define_gauge,
    "histogram": lib.envoy_dynamic_module_callback_http_filter_config_define_histogram,
}
_COUNTERS = (
    ("entries_request", lib.COUNT_ENTRIES_REQUEST),
    ("entries_denied", lib.COUNT_ENTRIES_DENIED),
    ("entries_response", lib.COUNT_ENTRIES_RESPONSE),
    ("dropped_ring_full", lib.COUNT_DROPPED_RING_FULL),
    ("dropped_too_large", lib.COUNT_DROPPED_TOO_LARGE),
    ("dropped_sink", lib.COUNT_DROPPED_SINK),
    ("sink_errors", lib.COUNT_SINK_ERRORS),
    ("state_conflicts", lib.COUNT_STATE_CONFLICTS),
)
_OPS = {
    "literal": lib.PART_LITERAL,
    "header": lib.PART_HEADER,
    "field": lib.PART_FIELD,
    "note": lib.PART_NOTE,
}


@dataclass(slots=True)
class LoadedConfig:
    """What lives as long as Envoy keeps a filter config."""

    filter: Filter
    python_sinks: list[PythonSink] = field(default_factory=list)

    def destroyed(self) -> None:
        """Tell the filter; its sinks end by themselves once C has let go of them."""
        try:
            self.filter.on_config_destroy()
        except BaseException:  # SystemExit included: user code never ends Envoy
            log.exception("on_config_destroy of %s raised", type(self.filter).__qualname__)


def load(out: CData, filter_name: str, config: bytes) -> LoadedConfig:
    """Load *config* and fill C's ``pyfilter_config``; raise ConfigError and leave nothing."""
    validating = bool(lib.envoy_dynamic_module_callback_is_validation_mode())
    loaded = _config.load(filter_name, config, validating=validating)
    prefix = loaded.instance
    loaded.filter._instance = prefix
    loaded.filter._metric_ids = {
        metric: _define(out.envoy, metric.kind, f"{prefix}.{metric.name}", metric.labels)
        for metric in declared(type(loaded.filter))
    }
    out.hook_errors = _define(out.envoy, "counter", f"{prefix}.hook_errors", ())
    out.wants = hooks_wanted(type(loaded.filter))
    result = LoadedConfig(loaded.filter)
    if loaded.plan is not None:
        ids = [
            (which, _define(out.envoy, "counter", f"{prefix}.{name}", ()))
            for name, which in _COUNTERS
        ]
        out.plan = _make_plan(loaded.plan, result, validating=validating)
        for which, number in ids:
            lib.pyfilter_plan_counter(out.plan, which, number)
    return result


def _define(envoy: CData, kind: str, name: str, labels: tuple[str, ...]) -> int:
    number = ffi.new("size_t *")
    text, names = name.encode(), [label.encode() for label in labels]
    result = _DEFINE[kind](envoy, lent(text), lent_list(names), len(names), number)
    if result != lib.envoy_dynamic_module_type_metrics_result_Success:
        raise ConfigError(f"{name}: Envoy refused to define this {kind} (metrics_result {result})")
    return int(number[0])


def _make_plan(spec: PlanSpec, result: LoadedConfig, *, validating: bool) -> CData:
    flags = lib.PLAN_LOG_REQUEST if spec.log_request else 0
    flags |= lib.PLAN_AT_END_OF_STREAM if spec.at_end_of_stream else 0
    flags |= lib.PLAN_TRAILERS if spec.trailers else 0
    instance = spec.instance.encode()
    plan: CData = lib.pyfilter_plan_new(instance, len(instance), flags)
    for name in spec.fields:
        if not lib.pyfilter_plan_field(plan, name.encode()):
            lib.pyfilter_plan_free(plan)
            raise ConfigError(f"log.fields: no such field: {name}")
    _add_rules(plan, lib.PLAN_REQUEST, spec.request_headers)
    _add_rules(plan, lib.PLAN_RESPONSE, spec.response_headers)
    for state in spec.state:
        _add_state(plan, state)
    for sink in spec.sinks:
        _add_sink(plan, sink, result, validating=validating)
    return plan


def _add_rules(plan: CData, side: int, rules: HeaderRules) -> None:
    for rule, patterns in (
        (lib.PLAN_INCLUDE, rules.include),
        (lib.PLAN_EXCLUDE, rules.exclude),
        (lib.PLAN_REDACT, rules.redact),
    ):
        for pattern in patterns:
            lib.pyfilter_plan_pattern(plan, side, rule, pattern.encode())


def _add_state(plan: CData, state: StateSpec) -> None:
    lib.pyfilter_plan_state(plan, state.key, len(state.key))
    for part in state.parts:
        op = _OPS[part.op]
        if not lib.pyfilter_plan_state_part(
            plan, op, part.map, part.text, len(part.text), part.max_length
        ):
            lib.pyfilter_plan_free(plan)
            raise ConfigError(f"state.{state.key.decode()}: no such field: {part.text.decode()}")


def _add_sink(plan: CData, spec: SinkSpec, result: LoadedConfig, *, validating: bool) -> None:
    if spec.type == "file":
        lib.pyfilter_plan_sink(plan, lib.pyfilter_sink_file(spec.path.encode(), spec.ring_bytes))
        return
    if validating:
        return
    raise NotImplementedError
