# SPDX-License-Identifier: Apache-2.0
"""The file of ``--aliases``: names for filters, each said once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import yaml

from envoy_pyfilter._check import named_place, not_yaml
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._decode import decode
from envoy_pyfilter._document import Document, dotted
from envoy_pyfilter._operator.aliases import KINDS, Alias, Kind
from envoy_pyfilter._operator.found import kind_by_name
from envoy_pyfilter._problems import one_of
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXPECTED: Final = "expected {aliases: [{alias: NAME, filter: FILTER}, ...]}"


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One name; several filters share it when *filter* is a list."""

    alias: str
    filter: str | list[str] = ""
    kind: Kind | None = None
    namespace: str = ""
    state: dict[str, str] = {}
    statistics: str | None = None

    def filters(self) -> list[str]:
        """Give the filters as a list."""
        return [self.filter] if isinstance(self.filter, str) else self.filter


class _File(msgspec.Struct, frozen=True, kw_only=True):
    aliases: list[_Entry]


def document(name: Path, text: str) -> Document:
    """Read YAML; Refusal when it is none, or when a mapping has a key twice."""
    try:
        found = Document(text)
    except yaml.YAMLError as error:
        raise Refusal(not_yaml(error).shown(name)) from error
    except RecursionError:
        raise Refusal(f"{name}: nested too deeply") from None
    for place, first, line in found.again:
        raise Refusal(f"{name}:{line}: error: {dotted(place)}: line {first} has this key, too")
    return found


def read(name: Path, text: str) -> tuple[Alias, ...]:
    """Read an alias file; Refusal says what is wrong, and in which line."""
    found = document(name, text)
    if not isinstance(found.value, dict) or not found.value:
        raise Refusal(f"{name}: no alias file; {_EXPECTED}")
    try:
        return tuple(_aliases(decode(found.value, _File)))
    except ConfigError as error:
        line = found.line(named_place(f"aliases: {error}"))
        raise Refusal(f"{name}:{line}: error: {error}") from error


def _aliases(file: _File) -> Iterator[Alias]:
    names: dict[str, int] = {}
    for number, entry in enumerate(file.aliases):
        place = f"aliases[{number}]"
        first = names.setdefault(entry.alias, number)
        if first != number:
            raise ConfigError(
                f"{place}.alias: {entry.alias} is the alias of aliases[{first}], too; one entry "
                "may list several filters"
            )
        for one in entry.filters():
            kind = entry.kind or kind_by_name(one)
            if kind is None:
                raise ConfigError(f"{place}.kind: missing; expected {one_of(KINDS)}")
            try:
                yield Alias(
                    name=entry.alias,
                    filter=one,
                    kind=kind,
                    namespace=entry.namespace,
                    state=entry.state,
                    statistics=entry.statistics,
                )
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from None
