# SPDX-License-Identifier: Apache-2.0
"""
An Envoy configuration file: its values, their lines, and where it uses us.

YAML is read as Envoy reads it; JSON is YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from envoy_pyfilter._bootstrap import FILTER_TYPE, MODULE, ROUTE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str | int, ...]
Dict = dict[str, Any]

# Filters that never answer a request themselves: standing before ours they hide nothing from it.
_HARMLESS = (
    "header_mutation",
    "header_to_metadata",
    "json_to_metadata",
    "on_demand",
    "set_filter_state",
    "set_metadata",
)


def dotted(place: Place) -> str:
    """Write a place as ``a.b[0].c``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


class _Loader(yaml.SafeLoader):
    """Reads dates as text, as Envoy does."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Document:
    """A YAML file: its value, and the line of each place in it."""

    def __init__(self, text: str) -> None:
        """Parse; yaml.YAMLError when it is no YAML."""
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self.value: Any = {} if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
        self._lines: dict[Place, int] = {}
        if node is not None:
            self._note(node, ())

    def _note(self, node: yaml.Node, place: Place) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                self._lines[inner] = key.start_mark.line + 1
                self._note(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._note(value, (*place, number))

    def known(self, place: Place) -> Place:
        """Give the longest beginning of *place* that the file holds."""
        while place and place not in self._lines:
            place = place[:-1]
        return place

    def line(self, place: Place) -> int:
        """Give the line of a place, or of the nearest that the file holds."""
        return self._lines.get(self.known(place), 0)


def mapping(value: object) -> Dict:
    """Give a mapping as it is and anything else as an empty one: files hold what they like."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Use:
    """One place where the file configures a dynamic module's filter or route."""

    place: Place
    value: Dict

    @property
    def is_route(self) -> bool:
        """Tell a per-route config from a filter."""
        return bool(self.value["@type"] == ROUTE_TYPE)

    @property
    def module(self) -> str:
        """Name of the module, by whichever of Envoy's two ways it is given; "" without one."""
        given = mapping(self.value.get("dynamic_module_config"))
        local = mapping(mapping(given.get("module")).get("local"))
        return str(given.get("name") or local.get("filename") or "")

    @property
    def filter_name(self) -> str:
        """Name of the filter."""
        return str(self.value.get("per_route_config_name" if self.is_route else "filter_name", ""))


def _bare(module: str) -> str:
    return module.rsplit("/", 1)[-1].removeprefix("lib").removesuffix(".so").replace("-", "_")


def uses(value: object, place: Place = ()) -> Iterator[Use]:
    """Give each use of us, also under a name that is slightly wrong, in the order of the file."""
    if isinstance(value, dict):
        if value.get("@type") in (FILTER_TYPE, ROUTE_TYPE):
            use = Use(place, value)
            if _bare(use.module) == MODULE:
                yield use
        for key, inner in value.items():
            yield from uses(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from uses(inner, (*place, number))


def file_sinks(value: object) -> list[str]:
    """Give the paths of all file sinks."""
    configs = [mapping(mapping(use.value.get("filter_config")).get("value")) for use in uses(value)]
    lists = [config.get("sinks") for config in configs]
    sinks = [mapping(sink) for one in lists if isinstance(one, list) for sink in one]
    return [str(sink["path"]) for sink in sinks if "path" in sink]


@dataclass(frozen=True, slots=True)
class Chain:
    """The filters of one ``http_filters``: ours, and those before ours that may answer requests."""

    ours: list[Use]
    before: list[str]


def chains(value: object, place: Place = ()) -> Iterator[Chain]:
    """Give each list of HTTP filters in the file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "http_filters" and isinstance(inner, list):
                yield _chain(inner, (*place, key))
            yield from chains(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from chains(inner, (*place, number))


def _chain(filters: list[Any], place: Place) -> Chain:
    ours: list[Use] = []
    before: list[str] = []
    for number, one in enumerate(filters):
        found = list(uses(one, (*place, number)))
        ours += found
        kind = str(mapping(mapping(one).get("typed_config")).get("@type", ""))
        if not ours and not any(f".{harmless}." in kind for harmless in _HARMLESS):
            before.append(str(mapping(one).get("name", number)))
    return Chain(ours, before)
