# SPDX-License-Identifier: Apache-2.0
"""
The HTTP connection managers of a configuration: their filters in order, and whose routes are whose.

Keys are Envoy's, in snake_case or, as many dumps have them, in camelCase.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._document import mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")
_TYPED_STRUCT: Final = "TypedStruct"


@lru_cache(maxsize=4096)
def snake(key: str) -> str:
    """Give a field's name in snake_case."""
    return _CAPITAL.sub(r"_\1", key).lower() if key.isalnum() else key


def get(value: object, key: str) -> Any:
    """Give a field of a message; None without it."""
    return next((one for name, one in mapping(value).items() if snake(str(name)) == key), None)


def listed(value: object) -> list[Any]:
    """Give a list as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def message(config: object) -> tuple[str, Any]:
    """Give the bare type of an ``Any``, and its message; a TypedStruct is what it holds."""
    kind = str(mapping(config).get("@type", ""))
    if kind.endswith(f".{_TYPED_STRUCT}"):
        kind, config = str(get(config, "type_url") or ""), get(config, "value")
    return kind.rpartition("/")[2], config


@dataclass(frozen=True, slots=True)
class HttpFilter:
    """An entry of ``http_filters``; *type* is the full name of its config's message."""

    index: int
    name: str
    type: str
    config: Any
    disabled: bool


class Manager:
    """A connection manager; *uses*: its filters by the order in which its routes name them."""

    def __init__(self, filters: Iterable[HttpFilter], uses: dict[str, int]) -> None:
        """Make it of its parts."""
        self.filters = tuple(filters)
        self.uses = uses
        self._by_name = {one.name: one for one in reversed(self.filters)}

    def filter(self, name: str) -> HttpFilter | None:
        """Give the first filter of this name."""
        return self._by_name.get(name)

    def enabled(self, name: str, overrides: Iterable[object]) -> bool:
        """Tell whether a filter takes part, by ``typed_per_filter_config`` from outside in."""
        one = self.filter(name)
        is_on = one is None or not one.disabled
        for override in overrides:
            if name in mapping(override):
                is_on = get(mapping(override)[name], "disabled") is not True
        return is_on


def inner(value: object) -> Iterator[tuple[str | int, Any]]:
    """Give what a mapping or a list holds, with its key or number."""
    if isinstance(value, dict):
        yield from ((str(key), one) for key, one in value.items())
    elif isinstance(value, list):
        yield from enumerate(value)


def is_manager(value: object) -> bool:
    """Tell a connection manager's message."""
    return isinstance(get(value, "http_filters"), list)


class Managers:
    """All connection managers of a configuration."""

    def __init__(self, value: object) -> None:
        """Find them."""
        self._routes: dict[str, Any] = {}
        self._by_routes: dict[str, list[Manager]] = {}
        self._found: dict[int, Manager] = {}
        values = list(_managers(value, self._routes))
        for one in values:
            name = str(get(get(one, "rds"), "route_config_name") or "")
            routes = get(one, "route_config") or self._routes.get(name)
            made = Manager(
                (_filter(i, each) for i, each in enumerate(get(one, "http_filters"))),
                _uses(routes),
            )
            self._found[id(one)] = made
            if name:
                self._by_routes.setdefault(name, []).append(made)

    def of(self, value: object) -> Manager:
        """Give the manager of its message."""
        return self._found[id(value)]

    def of_routes(self, value: object) -> tuple[Manager, ...]:
        """Give the managers that fetch a route configuration by its name."""
        return tuple(self._by_routes.get(str(get(value, "name")), ()))


def _managers(value: object, routes: dict[str, Any]) -> Iterator[Any]:
    if is_manager(value):
        yield value
    elif isinstance(get(value, "virtual_hosts"), list):
        routes.setdefault(str(get(value, "name")), value)
    for _, one in inner(value):
        yield from _managers(one, routes)


def _filter(index: int, value: object) -> HttpFilter:
    type_, config = message(get(value, "typed_config"))
    name = str(get(value, "name") or "")
    return HttpFilter(index, name, type_, config, get(value, "disabled") is True)


def _uses(routes: object) -> dict[str, int]:
    """Give the filters numbers, in the order in which the routes name them."""
    found: dict[str, int] = {}
    for host in listed(get(routes, "virtual_hosts")):
        for one in (*listed(get(host, "routes")), host):
            for name in mapping(get(one, "typed_per_filter_config")):
                found.setdefault(str(name), len(found))
    return found
