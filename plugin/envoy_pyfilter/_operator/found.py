# SPDX-License-Identifier: Apache-2.0
"""
The aliases that hold for the formats of one connection manager.

Those of the alias file, where the filter stands in this manager's chain; and what the filters' own
configs say: ext_proc's and ext_authz's ``filter_metadata: {alias: NAME}``, the name of a Wasm
plugin, the instance name of a filter of ours; and the name that a filter has in ``http_filters``.
Of these three the first that knows a name counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._bootstrap import MODULE
from envoy_pyfilter._document import mapping
from envoy_pyfilter._operator.aliases import Alias, Kind
from envoy_pyfilter._operator.chains import HttpFilter, Manager, get
from envoy_pyfilter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_HTTP: Final = "envoy.extensions.filters.http."
_KINDS: Final[dict[str, Kind]] = {
    f"{_HTTP}ext_proc.v3.ExternalProcessor": "ext_proc",
    f"{_HTTP}ext_authz.v3.ExtAuthz": "ext_authz",
    f"{_HTTP}lua.v3.Lua": "lua",
    f"{_HTTP}wasm.v3.Wasm": "wasm",
    f"{_HTTP}dynamic_modules.v3.DynamicModuleFilter": "dynamic_module",
}
# What Envoy Gateway calls its filters begins so.
_PREFIXES: Final[dict[str, Kind]] = {
    "envoy.filters.http.ext_proc": "ext_proc",
    "envoy.filters.http.ext_authz": "ext_authz",
    "envoy.filters.http.lua": "lua",
    "envoy.filters.http.wasm": "wasm",
    "envoy.filters.http.dynamic_modules": "dynamic_module",
}


@dataclass(frozen=True, slots=True)
class Known:
    """An alias, and the filter of the chain that it means; None when that is not known."""

    alias: Alias
    filter: HttpFilter | None = None


def kind_by_name(name: str) -> Kind | None:
    """Tell a filter's kind by a name as Envoy Gateway makes them."""
    return _PREFIXES.get(name.partition("/")[0])


def kind_of(one: HttpFilter) -> Kind | None:
    """Tell a filter's kind by its config, or by its name when the config is elsewhere."""
    return _KINDS.get(one.type) or (kind_by_name(one.name) if not one.type else None)


def known(manager: Manager, given: Iterable[Alias]) -> list[Known]:
    """Give what formats of *manager* may name; *given* are the aliases of the file."""
    ours = {instance(one): one for one in manager.filters if instance(one)}
    listed = [Known(alias, _meant(alias, manager, ours)) for alias in given]
    whole = [one for one in listed if one.filter is not None or not _stands_in_chain(one.alias)]
    for level in (_said, _named):
        names = {one.alias.name for one in whole}
        more = [one for each in manager.filters for one in level(each)]
        whole += [one for one in more if one.alias.name not in names]
    return whole


def instance(one: HttpFilter) -> str:
    """Give the instance name of a filter of ours, and "" for others."""
    module = get(one.config, "dynamic_module_config")
    local = get(get(get(module, "module"), "local"), "filename")
    name = str(get(module, "name") or local or "")
    if kind_of(one) != "dynamic_module" or MODULE not in name:
        return ""
    filter_name = str(get(one.config, "filter_name") or "")
    given = _config(one).get("instance")
    return str(given or filter_name.rpartition(":")[2])


def _stands_in_chain(alias: Alias) -> bool:
    """Tell an alias whose filter's key is its name in the chain: elsewhere it has no state."""
    return alias.kind in ("ext_proc", "ext_authz")


def _meant(alias: Alias, manager: Manager, ours: dict[str, HttpFilter]) -> HttpFilter | None:
    return manager.filter(alias.filter) or ours.get(alias.filter)


def _said(one: HttpFilter) -> list[Known]:
    """Give the aliases that a filter's own config says."""
    kind, name = kind_of(one), ""
    if kind in ("ext_proc", "ext_authz"):
        name = str(mapping(get(one.config, "filter_metadata")).get("alias") or "")
    elif kind == "wasm":
        name = str(get(get(one.config, "config"), "name") or "")
    elif instance(one):
        return _ours(one)
    return _made(one, kind, name, one.name)


def _ours(one: HttpFilter) -> list[Known]:
    """Give a filter of ours by its instance's name, and by that of its statistics."""
    name, config = instance(one), _config(one)
    if not isinstance(config.get("statistics"), dict):
        return _made(one, "dynamic_module", name, name, state=_state(one))
    statistics = mapping(config["statistics"])
    key, space = (str(statistics.get(each) or "") for each in ("key", "metadata_namespace"))
    names = statistics.get("fields")
    fields = {str(each): f"{key}.{each}" for each in names} if isinstance(names, list) else {}
    made = _made(
        one, "dynamic_module", name, key or name,
        namespace=name, state={**fields, **_state(one)}, statistics=space,
    )  # fmt: skip
    if key not in ("", name):
        made += _made(
            one, "dynamic_module", key, key, namespace=space, state=fields, statistics=space
        )
    return made


def _config(one: HttpFilter) -> dict[str, Any]:
    return mapping(get(get(one.config, "filter_config"), "value"))


def _named(one: HttpFilter) -> list[Known]:
    """Give a filter under its own name; a dynamic module knows nothing of that name."""
    kind = kind_of(one)
    return [] if kind == "dynamic_module" else _made(one, kind, one.name, one.name)


def _made(one: HttpFilter, kind: Kind | None, name: str, key: str, **more: Any) -> list[Known]:
    if kind is None:
        return []
    try:
        return [Known(Alias(name=name, filter=key, kind=kind, **more), one)]
    except ConfigError:  # nothing that a format could name
        return []


def _state(one: HttpFilter) -> dict[str, str]:
    """Give the keys that a filter of ours writes: as they are, and without the instance's name."""
    keys = [str(key) for key in mapping(_config(one).get("state"))]
    prefix = f"{instance(one)}."
    short = {key.removeprefix(prefix): key for key in keys if key.startswith(prefix)}
    return {**short, **{key: key for key in keys}}
