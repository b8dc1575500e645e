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
from envoy_pyfilter._document import Chain, Document, Place, Use, chains, dotted, uses
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

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
        instances: dict[Place, str | None] = {}
        for use in found:
            yield from self.module(use)
            instances[use.place] = yield from self.config(use)
        for chain in chains(self.document.value):
            yield from self.chain(chain, instances)

    def module(self, use: Use) -> Iterator[Finding]:
        place = (*use.place, "dynamic_module_config")
        given = use.value["dynamic_module_config"]
        name = given.get("name")
        if name is not None and name != MODULE:
            text = f"no module of this name; Envoy adds lib and .so itself, so write {MODULE}"
            yield self.finding("error", (*place, "name"), f"{name}: {text}")
        if given.get("do_not_close") is not True:
            text = "do_not_close: true is missing; Python cannot be unloaded"
            yield self.finding("warning", place, text)

    def config(self, use: Use) -> Generator[Finding, None, str | None]:
        """Check what the filter itself is told; the instance's name is returned."""
        if not use.filter_name:
            key = "per_route_config_name" if use.is_route else "filter_name"
            yield self.finding("error", use.place, f"{key} is missing; say access or module:Class")
            return None
        given = use.value.get("filter_config")
        place = (*use.place, "filter_config")
        if given is not None and (not isinstance(given, dict) or given.get("@type") != STRUCT_TYPE):
            kind = given.get("@type") if isinstance(given, dict) else given
            text = f'"@type" must be {STRUCT_TYPE}, with the config under value; got {kind}'
            yield self.finding("error", place, text)
            return None
        encoded = json.dumps((given or {}).get("value", {})).encode()
        try:
            if use.is_route:
                _config.load_route(use.filter_name, encoded)
                return None
            return _config.load(use.filter_name, encoded, validating=True).instance
        except ConfigError as error:
            where = self.document.known((*place, "value", *named_place(str(error))))
            yield self.finding("error", where, str(error))
            return None

    def chain(self, chain: Chain, instances: dict[Place, str | None]) -> Iterator[Finding]:
        seen: dict[str, Place] = {}
        states: dict[str, Place] = {}
        for use in chain.ours:
            instance = instances.get(use.place)
            if instance in seen:
                text = f"instance {instance} is that of {dotted(seen[instance])} too"
                why = "their stats and metadata cannot be told apart"
                yield self.finding("warning", use.place, f"{text}; {why}")
            elif instance is not None:
                seen[instance] = use.place
            for key in use.config.get("state") or {}:
                place = (*use.place, "filter_config", "value", "state", str(key))
                if key in states:
                    text = f"{dotted(states[key])} writes this key first; the second write is lost"
                    yield self.finding("error", place, text)
                states.setdefault(key, place)
        yield from self.order(chain)

    def order(self, chain: Chain) -> Iterator[Finding]:
        if chain.ours and chain.before:
            names = ", ".join(chain.before)
            text = f"requests that {names} answers never get here: stand before it to log them"
            yield self.finding("warning", chain.ours[0].place, text)


def named_place(message: str) -> Place:
    """Read the dotted path out of a ConfigError: ``access: log.fields[1]: ...``."""
    found = re.match(r"[^ ]+: ((?:[\w.-]|\[\d+\]|\[\"[^\"]*\"\])+): ", message)
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
    return list(_Checker(document).all())


def with_envoy(envoy: Path, file: Path) -> list[Finding]:
    """Ask ``envoy --mode validate``, which loads our module too."""
    command = [
        str(envoy),
        "--mode",
        "validate",
        "-c",
        str(file),
        "-l",
        "error",
        "--log-format",
        "%l %v",
    ]
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
    lines = done.stderr.splitlines()
    reasons = [line.split(" ", 1)[1] for line in lines if line.startswith(("critical ", "error "))]
    text = "; ".join(dict.fromkeys(reasons)) or f"exit code {done.returncode}"
    return [Finding(level="error", text=f"Envoy {_envoy.version(envoy)} rejects it: {text}")]
