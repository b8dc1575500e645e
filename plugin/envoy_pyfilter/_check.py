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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import yaml

from envoy_pyfilter import _config, _envoy, _logger
from envoy_pyfilter._bootstrap import MODULE, STRUCT_TYPE
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._document import Chain, Document, Place, Use, chains, dotted, mapping, uses
from envoy_pyfilter._envoy_log import complaints, refused_arguments
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
    from pathlib import Path

    from envoy_pyfilter._config import Loaded

Level = Literal["error", "warning"]

_STATISTICS: Final = {
    "key": "the line of the first one stays",
    "metadata_namespace": "the values of both are mixed there",
}


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
        for place, first, line in self.document.again:
            text = f"line {first} has this key, too; Envoy takes only the last value"
            yield Finding(level="error", text=text, place=place, line=line)
        found = list(uses(self.document.value))
        if not found:
            yield Finding(
                level="error", text=f"no filter or access logger here names the module {MODULE}"
            )
        loaded: dict[Place, Loaded] = {}
        instances: list[tuple[Place, str]] = []
        for use in found:
            yield from self.module(use)
            if use.is_logger:
                instances += yield from self.logger(use)
                continue
            one = yield from self.config(use)
            if one is not None:
                loaded[use.place] = one
                instances.append((use.place, one.instance))
        yield from self.same_names(instances, loaded.keys())
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

    def given(self, use: Use, missing: str) -> Generator[Finding, None, bytes | None]:
        """Give what we ourselves are told, as Envoy hands it over."""
        if not use.name:
            yield self.finding("error", use.place, missing)
            return None
        given = use.value.get(use.config_key)
        if given is not None and mapping(given).get("@type") != STRUCT_TYPE:
            kind = mapping(given).get("@type", "none")
            text = f'"@type" must be {STRUCT_TYPE}, with the config under value; got {kind}'
            yield self.finding("error", (*use.place, use.config_key), text)
            return None
        return json.dumps(mapping(given).get("value") or {}, default=str).encode()

    def refused(self, use: Use, error: ConfigError) -> Finding:
        """Say what is wrong where it stands."""
        inner = named_place(str(error))
        place = (*use.place, use.config_key, "value", *inner)
        if inner == (use.name_key,):
            place = (*use.place, use.name_key)
        return self.finding("error", self.document.known(place), str(error))

    def logger(self, use: Use) -> Generator[Finding, None, list[tuple[Place, str]]]:
        """Check an access logger; its place and instance are returned, unless it is refused."""
        encoded = yield from self.given(use, "logger_name is missing; say access")
        if encoded is None:
            return []
        try:
            plan = _logger.load(use.name, encoded, validating=True)
        except ConfigError as error:
            yield self.refused(use, error)
            return []
        return [(use.place, plan.instance)]

    def config(self, use: Use) -> Generator[Finding, None, Loaded | None]:
        """Check what the filter itself is told; the filter is returned, unless it is a route's."""
        encoded = yield from self.given(use, "filter_name is missing; say access or module:Class")
        if encoded is None:
            return None
        try:
            if use.is_route:
                _config.load_route(use.name, encoded)
                return None
            never_called: list[str] = []
            loaded = _config.load(use.name, encoded, validating=True, warn=never_called.append)
        except ConfigError as error:
            yield self.refused(use, error)
            return None
        for text in never_called:
            yield self.finding("error", (*use.place, "filter_name"), text)
        return loaded

    def other(self, place: Place, here: Place) -> str:
        """Name another place: by its line, or by its path when *here* has the same line."""
        line = self.document.line(place)
        return dotted(place) if line == self.document.line(here) else f"line {line}"

    def names(self, chain: list[tuple[Place, Loaded]]) -> Iterator[Finding]:
        """Check that no two filters of a chain use the same instance or write the same keys."""
        instances: dict[str, Place] = {}
        statistics: dict[tuple[str, str], Place] = {}
        states: dict[bytes, Place] = {}
        for place, loaded in chain:
            first = instances.setdefault(loaded.instance, place)
            if first != place:
                text = f"instance {loaded.instance} is that of {self.other(first, place)} too"
                why = "their stats and metadata cannot be told apart"
                yield self.finding("warning", place, f"{text}; {why}")
            for state in loaded.plan.state if loaded.plan else ():
                first = states.setdefault(state.key, place)
                if first != place:
                    where = (*place, "filter_config", "value", "state", state.key.decode())
                    text = f"{self.other(first, place)} writes this key too; only one write stays"
                    yield self.finding("error", self.document.known(where), text)
            if loaded.statistics is None:
                continue
            for key, why in _STATISTICS.items():
                name = getattr(loaded.statistics, key)
                first = statistics.setdefault((key, name), place) if name else place
                if first != place:
                    where = (*place, "filter_config", "value", "statistics", key)
                    text = f"{self.other(first, place)} has this {key} too; {why}"
                    yield self.finding("error", self.document.known(where), text)

    def same_names(
        self, instances: list[tuple[Place, str]], filters: Collection[Place]
    ) -> Iterator[Finding]:
        """Check that no access logger of a connection manager has another one's instance."""
        first: dict[tuple[Place, str], Place] = {}
        for place, instance in instances:
            other = first.setdefault((_manager(place), instance), place)
            if other != place and not {other, place} <= {*filters}:  # else ``names`` says it
                text = f"instance {instance} is that of {self.other(other, place)} too"
                yield self.finding("warning", place, f"{text}; their stats cannot be told apart")

    def order(self, chain: Chain) -> Iterator[Finding]:
        """Check that we stand where all requests come by."""
        if chain.ours and chain.before:
            names = ", ".join(chain.before)
            text = f"requests that {names} answers never get here: stand before it to log them"
            yield self.finding("warning", chain.ours[0].place, text)


