# SPDX-License-Identifier: Apache-2.0
"""
Every place of a configuration where Envoy evaluates a format, and what it can read there.

A table says which fields are formats; a field is known by its name, and by its message's type
where the name alone says too little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from envoy_pyfilter._operator.chains import (
    Manager,
    Managers,
    get,
    inner,
    is_manager,
    listed,
    message,
    snake,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envoy_pyfilter._document import Place

Form: TypeAlias = Literal["file text", "file json", "text", "header", "command"]


class When(Enum):
    """When a format is evaluated, which decides what is there to read."""

    EARLY = "before the filters"
    REQUEST = "while the request passes the filters"
    RESPONSE = "while the response passes the filters"
    END = "when all filters are done"
    CONNECTION = "for a connection, without any HTTP filter"
    UPSTREAM = "for a request to the upstream, which has state of its own"


@dataclass(frozen=True, slots=True)
class Site:
    """
    Where a format stands.

    *form*: a "command" is one and nothing else. *index*: in the chain of filters; None: at its
    end, in the router. *managers*: whose filters have run. *overrides*: the
    ``typed_per_filter_config`` of what surrounds it, outermost first.
    *is_route*: it belongs to routes, not to all requests of a manager.
    """

    when: When = When.END
    form: Form = "text"
    index: int | None = None
    managers: tuple[Manager, ...] = ()
    overrides: tuple[Any, ...] = ()
    is_route: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A format, and where it stands."""

    place: Place
    text: str
    site: Site


_SUBSTITUTIONS: Final = ("log_format", "body_format", "body_format_override", "format_string")
_TEXTS: Final = {
    "descriptor_value": When.REQUEST,  # of rate limits
    "path_rewrite": When.REQUEST,
    "host_rewrite": When.REQUEST,
    "operation": When.END,  # of tracing
    "upstream_operation": When.END,
    "value_format": When.END,  # of the access logger that makes stats
}
_HEADERS: Final = {
    "request_headers_to_add": When.REQUEST,
    "request_headers_to_add_when_not_enforced": When.REQUEST,
    "response_headers_to_add": When.RESPONSE,
    "headers_to_add": None,  # of local replies and tunnels: as what surrounds them
    "initial_metadata": When.REQUEST,
    "grpc_initial_metadata": When.REQUEST,
    "request_mutations": When.REQUEST,
    "request_trailers_mutations": When.REQUEST,
    "request_headers_mutations": When.REQUEST,
    "response_mutations": When.RESPONSE,
    "response_trailers_mutations": When.RESPONSE,
    "mutations": None,
    "headers_mutations": None,
}
_SURROUNDING: Final = {
    "early_header_mutation_extensions": When.EARLY,
    "upstream_log": When.UPSTREAM,
    "local_reply_config": When.RESPONSE,
    "direct_response": When.RESPONSE,
    "response_format": When.RESPONSE,
}
_LOGS: Final = "envoy.extensions.access_loggers."
_FILE: Final = f"{_LOGS}file.v3.FileAccessLog"
_OTEL: Final = f"{_LOGS}open_telemetry.v3.OpenTelemetryAccessLogConfig"
_FLUENTD: Final = f"{_LOGS}fluentd.v3.FluentdAccessLogConfig"
_OF_LOGS: Final = {
    _FILE: ("format", "json_format", "typed_json_format"),
    _OTEL: ("body", "attributes"),
    _FLUENTD: ("record",),
}
# Not Envoy's formats although the names are the same: those of its own log, a span's name.
_OTHERS: Final = ("application_log_config", "decorator")
_OF_ROUTES: Final = (
    "path_rewrite",
    "host_rewrite",
)  # some filters have a host_rewrite that is none
_OF_TUNNELS: Final = ("hostname", "proxy_host", "target_host")


def formats(value: object) -> Iterator[Format]:
    """Give every format of a configuration."""
    yield from _Walk(Managers(value)).message(value, (), Site())


