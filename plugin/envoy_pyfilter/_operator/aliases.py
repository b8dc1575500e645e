# SPDX-License-Identifier: Apache-2.0
"""
What an alias stands for, and which of Envoy's commands reads an attribute of it.

Filters keep what they learned in different places: ext_proc in an object with fields, under the
name that the filter has in ``http_filters``; ext_authz the same with three fields only, and what
its server said in dynamic metadata; Wasm under ``wasm.`` and a property's path; Lua and dynamic
modules wherever they like, most often in dynamic metadata under a namespace of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from envoy_pyfilter._problems import nearest
from envoy_pyfilter._statistics import FIELDS
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind: TypeAlias = Literal["ext_proc", "ext_authz", "dynamic_module", "lua", "wasm"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

FORMS: Final = ("PLAIN", "TYPED", "FIELD")
_NAMESPACES: Final = {
    "ext_authz": "envoy.filters.http.ext_authz",
    "lua": "envoy.filters.http.lua",
}

EXT_PROC_FIELDS: Final = FIELDS
EXT_AUTHZ_FIELDS: Final = ("latency_us", "bytesSent", "bytesReceived")


_SHOWN: Final = 60  # characters of a text in a sentence


def shown(text: str) -> str:
    """Give a text for a sentence: quoted, and cut when long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """
    A name that formats may use for one filter.

    *filter*: the filter-state key of the filter as a whole, which for ext_proc and ext_authz is
    its name in ``http_filters``. *namespace*: of its dynamic metadata; by default what its kind
    usually has. *state*: attributes that are filter state of their own, as text, with their keys.
    *statistics*: of a filter that keeps what ext_proc tells (docs/statistics.md), the namespace in
    which that is metadata, "" for none.

    ``ConfigError`` for a name with a colon, or none, which no format could use.
    """

    name: str
    filter: str = ""
    kind: Kind = "ext_proc"
    namespace: str = ""
    state: Mapping[str, str] = field(default_factory=dict)
    statistics: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.name or ":" in self.name or not self.name.isprintable():
            what = "has a colon, which ends it" if ":" in self.name else "is no name"
            raise ConfigError(f"alias {self.name!r} {what}")
        if self.kind not in KINDS:
            raise ConfigError(f"alias {self.name!r}: unknown kind {self.kind!r}")
        if self.kind in ("ext_proc", "ext_authz") and not self.filter:
            raise ConfigError(f"alias {self.name!r}: an {self.kind} filter needs its name")

    @property
    def metadata(self) -> str:
        """Namespace of its dynamic metadata."""
        return self.namespace or _NAMESPACES.get(self.kind) or self.filter

    def is_statistic(self, attribute: str) -> bool:
        """Tell what a filter's statistics are made of: ext_proc's fields, and all of them ("")."""
        return self.statistics is not None and (not attribute or attribute in EXT_PROC_FIELDS)


@dataclass(frozen=True, slots=True)
class Target:
    """One of Envoy's commands; *remark* says what is odd about it."""

    command: Literal["FILTER_STATE", "DYNAMIC_METADATA"]
    argument: str
    remark: str = ""


def target(alias: Alias, form: str, attribute: str) -> Target | str:
    """
    Give what reads an attribute (*form* FIELD), or the filter as a whole (PLAIN, TYPED).

    A sentence when nothing does.
    """
    if form == "FIELD" and attribute in alias.state:
        return _state(alias.state[attribute], "PLAIN")
    return _BY_KIND[alias.kind](alias, form, attribute)


def _ext_proc(alias: Alias, form: str, attribute: str) -> Target | str:
    if form != "FIELD":
        return _state(alias.filter, form)
    remark = ""
    if attribute not in EXT_PROC_FIELDS:
        remark = f"ext_proc has no field {shown(attribute)}, so it is always unset"
        near = nearest(attribute[:_SHOWN], [*EXT_PROC_FIELDS, *FORMS[:2]])
        remark += f"; did you mean {near}?" if near else ""
    return _state(alias.filter, f"FIELD:{attribute}", remark)


def _ext_authz(alias: Alias, form: str, attribute: str) -> Target | str:
    if form == "FIELD" and attribute in EXT_AUTHZ_FIELDS:
        return _state(alias.filter, f"FIELD:{attribute}")
    if form == "PLAIN":
        return _state(alias.filter, form, "the state of ext_authz has fields only: it has no text")
    return _metadata(alias.metadata, attribute)


def _state(key: str, form: str, remark: str = "") -> Target | str:
    if not key:
        return "the alias names no filter state"
    if ":" in key:
        return f"the filter-state key {key!r} has a colon, which no format can say"
    return Target("FILTER_STATE", f"{key}:{form}", remark)


def _metadata(namespace: str, attribute: str) -> Target | str:
    if not namespace:
        return "the alias names no metadata namespace"
    if ":" in namespace:
        return f"the metadata namespace {namespace!r} has a colon, which no format can say"
    return Target("DYNAMIC_METADATA", f"{namespace}:{attribute}" if attribute else namespace)


def _wasm(_alias: Alias, form: str, attribute: str) -> Target | str:
    if form != "FIELD":
        return "a Wasm filter has no state as a whole; name a property"
    return _state(f"wasm.{attribute}", "PLAIN")


def _free(alias: Alias, form: str, attribute: str) -> Target | str:
    """Lua and dynamic modules: the whole as text is filter state, all else is metadata."""
    if form == "PLAIN":
        return _state(alias.filter, "PLAIN")
    if alias.statistics and alias.is_statistic(attribute):
        return _metadata(alias.statistics, attribute)
    return _metadata(alias.metadata, attribute)


_BY_KIND: Final[Mapping[Kind, Callable[[Alias, str, str], Target | str]]] = {
    "ext_proc": _ext_proc,
    "ext_authz": _ext_authz,
    "dynamic_module": _free,
    "lua": _free,
    "wasm": _wasm,
}