def _manager(place: Place) -> Place:
    """Give the place of the connection manager in which a filter or logger stands."""
    for key in ("access_log", "http_filters"):
        if key in place:
            return place[: place.index(key)]
    return place


def named_place(message: str) -> Place:
    """Read the dotted path out of a ConfigError: ``access: log.fields[1]: ...``."""
    path = r"((?:[\w.-]|\[\d+\]|\[\"[^\"]*\"\])+)"
    found = re.match(rf"(?:access logger|[^ ]+): (?:per-route config: )?{path}: ", message)
    keys = re.findall(r"\[(\d+)\]|\[\"([^\"]*)\"\]|([\w-]+)", found[1] if found else "")
    return tuple(int(number) if number else key or word for number, key, word in keys)


def not_yaml(error: yaml.YAMLError) -> Finding:
    """Say what is wrong with a file that is no YAML."""
    mark = getattr(error, "problem_mark", None)
    text = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Finding(level="error", text=f"no YAML: {text}", line=mark.line + 1 if mark else 0)


def static(text: str) -> list[Finding]:
    """Check what can be known without Envoy."""
    try:
        document = Document(text)
    except yaml.YAMLError as error:
        return [not_yaml(error)]
    return sorted(_Checker(document).all(), key=lambda finding: finding.line)


def said_once(ours: list[Finding], envoys: list[Finding]) -> list[Finding]:
    """Give both lists; where Envoy refuses for what we found too, the words stand there once."""
    known = [finding.text for finding in ours if finding.level == "error"]
    return ours + [
        replace(finding, text=f"{finding.text.partition(' rejects it: ')[0]} rejects it, too")
        if any(text in finding.text for text in known)
        else finding
        for finding in envoys
    ]


def has_errors(findings: list[Finding]) -> bool:
    """Tell errors from warnings."""
    return any(finding.level == "error" for finding in findings)


def with_envoy(envoy: Path, file: Path, arguments: Sequence[str] = ()) -> list[Finding]:
    """Ask ``envoy --mode validate``, which loads our module too; *arguments* are Envoy's."""
    command = [str(envoy), "--mode", "validate", "-c", str(file), *arguments]
    if not {"-l", "--log-level"}.intersection(arguments):
        command += ["-l", "error"]
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
    said = complaints(done.stderr)
    why = refused_arguments(done.stderr)
    if arguments and why and not said:
        raise Refusal(f"Envoy {_envoy.version(envoy)} refuses its arguments: {why}")
    text = "; ".join(said) or f"exit code {done.returncode}"
    return [Finding(level="error", text=f"Envoy {_envoy.version(envoy)} rejects it: {text}")]
