# SPDX-License-Identifier: Apache-2.0
"""
A filter config on its way to C: metrics are defined with Envoy, the plan is made from its data.

Envoy takes definitions of metrics only while the config loads, on the main thread.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, cast

from envoy_pyfilter import _config, _logger, _reads
from envoy_pyfilter._abi import ffi, lib
from envoy_pyfilter._callbacks.buffers import lent, lent_list
from envoy_pyfilter._reads import HookReads
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.filter import hooks_wanted
from envoy_pyfilter.metrics import declared
from envoy_pyfilter.sinks import PythonSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy_pyfilter._abi import CData
    from envoy_pyfilter._statistics import StatisticsSpec
    from envoy_pyfilter.filter import Filter
    from envoy_pyfilter.plan_spec import (
        CiliumSpec,
        HeaderRules,
        MetricSpec,
        Part,
        PlanSpec,
        SinkSpec,
        StateSpec,
    )
    from envoy_pyfilter.sinks import Sink

_DEFINE = {
    "counter": lib.envoy_dynamic_module_callback_http_filter_config_define_counter,
    "gauge": lib.envoy_dynamic_module_callback_http_filter_config_define_gauge,
    "histogram": lib.envoy_dynamic_module_callback_http_filter_config_define_histogram,
}
_DEFINE_OF_LOGGER = {
    "counter": lib.envoy_dynamic_module_callback_access_logger_config_define_counter,
    "gauge": lib.envoy_dynamic_module_callback_access_logger_config_define_gauge,
    "histogram": lib.envoy_dynamic_module_callback_access_logger_config_define_histogram,
}
_COUNTERS = (
    ("entries_request", lib.COUNT_ENTRIES_REQUEST),
    ("entries_denied", lib.COUNT_ENTRIES_DENIED),
    ("entries_response", lib.COUNT_ENTRIES_RESPONSE),
    ("entries_progress", lib.COUNT_ENTRIES_PROGRESS),
    ("dropped_ring_full", lib.COUNT_DROPPED_RING_FULL),
    ("dropped_too_large", lib.COUNT_DROPPED_TOO_LARGE),
    ("dropped_sink", lib.COUNT_DROPPED_SINK),
    ("sink_errors", lib.COUNT_SINK_ERRORS),
    ("state_conflicts", lib.COUNT_STATE_CONFLICTS),
    ("dropped_notes", lib.COUNT_DROPPED_NOTES),
    ("dropped_queue_full", lib.COUNT_DROPPED_QUEUE_FULL),
    ("cilium_sent", lib.COUNT_CILIUM_SENT),
    ("cilium_reconnects", lib.COUNT_CILIUM_RECONNECTS),
    ("cilium_trimmed", lib.COUNT_CILIUM_TRIMMED),
    ("cilium_bad_values", lib.COUNT_CILIUM_BAD_VALUES),
    ("metrics_skipped", lib.COUNT_METRICS_SKIPPED),
    ("metrics_overflow", lib.COUNT_METRICS_OVERFLOW),
)
_OF_METRICS = {"metrics_skipped", "metrics_overflow"}  # where there are metrics
_NOT_OF_FILTER = {"entries_progress"}
_NOT_OF_LOGGER = {"entries_request", "entries_denied", "state_conflicts", "dropped_notes"}
# Of plans that have a sink of that type: without one, 0 would look like a socket that is not there.
_CILIUM_GAUGES = (
    ("cilium_connected", lib.GAUGE_CILIUM_CONNECTED),
    ("cilium_queue_depth", lib.GAUGE_CILIUM_QUEUE_DEPTH),
)
# Memory that nobody writes to costs nothing, so a large buffer is as cheap as its longest batch.
_uncleared = ffi.new_allocator(should_clear_after_alloc=False)
_OPS = {
    "literal": lib.PART_LITERAL,
    "header": lib.PART_HEADER,
    "field": lib.PART_FIELD,
    "note": lib.PART_NOTE,
    "filter_state": lib.PART_FILTER_STATE,
    "metadata": lib.PART_METADATA,
}
_METRICS = {
    "counter": lib.METRIC_COUNTER,
    "gauge": lib.METRIC_GAUGE,
    "histogram": lib.METRIC_HISTOGRAM,
}
_CILIUM_VALUES = (
    ("policy_name", lib.CILIUM_POLICY_NAME),
    ("cilium_rule_ref", lib.CILIUM_RULE_REF),
    ("source_security_id", lib.CILIUM_SOURCE_ID),
    ("is_ingress", lib.CILIUM_IS_INGRESS),
    ("destination_security_id", lib.CILIUM_DESTINATION_ID),
    ("proxy_id", lib.CILIUM_PROXY_ID),
)


def load(out: CData, filter_name: str, config: bytes) -> Filter:
    """Load *config* and fill C's ``pyfilter_config``; raise ConfigError and leave nothing."""
    validating = bool(lib.envoy_dynamic_module_callback_is_validation_mode())
    reads = _reads.wanted(os.environ)
    loaded = _config.load(filter_name, config, validating=validating)
    prefix = loaded.instance
    loaded.filter._instance = prefix
    loaded.filter._metric_ids = {
        metric: _define(out.envoy, metric.kind, f"{prefix}.{metric.name}", metric.labels)
        for metric in declared(type(loaded.filter))
    }
    out.hook_errors = _define(out.envoy, "counter", f"{prefix}.hook_errors", ())
    out.allow_on_error = loaded.filter._on_error == "allow"
    out.wants = hooks_wanted(type(loaded.filter))
    if reads and loaded.filter._learns:
        loaded.filter._reads = [_hook_reads(out.reads, hook) for hook in range(lib.HOOKS)]
    if loaded.statistics is not None:
        _load_statistics(out, prefix, loaded.statistics)
    if loaded.plan is not None:
        _load_plan(out, prefix, loaded.plan)
    return loaded.filter


