# SPDX-License-Identifier: Apache-2.0
"""
What a filter's config means: a name and JSON text become a filter, or a sentence that says why not.

1. The text becomes a mapping; ``python_path`` in it is searched from now on.
2. ``filter_name`` becomes a class: a registered name, or ``module:Class``.
3. The mapping becomes the class's ``Config``.
4. For an access filter, the config becomes the plan that C carries out.
5. The class is called with its config.

Whatever goes wrong is a ``ConfigError``, also ``SystemExit`` from a user's module; tracebacks go to
the log. Nothing here starts a thread or opens a file; that is up to who gets the result.
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._decode import decode, parse_object
from ._imports import ABOVE, load_class, raised, search_folders
from ._problems import problem, suggestion
from ._statistics import check_keys
from ._statistics import compiled as compiled_statistics
from ._struct import from_wire
from .access import AccessConfig, AccessFilter, compile_plan
from .errors import ConfigError
from .filter import Config, Filter, hooks_wanted, misspelt_hooks
from .llm_usage import LlmUsage
from .metrics import RESERVED, declared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._statistics import StatisticsSpec
    from .plan_spec import PlanSpec

log = logging.getLogger("envoy_pyfilter")

GROUP: Final = "envoy_pyfilter.filters"
"""The entry-point group with which packages register filters."""

_BUILT_IN: Final[Mapping[str, type[Filter]]] = {"access": AccessFilter, "llm_usage": LlmUsage}
_INSTANCE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,128}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    A config that was accepted.

    *plan* is None for filters that record nothing, *statistics* where none are asked for.
    """

    filter: Filter
    instance: str
    plan: PlanSpec | None
    statistics: StatisticsSpec | None


def load(
    filter_name: str,
    config: bytes,
    validating: bool,
    warn: Callable[[str], None] = log.warning,
) -> Loaded:
    """
    Load a filter from Envoy's ``filter_name`` and ``filter_config`` (a Struct as JSON text).

    The same when *validating*, but the plan then cannot make its Python sinks. *warn* gets what
    looks wrong and is accepted. Raises ``ConfigError`` whose message is complete: filter, path,
    problem.
    """
    try:
        value = parse_object(config, "filter_config")
        with search_folders(python_path(value)):
            loaded = _load(filter_name, value, validating=validating)
    except ConfigError as error:
        raise named(filter_name, error) from None
    cls = type(loaded.filter)
    for name, near in misspelt_hooks(cls):
        what = f"{cls.__qualname__}.{name} is no hook and is never called; did you mean {near}?"
        warn(f"{filter_name}: {what}")
    return loaded


def load_route(filter_name: str, config: bytes) -> Any:
    """
    Return a route's config as the filter's ``RouteConfig``; ``ConfigError`` as ``load``.

    Envoy loads routes before filters, so ``python_path`` is a key of route configs as well.
    """
    try:
        value = from_wire(config)  # as 1.38 hands it over
        if value is None:
            value = parse_object(config, "filter_config")
        with search_folders(python_path(value)):
            return _load_route(filter_name, value)
    except ConfigError as error:
        raise named(filter_name, ConfigError(f"per-route config: {error}")) from None


def _load_route(filter_name: str, value: dict[str, Any]) -> Any:
    cls = filter_class(filter_name)
    kind = cls.RouteConfig
    if kind is None:
        raise problem("", f"{cls.__qualname__} has no RouteConfig: it takes no config per route")
    _check_struct(kind, msgspec.Struct, f"{cls.__qualname__}.RouteConfig")
    if "python_path" not in kind.__struct_encode_fields__:
        value.pop("python_path", None)
    return decode(value, kind)


def filter_class(filter_name: str) -> type[Filter]:
    """
    Return the class that *filter_name* means: a registered name, or ``module:Class``.

    Raises ``ConfigError``; what an import raised is in the log with its traceback.
    """
    if not filter_name:
        raise problem("", "no name; expected a registered name or module:Class")
    if filter_name in _BUILT_IN:  # first, so that no other package can take the name
        return _BUILT_IN[filter_name]
    reference = filter_name
    if _is_registered(filter_name):
        entries = {
            entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)
        }
        if filter_name not in entries:
            hint = suggestion(filter_name, sorted({*_BUILT_IN, *entries}))
            what = f"no filter is registered by this name, and it is not module:Class{hint}"
            raise problem("", what)
        reference = entries[filter_name]
    cls = load_class(reference)
    if not issubclass(cls, Filter):
        raise problem("", f"{cls.__qualname__} is not a subclass of envoy_pyfilter.Filter")
    return cls


def _is_registered(filter_name: str) -> bool:
    return ":" not in filter_name


def named(filter_name: str, error: ConfigError) -> ConfigError:
    """Put in front of the message whose config it is about."""
    return ConfigError(f"{filter_name or 'filter_name'}: {error}")


def python_path(value: dict[str, Any]) -> list[str]:
    """Return ``python_path``, which is needed before there is a class to decode with."""
    return decode({k: v for k, v in value.items() if k == "python_path"}, Config).python_path


def _load(filter_name: str, value: dict[str, Any], *, validating: bool) -> Loaded:
    cls = filter_class(filter_name)
    hooks_wanted(cls)  # refuses hooks that could not be called
    stats = {metric.name for metric in declared(cls)}  # refuses what could not be defined
    if cls.RouteConfig is not None:
        _check_struct(cls.RouteConfig, msgspec.Struct, f"{cls.__qualname__}.RouteConfig")
    _check_struct(cls.Config, Config, f"{cls.__qualname__}.Config")
    if issubclass(cls, AccessFilter):
        _check_struct(cls.Config, AccessConfig, f"{cls.__qualname__}.Config")
    config = decode(value, cls.Config)
    instance = config.instance or (filter_name if _is_registered(filter_name) else cls.__name__)
    check_instance(instance)
    plan = None
    if isinstance(config, AccessConfig):
        plan = compile_plan(
            config,
            instance,
            filter_name=filter_name,
            validating=validating,
            stats=RESERVED | stats,
        )
    statistics = None
    if config.statistics is not None:
        destination = f"{cls.__module__}:{cls.__qualname__}"
        statistics = compiled_statistics(value, config.statistics, destination)
        check_keys(statistics, plan.state if plan is not None else ())
    return Loaded(_constructed(cls, config), instance, plan, statistics)


def check_instance(instance: object) -> None:
    """Refuse a name that stats or metadata could not have."""
    if not isinstance(instance, str) or _INSTANCE.fullmatch(instance) is None:
        expected = "1 to 128 letters, digits, underscores, dots or dashes"
        raise problem("instance", "not allowed", got=instance, expected=expected)


def _check_struct(kind: Any, base: type[Any], name: str) -> None:
    if not isinstance(kind, type) or not issubclass(kind, base):
        raise problem(
            "", f"{name} is not a subclass of {base.__module__.partition('.')[0]}.{base.__name__}"
        )


def _constructed(cls: type[Filter], config: Any) -> Filter:
    try:
        made: object = cls(config)
    except BaseException as error:  # SystemExit included: user code never ends Envoy
        log.exception("the constructor of %s raised", cls.__qualname__)
        what = f"the constructor of {cls.__qualname__} raised {raised(error)}; {ABOVE}"
        raise problem("", what) from None
    if not isinstance(made, Filter):
        raise problem("", f"{cls.__qualname__}() made {type(made).__name__}, which is no Filter")
    return made
