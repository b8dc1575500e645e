# SPDX-License-Identifier: Apache-2.0
"""The access filter: its config, and the plan that C carries out for each stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec

from . import attributes, fields, formats
from ._metrics_config import MetricConfig, metric_specs
from ._patterns import compiled
from ._problems import joined, one_of, problem, suggestion
from ._sink_config import FileSinkConfig, SinkConfig, sink_specs
from .errors import ConfigError
from .fields import ENTRY_FIELDS, FILTER_FIELDS
from .filter import Config, Filter
from .metrics import RESERVED
from .plan_spec import HeaderRules, PlanSpec, StateSpec

if TYPE_CHECKING:
    from collections.abc import Collection

SECRET: Final = ("authorization", "cookie", "proxy-authorization", "set-cookie")
"""Headers that are redacted on both sides unless ``reveal`` names them."""


class HeaderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which headers of one side are logged, trailers included: names or globs."""

    include: list[str] = msgspec.field(default_factory=lambda: ["*"])
    exclude: list[str] = []
    redact: list[str] = []
    reveal: list[str] = []


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is logged, and when.

    The three keys that are None by default have the value that ``compat`` gives them.
    """

    request: bool = True
    response_at: Literal["stream_complete", "end_of_stream"] = "stream_complete"
    compat: Literal["none", "cilium"] = "none"
    aborted: bool | None = None
    tunnel_at: Literal["stream_complete", "handshake"] | None = None
    redirected: bool | None = None
    fields: list[str] | None = None
    request_headers: HeaderConfig = HeaderConfig()
    response_headers: HeaderConfig = HeaderConfig()
    trailers: bool = True


class AccessConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The access filter's config; docs/config.md explains each key.

    A filter that derives from ``AccessFilter`` derives its own config from this one.
    """

    log: LogConfig = LogConfig()
    sinks: list[SinkConfig] = msgspec.field(
        default_factory=lambda: [FileSinkConfig(path="/dev/stdout")]
    )
    state: dict[str, str] = msgspec.field(default_factory=dict)
    state_metadata: bool = True
    metrics: list[MetricConfig] = msgspec.field(default_factory=list)


class AccessFilter(Filter):
    """
    Records each request when it arrives and each response when its stream is complete.

    All of that is done in C, by the plan below: the class overrides no hook, so Envoy's workers
    never enter Python for it. Derive from it to add to the record (``Stream.record``).
    """

    Config: ClassVar[type[Any]] = AccessConfig


def compile_plan(
    config: AccessConfig,
    instance: str,
    *,
    filter_name: str = "access",
    validating: bool = False,
    stats: Collection[str] = RESERVED,
) -> PlanSpec:
    """
    Return what C has to do for each stream under *config*; *filter_name* is for messages.

    *stats*: names that the filter counts under itself, so that no metric may have them.

    Imports the classes of Python sinks, but makes none: that is for ``SinkSpec.target``, which is
    None when *validating*. Looks at sinks' folders and changes nothing. Raises ``ConfigError``.
    """
    log = config.log
    cilium = log.compat == "cilium"
    return PlanSpec(
        instance=instance,
        log_request=log.request,
        at_end_of_stream=log.response_at == "end_of_stream",
        aborted=not cilium if log.aborted is None else log.aborted,
        redirected=not cilium if log.redirected is None else log.redirected,
        tunnel_at_handshake=cilium if log.tunnel_at is None else log.tunnel_at == "handshake",
        compat_cilium=cilium,
        fields=chosen_fields(log.fields, FILTER_FIELDS),
        request_headers=header_rules(log.request_headers, "log.request_headers"),
        response_headers=header_rules(log.response_headers, "log.response_headers"),
        trailers=log.trailers,
        state=tuple(_state(key, text) for key, text in sorted(config.state.items())),
        state_metadata=config.state_metadata,
        sinks=sink_specs(config.sinks, filter_name, instance, validating=validating),
        metrics=metric_specs(config.metrics, stats),
    )


def chosen_fields(names: list[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the fields that ``log.fields`` names, in the entry's order; *known*: the host's."""
    path = "log.fields"
    if names is None:
        return known
    if not names:
        raise problem(path, "empty; leave it out to log all fields")
    for index, name in enumerate(names):
        if name not in known:
            raise problem(f"{path}[{index}]", _unknown_field(name, known))
        if name in names[:index]:
            raise problem(f"{path}[{index}]", f"{name} is there twice")
    return tuple(name for name in known if name in names)


def _unknown_field(name: str, known: tuple[str, ...]) -> str:
    if name in ENTRY_FIELDS:
        other = "access logger" if known is FILTER_FIELDS else "access filter"
        return f"only an {other} can tell {name}"
    if name in fields.ATTRIBUTES:
        return f"{name} is Envoy's name of an attribute; the field is {fields.ATTRIBUTES[name]}"
    if name in attributes.ATTRIBUTES:
        return f"{name} is an attribute of Envoy that no field holds"
    return f"unknown field {name}{suggestion(name, known)}"


def header_rules(config: HeaderConfig, path: str) -> HeaderRules:
    """Return which headers of one side are logged, and how."""
    return HeaderRules(
        include=compiled(f"{path}.include", config.include),
        exclude=compiled(f"{path}.exclude", config.exclude),
        redact=_redacted(config, path),
    )


def _redacted(config: HeaderConfig, path: str) -> tuple[str, ...]:
    revealed = compiled(f"{path}.reveal", config.reveal)
    for index, name in enumerate(revealed):
        if name not in SECRET:
            raise problem(
                f"{path}.reveal[{index}]", f"{name} is shown anyway", expected=one_of(SECRET)
            )
    more = compiled(f"{path}.redact", config.redact)
    return tuple(dict.fromkeys([*(name for name in SECRET if name not in revealed), *more]))


def _state(key: str, text: str) -> StateSpec:
    path = joined("state", key)
    if not key or not key.isprintable() or " " in key:
        raise problem(path, "a filter-state key is printable text without spaces")
    try:
        return StateSpec(key=key.encode(), parts=formats.parse(text))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