def load_logger(out: CData, logger_name: str, config: bytes) -> None:
    """Load an access logger's *config* into C's ``pyfilter_config``; ConfigError as ``load``."""
    validating = bool(lib.envoy_dynamic_module_callback_is_validation_mode())
    spec = _logger.load(logger_name, config, validating=validating)
    _load_plan(out, spec.instance, spec)


def _hook_reads(reads: CData, hook: int) -> HookReads:
    def add(source: int, attribute: int, name: bytes) -> int:
        return int(lib.pyfilter_reads_add(reads, hook, source, attribute, name, len(name)))

    return HookReads(add)


def _load_statistics(out: CData, prefix: str, spec: StatisticsSpec) -> None:
    """Define the counters and fill C's statistics."""
    key, space, destination = (
        text.encode() for text in (spec.key, spec.metadata_namespace, spec.destination)
    )
    statistics = lib.pyfilter_statistics_new(
        key, len(key), space, len(space), destination, len(destination)
    )
    out.statistics = statistics
    for which, name in enumerate(spec.counted):
        number = _define(out.envoy, "counter", name, ())
        lib.pyfilter_statistics_counter(statistics, which, number)
    for name in spec.uncounted:
        _define(out.envoy, "counter", name, ())
    conflicts = _define(out.envoy, "counter", f"{prefix}.state_conflicts", ())
    lib.pyfilter_statistics_counter(statistics, lib.STATISTICS_CONFLICTS, conflicts)
    for name, field_key in spec.fields:
        text = field_key.encode()
        if not lib.pyfilter_statistics_field(statistics, name.encode(), text, len(text)):
            raise ConfigError(f"statistics.fields: no such field: {name}")


def _load_plan(out: CData, prefix: str, spec: PlanSpec) -> None:
    def define(kind: str, name: str, labels: tuple[str, ...] = ()) -> int:
        whole = f"{prefix}.{name}"
        if spec.of_logger:
            return _define_of_logger(out.envoy, kind, whole)
        return _define(out.envoy, kind, whole, labels)

    absent = _NOT_OF_LOGGER if spec.of_logger else _NOT_OF_FILTER
    absent = absent if spec.metrics else absent | _OF_METRICS
    counters = [(which, define("counter", name)) for name, which in _COUNTERS if name not in absent]
    gauges = [
        (which, define("gauge", name))
        for name, which in _CILIUM_GAUGES
        if any(sink.cilium is not None for sink in spec.sinks)
    ]
    metrics = [define(metric.type, metric.name, metric.labels) for metric in spec.metrics]
    sinks = [None if sink.target is None else sink.target() for sink in spec.sinks]
    instance = spec.instance.encode()
    plan: CData = lib.pyfilter_plan_new(instance, len(instance), _flags(spec))
    out.plan = plan
    for which, number in counters:
        lib.pyfilter_plan_counter(plan, which, number)
    for which, number in gauges:
        lib.pyfilter_plan_gauge(plan, which, number)
    _fill_plan(plan, spec, metrics, sinks)


def _define(envoy: CData, kind: str, name: str, labels: tuple[str, ...]) -> int:
    number = ffi.new("size_t *")
    text, names = name.encode(), [label.encode() for label in labels]
    result = _DEFINE[kind](envoy, lent(text), lent_list(names), len(names), number)
    return _defined(result, kind, name, number)


def _define_of_logger(envoy: CData, kind: str, name: str) -> int:
    """Define a metric of an access logger, which has no labels."""
    number = ffi.new("size_t *")
    text = name.encode()
    return _defined(_DEFINE_OF_LOGGER[kind](envoy, lent(text), number), kind, name, number)


def _defined(result: int, kind: str, name: str, number: CData) -> int:
    if result != lib.envoy_dynamic_module_type_metrics_result_Success:
        raise ConfigError(f"{name}: Envoy refused to define this {kind} (metrics_result {result})")
    return int(number[0])


