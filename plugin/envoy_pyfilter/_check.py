# SPDX-License-Identifier: Apache-2.0
"""
``envoy-pyfilter check``: what is wrong with a bootstrap's use of us, with the line of each finding.

The static part reads YAML (JSON is YAML) and loads each filter as Envoy would, in this process.
Then Envoy itself is asked: ``envoy --mode validate``.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import yaml

from envoy_pyfilter import _config, _envoy
from envoy_pyfilter._bootstrap import MODULE, STRUCT_TYPE
from envoy_pyfilter._document import Chain, Document, Place, Use, chains, dotted, mapping, uses
from envoy_pyfilter._envoy_log import complaints
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from envoy_pyfilter._config import Loaded

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong (*error*) or looks wrong (*warning*); *line* 0: of the whole file."""

    level: Level
    text: str
    place: Place = ()
    line: int = 0

    def shown(self, file: Path) -> str:
        """Write it as compilers do: ``FILE:LINE: error: dotted.path: text``."""
        line = f":{self.line}" if self.line else ""
        path = f"{dotted(self.place)}: " if self.place else ""
        return f"{file}{line}: {self.level}: {path}{self.text}"


@dataclass(slots=True)
class _Checker:
    document: Document

    def finding(self, level: Level, place: Place, text: str) -> Finding:
        return Finding(level=level, text=text, place=place, line=self.document.line(place))

    def all(self) -> Iterator[Finding]:
        found = list(uses(self.document.value))
        if not found:
            yield Finding(level="error", text=f"no filter here names the module {MODULE}")
        loaded: dict[Place, Loaded] = {}
        for use in found:
            yield from self.module(use)
            one = yield from self.config(use)
            if one is not None:
                loaded[use.place] = one
        for chain in chains(self.document.value):
            yield from self.order(chain)
            yield from self.names(
                [(use.place, loaded[use.place]) for use in chain.ours if use.place in loaded]
            )

    def module(self, use: Use) -> Iterator[Finding]:
        place = (*use.place, "dynamic_module_config")
        given = mapping(use.value["dynamic_module_config"])
        name = given.get("name")
        if name is not None and name != MODULE:
            text = f"no module of this name; Envoy adds lib and .so itself, so write {MODULE}"
            yield self.finding("error", (*place, "name"), f"{name}: {text}")
        if given.get("do_not_close") is not True:
            text = "do_not_close: true is missing; Python cannot be unloaded"
            yield self.finding("warning", place, text)

    def config(self, use: Use) -> Generator[Finding, None, Loaded | None]:
        """Check what the filter itself is told; the filter is returned, unless it is a route's."""
        place = (*use.place, "filter_config")
        if not use.filter_name:
            key = "per_route_config_name" if use.is_route else "filter_name"
            yield self.finding("error", use.place, f"{key} is missing; say access or module:Class")
            return None
        given = use.value.get("filter_config")
        if given is not None and mapping(given).get("@type") != STRUCT_TYPE:
            kind = mapping(given).get("@type", "none")
            text = f'"@type" must be {STRUCT_TYPE}, with the config under value; got {kind}'
            yield self.finding("error", place, text)
            return None
        encoded = json.dumps(mapping(given).get("value") or {}, default=str).encode()
        try:
            if use.is_route:
                _config.load_route(use.filter_name, encoded)
                return None
            return _config.load(use.filter_name, encoded, validating=True)
        except ConfigError as error:
            where = self.document.known((*place, "value", *named_place(str(error))))
            yield self.finding("error", where, str(error))
            return None

    def names(self, chain: list[tuple[Place, Loaded]]) -> Iterator[Finding]:
        """Check that no two filters of a chain use the same instance or the same state key."""
        instances: dict[str, int] = {}
        states: dict[bytes, int] = {}
        for place, loaded in chain:
            line = self.document.line(place)
            if instances.setdefault(loaded.instance, line) != line:
                text = f"instance {loaded.instance} is that of line {instances[loaded.instance]}"
                why = "too; their stats and metadata cannot be told apart"
                yield self.finding("warning", place, f"{text} {why}")
            for state in loaded.plan.state if loaded.plan else ():
                if states.setdefault(state.key, line) != line:
                    key = state.key.decode()
                    where = (*place, "filter_config", "value", "state", key)
                    text = f"line {states[state.key]} writes this key too; only one write stays"
                    yield self.finding("error", self.document.known(where), text)

    def order(self, chain: Chain) -> Iterator[Finding]:
        """Check that we stand where all requests come by."""
        if chain.ours and chain.before:
            names = ", ".join(chain.before)
            text = f"requests that {names} answers never get here: stand before it to log them"
            yield self.finding("warning", chain.ours[0].place, text)


def named_place(message: str) -> Place:
    """Read the dotted path out of a ConfigError: ``access: log.fields[1]: ...``."""
    path = r"((?:[\w.-]|\[\d+\]|\[\"[^\"]*\"\])+)"
    found = re.match(rf"[^ ]+: (?:per-route config: )?{path}: ", message)
    keys = re.findall(r"\[(\d+)\]|\[\"([^\"]*)\"\]|([\w-]+)", found[1] if found else "")
    return tuple(int(number) if number else key or word for number, key, word in keys)


def static(text: str) -> list[Finding]:
    """Check what can be known without Envoy."""
    try:
        document = Document(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return [Finding(level="error", text=f"no YAML: {error.problem}", line=line)]
    except yaml.YAMLError as error:
        return [Finding(level="error", text=f"no YAML: {error}")]
    return sorted(_Checker(document).all(), key=lambda finding: finding.line)


def with_envoy(envoy: Path, file: Path) -> list[Finding]:
    """Ask ``envoy --mode validate``, which loads our module too."""
    command = [str(envoy), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(
        command,
        env=_envoy.environment(),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return []
    text = "; ".join(complaints(done.stderr)) or f"exit code {done.returncode}"
    return [Finding(level="error", text=f"Envoy {_envoy.version(envoy)} rejects it: {text}")]
