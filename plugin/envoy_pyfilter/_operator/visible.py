# SPDX-License-Identifier: Apache-2.0
"""Which aliases a format can read where it stands, and whether there is anything by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from envoy_pyfilter._operator.aliases import EXT_AUTHZ_FIELDS
from envoy_pyfilter._operator.chains import get
from envoy_pyfilter._operator.found import Known, instance, known
from envoy_pyfilter._operator.places import When

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envoy_pyfilter._operator.aliases import Alias
    from envoy_pyfilter._operator.chains import Manager
    from envoy_pyfilter._operator.places import Site

_BLIND: Final = {
    When.CONNECTION: "no HTTP filter's state is there for a connection",
    When.UPSTREAM: "what the filters know is not there in a log of upstream requests",
}


@dataclass(frozen=True, slots=True)
class View:
    """What one format can read. *off*: names of filters that its route does not enable."""

    site: Site
    known: tuple[Known, ...] = ()
    given: frozenset[str] = frozenset()
    off: frozenset[str] = frozenset()

    @property
    def aliases(self) -> list[Alias]:
        """The aliases; two managers that share routes may have the same ones."""
        return [one.alias for one in self.known]

    def why(self, name: str) -> str:
        """Say why a name means nothing here, if there is a reason."""
        if self.site.when in _BLIND:
            return _BLIND[self.site.when]
        return "its filter is not in this chain" if name in self.given else ""

    def remark(self, alias: Alias, attribute: str) -> str:
        """Say why there may be nothing to read."""
        if alias.name in self.off:
            return "its filter is not enabled on this route"
        one = next(one for one in self.known if one.alias is alias)
        return _unwritten(one, attribute) or _timing(self.site, one, attribute)


class Views:
    """The views of a configuration's formats."""

    def __init__(self, given: Sequence[Alias]) -> None:
        """*given*: the aliases of the file."""
        self._given = given
        self._names = frozenset(alias.name for alias in given)
        self._known: dict[int, tuple[Manager, list[Known]]] = {}

    def of(self, site: Site) -> View:
        """Tell what a format at *site* can read."""
        if site.when in _BLIND:
            return View(site, given=self._names)
        if not site.managers:
            return View(site, tuple(map(Known, self._given)), self._names)
        found = [one for manager in site.managers for one in self._by_use(manager)]
        if not site.is_route:
            return View(site, tuple(found), self._names)
        on = [one for one in found if _is_on(one, site)]
        off = frozenset(one.alias.name for one in found) - {one.alias.name for one in on}
        rest = [one for one in found if one.alias.name in off]
        return View(site, (*on, *rest), self._names, off)

    def _by_use(self, manager: Manager) -> list[Known]:
        """Give what is known, by the first route that uses the filter, as Envoy Gateway does."""
        if id(manager) not in self._known:
            uses = manager.uses
            found = sorted(
                known(manager, self._given),
                key=lambda one: uses.get(one.filter.name if one.filter else "", len(uses)),
            )
            self._known[id(manager)] = (manager, found)  # which keeps the manager, so its id
        return self._known[id(manager)][1]


def _is_on(one: Known, site: Site) -> bool:
    if one.filter is None:
        return True
    name = one.filter.name
    return any(manager.enabled(name, site.overrides) for manager in site.managers)


def _unwritten(one: Known, attribute: str) -> str:
    if one.alias.kind != "ext_authz" or attribute not in EXT_AUTHZ_FIELDS:
        return ""
    config = one.filter.config if one.filter else None
    if config is None or get(config, "emit_filter_state_stats") is True:
        return ""
    return "ext_authz writes its fields only with emit_filter_state_stats: true"


def _timing(site: Site, one: Known, attribute: str) -> str:
    if site.when is When.END or one.filter is None:
        return ""
    if site.when is When.EARLY:
        return "no filter has run by then"
    at_end = attribute in one.alias.state or one.alias.is_statistic(attribute)
    if instance(one.filter) and at_end:
        return "it is written when the stream is complete; only access logs can read it"
    here, there = site.index, one.filter.index
    of_response = one.alias.kind == "ext_proc" and attribute.startswith("response_")
    text = ""
    if site.when is When.REQUEST and of_response:
        text = "there is no response by then"
    elif site.when is When.REQUEST and here is not None and there >= here:
        text = f"its filter, {one.filter.name}, stands behind this one and has not run by then"
    elif of_response and (here is None or there <= here):
        text = "the response has not reached its filter by then"
    return text