def _flags(spec: PlanSpec) -> int:
    flags = (
        (lib.PLAN_LOG_REQUEST, spec.log_request),
        (lib.PLAN_AT_END_OF_STREAM, spec.at_end_of_stream),
        (lib.PLAN_TRAILERS, spec.trailers),
        (lib.PLAN_ABORTED, spec.aborted),
        (lib.PLAN_REDIRECTED, spec.redirected),
        (lib.PLAN_TUNNEL_AT_HANDSHAKE, spec.tunnel_at_handshake),
        (lib.PLAN_COMPAT_CILIUM, spec.compat_cilium),
        (lib.PLAN_OF_LOGGER, spec.of_logger),
        (lib.PLAN_STATE_METADATA, spec.state_metadata),
    )
    return sum(int(flag) for flag, wanted in flags if wanted)


def _fill_plan(plan: CData, spec: PlanSpec, metrics: list[int], sinks: list[Sink | None]) -> None:
    """Fill C's plan; when something fails, C lets go of what is there. Sinks last: they run."""
    for name in spec.fields:
        if not lib.pyfilter_plan_field(plan, name.encode()):
            raise ConfigError(f"log.fields: no such field: {name}")
    _add_rules(plan, lib.PLAN_REQUEST, spec.request_headers)
    _add_rules(plan, lib.PLAN_RESPONSE, spec.response_headers)
    for state in spec.state:
        _add_state(plan, state)
    for metric, number in zip(spec.metrics, metrics, strict=True):
        _add_metric(plan, metric, number)
    for sink, made in zip(spec.sinks, sinks, strict=True):
        _add_sink(plan, sink, made)
    lib.pyfilter_plan_done(plan)


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
    _add_parts(plan, state.parts, f"state.{state.key.decode()}")


def _add_metric(plan: CData, spec: MetricSpec, number: int) -> None:
    """Add a metric that Envoy knows by *number*, and what goes into it."""
    name = spec.name.encode()
    limits = (spec.max_label_values, spec.max_series)
    lib.pyfilter_plan_metric(plan, _METRICS[spec.type], number, name, len(name), *limits)
    for label in spec.labels:
        if not lib.pyfilter_plan_metric_label(plan, label.encode(), len(label)):
            raise ConfigError(f"metrics: {spec.name}: too many labels")
    for measure in spec.measures:
        lib.pyfilter_plan_measure(plan)
        _add_parts(plan, measure.value, f"metrics: {spec.name}")
        for value in measure.labels:
            lib.pyfilter_plan_measure_label(plan)
            _add_parts(plan, value, f"metrics: {spec.name}")


def _add_parts(plan: CData, parts: tuple[Part, ...], path: str) -> None:
    """Add *parts* to the format that was started last."""
    for part in parts:
        op = _OPS[part.op]
        if not lib.pyfilter_plan_part(
            plan, op, part.map, part.text, len(part.text), part.max_length
        ):
            raise ConfigError(f"{path}: no such field: {part.text.decode()}")


def _add_cilium(plan: CData, spec: SinkSpec, cilium: CiliumSpec) -> None:
    sink = lib.pyfilter_sink_agent(spec.path.encode(), spec.ring_bytes)
    if not sink:
        raise ConfigError(f"{spec.path}: not a socket's path")
    lib.pyfilter_plan_cilium(
        plan,
        sink,
        cilium.max_packet,
        cilium.queue_entries,
        cilium.queue_bytes,
        cilium.drop_oldest,
    )
    for name, which in _CILIUM_VALUES:
        lib.pyfilter_plan_cilium_value(plan, which)
        _add_parts(plan, getattr(cilium, name), f"{spec.path}: {name}")
        lib.pyfilter_plan_cilium_value_end(plan, which)


def _add_sink(plan: CData, spec: SinkSpec, made: Sink | None) -> None:
    """Give the plan a sink; start the thread of a Python sink, which ends when C lets go of it."""
    if spec.cilium is not None:
        _add_cilium(plan, spec, spec.cilium)
    elif spec.type == "file":
        sink = lib.pyfilter_sink_file(spec.path.encode(), spec.ring_bytes)
        lib.pyfilter_plan_sink(plan, sink)
    elif made is not None:
        sink = lib.pyfilter_sink_python(spec.name.encode(), spec.ring_bytes)
        lib.pyfilter_plan_sink(plan, sink)
        runner = PythonSink(
            made,
            _taker(sink, spec.ring_bytes),
            partial(lib.pyfilter_sink_failed, sink),
            done=partial(lib.pyfilter_sink_done, sink),
            name=spec.name,
        )
        try:
            runner.start()
        except BaseException:  # no thread to be had: nobody will ever empty this sink
            lib.pyfilter_sink_done(sink)
            raise


def _taker(sink: CData, capacity: int) -> Callable[[int], bytes | None]:
    """Return the function with which a sink's thread waits for lines, without the GIL."""
    buffer = _uncleared("char[]", capacity)

    def take(timeout_ms: int) -> bytes | None:
        size = lib.pyfilter_sink_take(sink, buffer, capacity, timeout_ms)
        return None if size < 0 else cast("bytes", ffi.unpack(buffer, size))

    return take
