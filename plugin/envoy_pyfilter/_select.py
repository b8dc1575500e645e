# SPDX-License-Identifier: Apache-2.0
"""
Which filters ``run`` and ``config`` put into the chain: what ``--filter`` and ``--set`` say.

The filter's class is imported and its config is decoded here as Envoy will do it, so that a
mistake is told before anything starts. The filter itself is not made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from envoy_pyfilter._bootstrap import Dict, PyFilter
from envoy_pyfilter._config import filter_class
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._decode import decode
from envoy_pyfilter._imports import search_folders
from envoy_pyfilter.access import AccessFilter
from envoy_pyfilter.errors import ConfigError


def settings(texts: list[str]) -> Dict:
    """
    Make a filter config of ``--set``: ``log.request=false`` is ``{log: {request: false}}``.

    Refusal on an argument without ``=``, on what is no YAML, and on a key that is used both as a
    value and as a mapping.
    """
    whole: Dict = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise Refusal(f"--set {text}: expected KEY=VALUE, such as log.request=false")
        *parents, last = path.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise Refusal(f"--set {text}: {parent} has a value already")
        try:
            place[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise Refusal(f"--set {text}: the value is no YAML") from error
    return whole


def _without_none(value: Any) -> Any:
    """Leave out the keys that stand for "not given"."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def filters(name: str | None, texts: list[str], *, defaults: bool) -> list[PyFilter]:
    """
    Give the filters of the chain: the access filter, and *name* behind it unless it is one itself.

    *texts*: the ``--set`` arguments, for the filter *name*. *defaults*: write out every key.
    """
    config = settings(texts)
    if name is not None and ":" in name:
        config = {"python_path": [str(Path.cwd())], **config}
    chosen = name or "access"
    try:
        with search_folders(config.get("python_path", [])):
            cls = filter_class(chosen)
        decoded = decode(config, cls.Config)
    except ConfigError as error:
        raise Refusal(f"{chosen}: {error}") from error
    if defaults:
        instance = decoded.instance or (cls.__name__ if ":" in chosen else chosen)
        config = {**_without_none(msgspec.to_builtins(decoded)), "instance": instance}
    ours = PyFilter(name=chosen, config=config)
    if issubclass(cls, AccessFilter):
        return [ours]
    return [*filters(None, [], defaults=defaults), ours]
