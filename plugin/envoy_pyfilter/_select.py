# SPDX-License-Identifier: Apache-2.0
"""
Which filters ``run`` and ``config`` put into the chain, and with which keys.

The filter's class is imported and its config is decoded here as Envoy will do it, so that a
mistake is told before anything starts. The filter itself is not made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from envoy_pyfilter import _logger
from envoy_pyfilter._bootstrap import Dict, PyFilter
from envoy_pyfilter._config import filter_class
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._decode import decode
from envoy_pyfilter._document import Place, dotted
from envoy_pyfilter._imports import search_folders
from envoy_pyfilter.access import AccessFilter
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envoy_pyfilter.filter import Filter


def settings(option: str, texts: list[str]) -> Dict:
    """
    Make a filter config of an option's values: ``log.request=false``: ``{log: {request: false}}``.

    Refusal on an argument without ``=``, on what is no YAML, and on a key that is used both as a
    value and as a mapping.
    """
    whole: Dict = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise Refusal(f"{option} {text}: expected KEY=VALUE, such as log.request=false")
        *parents, last = path.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise Refusal(f"{option} {text}: {parent} has a value already")
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise Refusal(f"{option} {text}: the value is no YAML") from error
    return whole


def _without_none(value: Any) -> Any:
    """Leave out the keys that stand for "not given"."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def _unset(value: Any, place: Place = ()) -> Iterator[str]:
    """Give those keys."""
    if value is None:
        yield dotted(place)
    elif isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from _unset(one, (*place, key))


def filters(
    name: str | None, texts: list[str], access_texts: list[str], *, defaults: bool
) -> list[PyFilter]:
    """
    Give the filters of the chain: the access filter, and *name* behind it unless it is one itself.

    *texts*: the ``--set`` arguments, for the filter *name*. *access_texts*: those of
    ``--set-access``, for the access filter before it. *defaults*: write out every key.
    """
    cls, ours = _one(name or "access", settings("--set", texts), defaults=defaults)
    if not issubclass(cls, AccessFilter):
        _, access = _one("access", settings("--set-access", access_texts), defaults=defaults)
        return [access, ours]
    if access_texts:
        raise Refusal(
            f"--set-access {access_texts[0]}: no access filter stands before {ours.name}, which is"
            " one itself: --set says its keys"
        )
    return [ours]


def logger(texts: list[str]) -> PyFilter:
    """Give the access logger with every key; *texts*: the ``--set`` arguments."""
    config = settings("--set", texts)
    try:
        _logger.load(_logger.NAME, json.dumps(config).encode(), validating=True)
    except ConfigError as error:
        raise Refusal(str(error)) from error
    whole = _logger.with_defaults(decode(config, _logger.LoggerConfig))
    return PyFilter(name=_logger.NAME, config=_without_none(whole), unset=tuple(_unset(whole)))


def _one(chosen: str, config: Dict, *, defaults: bool) -> tuple[type[Filter], PyFilter]:
    """Import a filter's class and decode its config."""
    if ":" in chosen:
        config = {"python_path": [str(Path.cwd())], **config}
    try:
        with search_folders(config.get("python_path", [])):
            cls = filter_class(chosen)
        decoded = decode(config, cls.Config)
    except ConfigError as error:
        raise Refusal(f"{chosen}: {error}") from error
    if not defaults:
        return cls, PyFilter(name=chosen, config=config)
    instance = decoded.instance or (cls.__name__ if ":" in chosen else chosen)
    whole = {**msgspec.to_builtins(decoded), "instance": instance}
    unset = tuple(_unset(whole))
    return cls, PyFilter(name=chosen, config=_without_none(whole), unset=unset)
