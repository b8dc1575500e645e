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

_CALLS: Final = ("latency_us", "call_status")
_BODIES: Final = ("call_count", "total_latency_us", "max_latency_us", "last_call_status")
EXT_PROC_FIELDS: Final = (
    *(f"{way}_header_{one}" for way in ("request", "response") for one in _CALLS),
    *(f"{way}_body_{one}" for way in ("request", "response") for one in _BODIES),
    *(f"{way}_trailer_{one}" for way in ("request", "response") for one in _CALLS),
    "bytes_sent",
    "bytes_received",
    "failed_open",
    "received_immediate_response",
    "grpc_status_before_first_call",
    *(
        f"{way}_{part}_processing_effect"
        for way in ("request", "response")
        for part in ("header", "body", "trailer")
    ),
    "destination",
)
EXT_AUTHZ_FIELDS: Final = ("latency_us", "bytesSent", "bytesReceived")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """
    A name that formats may use for one filter.

    *filter*: the filter-state key of the filter as a whole, which for ext_proc and ext_authz is
    its name in ``http_filters``. *namespace*: of its dynamic metadata; by default what its kind
    usually has. *state*: attributes that are filter state of their own, as text, with their keys.

    ``ConfigError`` for a name with a colon, or none, which no format could use.
    """

    name: str
    filter: str = ""
    kind: Kind = "ext_proc"
    namespace: str = ""
    state: Mapping[str, str] = field(default_factory=dict)

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
        remark = f"ext_proc has no field {attribute!r}, so it is always unset"
        near = nearest(attribute, [*EXT_PROC_FIELDS, *FORMS[:2]])
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
    return (
        _state(alias.filter, "PLAIN") if form == "PLAIN" else _metadata(alias.metadata, attribute)
    )


_BY_KIND: Final[Mapping[Kind, Callable[[Alias, str, str], Target | str]]] = {
    "ext_proc": _ext_proc,
    "ext_authz": _ext_authz,
    "dynamic_module": _free,
    "lua": _free,
    "wasm": _wasm,
}