@dataclass(frozen=True, slots=True)
class _Walk:
    managers: Managers

    def message(
        self, value: object, place: Place, site: Site, given_type: str = ""
    ) -> Iterator[Format]:
        """Walk through a message, or a list of messages."""
        if isinstance(value, list):
            for number, each in enumerate(value):
                yield from self.message(each, (*place, number), site)
        if not isinstance(value, dict):
            return
        type_, content = message(value)
        site = self.site(value, site)
        for key, one in inner(value):
            here = (*place, key)
            if content is not value and one is content:  # a TypedStruct
                yield from self.message(one, here, site, type_)
            else:
                yield from self.field(given_type or type_, snake(str(key)), one, here, site)

    def site(self, value: object, site: Site) -> Site:
        """Tell what surrounds the fields of *value*."""
        if is_manager(value):
            site = replace(site, managers=(self.managers.of(value),))
        elif isinstance(get(value, "virtual_hosts"), list):
            managers = site.managers or self.managers.of_routes(value)
            site = replace(site, managers=managers, is_route=True)
        if isinstance(get(value, "virtual_hosts"), list):
            site = replace(site, is_route=True)
        overrides = get(value, "typed_per_filter_config")
        return replace(site, overrides=(*site.overrides, overrides)) if overrides else site

    def field(
        self, type_: str, key: str, value: object, place: Place, site: Site
    ) -> Iterator[Format]:
        """Walk through one field of a message of this type."""
        if key == "http_filters":
            for number, one in enumerate(listed(value)):
                yield from self.message(one, (*place, number), replace(site, index=number))
        elif key == "typed_per_filter_config":
            for name, one in inner(value):
                index = _index(site.managers, str(name))
                yield from self.message(one, (*place, name), replace(site, index=index))
        elif (found := _field(type_, key, value, place, site)) is not None:
            yield from found
        elif key == "tunneling_config":
            site = replace(site, when=When.CONNECTION)
            for name, one in inner(value):
                if snake(str(name)) in _OF_TUNNELS:
                    yield from _texts(one, (*place, name), site)
            yield from self.message(value, place, site)
        elif key not in _OTHERS:
            yield from self.message(value, place, _inside(key, site))


def _field(
    type_: str, key: str, value: object, place: Place, site: Site
) -> Iterator[Format] | None:
    """Give the formats of a field that holds nothing else; None when it is no such field."""
    found: Iterator[Format] | None = None
    if key in _SUBSTITUTIONS:
        found = _substitution(value, place, site, is_file=type_ == _FILE)
    elif key in _TEXTS and isinstance(value, str) and not (type_ and key in _OF_ROUTES):
        found = _texts(value, place, replace(site, when=_TEXTS[key]))
    elif key in _HEADERS and isinstance(value, list):
        when = _HEADERS[key] or site.when
        found = _headers(value, place, replace(site, when=when, form="header"))
    elif key == "hits_addend":  # of rate limits
        hits = replace(site, when=When.REQUEST, form="command")
        found = _texts(get(value, "format"), (*place, "format"), hits)
    elif key == "custom_tags" and isinstance(value, list):
        found = _tags(value, place, site)
    elif key in _OF_LOGS.get(type_, ()):
        form: Form = "text"
        if type_ == _FILE:
            form = "file text" if key == "format" else "file json"
        found = _texts(value, place, replace(site, form=form))
    return found


def _inside(key: str, site: Site) -> Site:
    if key in ("access_log", "proxy_access_log"):
        return replace(site, when=When.END if site.managers else When.CONNECTION)
    return replace(site, when=_SURROUNDING[key]) if key in _SURROUNDING else site


def _index(managers: tuple[Manager, ...], name: str) -> int | None:
    """Give the place in the chain of the filter that a per-route config is for."""
    found = [one.index for manager in managers if (one := manager.filter(name)) is not None]
    return min(found, default=None)


def _substitution(value: object, place: Place, site: Site, *, is_file: bool) -> Iterator[Format]:
    for key, one in inner(value):
        here, name = (*place, key), snake(str(key))
        if name == "text_format":
            yield from _texts(one, here, replace(site, form="file text" if is_file else "text"))
        elif name == "text_format_source":
            for part, text in inner(one):
                if snake(str(part)) == "inline_string":
                    form: Form = "file text" if is_file else "text"
                    yield from _texts(text, (*here, part), replace(site, form=form))
        elif name == "json_format":
            yield from _texts(one, here, replace(site, form="file json" if is_file else "text"))


def _texts(value: object, place: Place, site: Site) -> Iterator[Format]:
    """Give all texts inside of a value; keys are no formats."""
    if isinstance(value, str):
        yield Format(place, value, site)
    for key, one in inner(value):
        yield from _texts(one, (*place, key), site)


def _tags(value: list[Any], place: Place, site: Site) -> Iterator[Format]:
    for number, tag in enumerate(value):
        for key, one in inner(tag):
            if key == "value":
                yield from _texts(one, (*place, number, key), site)


def _headers(value: list[Any], place: Place, site: Site) -> Iterator[Format]:
    """Give the values of a list of headers, whichever message holds a header."""
    for number, option in enumerate(value):
        here: Place = (*place, number)
        one: object = option
        for name in ("append", "header"):
            key = next((key for key, _ in inner(one) if snake(str(key)) == name), None)
            if key is not None:
                here, one = (*here, key), get(one, name)
        text = get(one, "value")
        if isinstance(text, str):
            yield Format((*here, "value"), text, site)
