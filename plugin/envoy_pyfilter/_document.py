# SPDX-License-Identifier: Apache-2.0
"""
An Envoy configuration file: its values, their lines, and where it uses us.

YAML is read as Envoy reads it; JSON is YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from envoy_pyfilter._bootstrap import FILTER_TYPE, LOGGER_TYPE, MODULE, ROUTE_TYPE
from envoy_pyfilter._console import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def text_of(file: Path) -> str:
    """Read a file; Refusal when it cannot be read, or is no text."""
    try:
        return file.read_bytes().decode("utf-8")  # as it is: its line ends, too
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{file}: no text in UTF-8 (byte {error.start})") from error


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
        self.scalars: dict[Place, yaml.ScalarNode] = {}
        """Each text, number and the like, with where it stands in the file."""
        self.again: list[tuple[Place, int, int]] = []
        """Keys that a mapping has again: the place, its first line, and the line of the other."""
        if node is not None:
            self._note(node, ())

    def _note(self, node: yaml.Node, place: Place) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*place, str(key.value)), key.start_mark.line + 1
                if inner in self._lines:
                    self.again.append((inner, self._lines[inner], line))
                self._lines.setdefault(inner, line)
                self._note(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                self._note(value, (*place, number))
        elif isinstance(node, yaml.ScalarNode):
            self.scalars[place] = node

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
    """One place where the file configures a dynamic module's filter, route or access logger."""

    place: Place
    value: Dict

    @property
    def is_route(self) -> bool:
        """Tell a per-route config from a filter."""
        return bool(self.value["@type"] == ROUTE_TYPE)

    @property
    def is_logger(self) -> bool:
        """Tell an access logger from a filter."""
        return bool(self.value["@type"] == LOGGER_TYPE)

    @property
    def name_key(self) -> str:
        """Key under which the name stands."""
        return "logger_name" if self.is_logger else "filter_name"

    @property
    def config_key(self) -> str:
        """Key under which our own config stands."""
        return "logger_config" if self.is_logger else "filter_config"

    @property
    def module(self) -> str:
        """Name of the module, by whichever of Envoy's two ways it is given; "" without one."""
        given = mapping(self.value.get("dynamic_module_config"))
        local = mapping(mapping(given.get("module")).get("local"))
        return str(given.get("name") or local.get("filename") or "")

    @property
    def name(self) -> str:
        """Name of the filter or logger; a route may give it under its older key."""
        older = self.value.get("per_route_config_name") if self.is_route else None
        return str(self.value.get(self.name_key) or older or "")


def _bare(module: str) -> str:
    return module.rsplit("/", 1)[-1].removeprefix("lib").removesuffix(".so").replace("-", "_")


def uses(value: object, place: Place = ()) -> Iterator[Use]:
    """Give each use of us, also under a name that is slightly wrong, in the order of the file."""
    if isinstance(value, dict):
        if value.get("@type") in (FILTER_TYPE, ROUTE_TYPE, LOGGER_TYPE):
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
    configs = [mapping(mapping(use.value.get(use.config_key)).get("value")) for use in uses(value)]
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


def _is_lua_of_responses(one: Any) -> bool:
    """Tell a Lua filter whose scripts all stand here and have no hook for requests."""
    config = mapping(mapping(one).get("typed_config"))
    if ".lua." not in str(config.get("@type", "")):
        return False
    sources = [config.get("default_source_code"), *mapping(config.get("source_codes")).values()]
    scripts = [mapping(source).get("inline_string") for source in sources if source is not None]
    scripts += [config["inline_code"]] if "inline_code" in config else []
    return bool(scripts) and all(
        isinstance(script, str) and "envoy_on_request" not in script for script in scripts
    )


def _chain(filters: list[Any], place: Place) -> Chain:
    ours: list[Use] = []
    before: list[str] = []
    for number, one in enumerate(filters):
        found = [use for use in uses(one, (*place, number)) if not use.is_logger]
        ours += found
        kind = str(mapping(mapping(one).get("typed_config")).get("@type", ""))
        harmless = any(f".{name}." in kind for name in _HARMLESS)
        if not ours and not harmless and not _is_lua_of_responses(one):
            before.append(str(mapping(one).get("name", number)))
    return Chain(ours, before)
