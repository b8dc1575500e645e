# SPDX-License-Identifier: Apache-2.0
"""Which filters a format can name where it stands, and when their state is there."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_pyfilter._operator.rewrite import Options, apply, changes
from envoy_pyfilter.operators import Alias, Profile
from hypothesis import given
from hypothesis import strategies as st

from .operator_config import (
    OFF,
    ON,
    TYPE,
    Dict,
    K,
    P,
    ext_proc,
    fs,
    headers,
    listener,
    logged,
    manager,
    op,
    resolved,
    routes,
    text_log,
)


def module(**config: Any) -> Dict:
    """Give a filter of ours."""
    value = {"value": config, "@type": "type.googleapis.com/google.protobuf.Struct"}
    typed = {
        "@type": f"{TYPE}filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": "envoy_pyfilter"},
        "filter_name": "mypkg:Tokens",
        "filter_config": value,
    }
    return {"name": "envoy.filters.http.dynamic_modules", "typed_config": typed}


KEPT = {"key": "stat-key", "metadata_namespace": "stat.space", "fields": ["failed_open"]}
WASM = {
    "name": "w",
    "typed_config": {"@type": f"{TYPE}filters.http.wasm.v3.Wasm", "config": {"name": "plugin"}},
}
LUA = {"name": "script", "typed_config": {"@type": f"{TYPE}filters.http.lua.v3.Lua"}}
TYPED_STRUCT = {
    "name": "wrapped",
    "typed_config": {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": f"{TYPE}filters.http.ext_proc.v3.ExternalProcessor",
        "value": {"filter_metadata": {"alias": "inside"}},
    },
}
FOUND = {
    "our statistics by their key": (
        module(instance="i", statistics=KEPT),
        "stat-key:PLAIN",
        fs("stat-key", "PLAIN"),
    ),
    "our statistics by the instance": (
        module(instance="i", statistics=KEPT),
        "i:PLAIN",
        fs("stat-key", "PLAIN"),
    ),
    "our statistics as an object": (
        module(instance="i", statistics=KEPT),
        "i:TYPED",
        "%DYNAMIC_METADATA(stat.space)%",
    ),
    "a field of our statistics": (
        module(instance="i", statistics=KEPT),
        "stat-key:bytes_sent",
        "%DYNAMIC_METADATA(stat.space:bytes_sent)%",
    ),
    "a field with a key of its own": (
        module(instance="i", statistics=KEPT),
        "i:failed_open",
        fs("stat-key.failed_open", "PLAIN"),
    ),
    "our metadata beside statistics": (
        module(instance="i", statistics=KEPT),
        "i:tokens",
        "%DYNAMIC_METADATA(i:tokens)%",
    ),
    "one name for both": (
        module(instance="i", statistics={**KEPT, "key": "i"}),
        "i:bytes_sent",
        "%DYNAMIC_METADATA(stat.space:bytes_sent)%",
    ),
    "ext_proc's own alias": (ext_proc("n", "auth"), "auth:PLAIN", fs("n", "PLAIN")),
    "ext_proc's name": (ext_proc("n", "auth"), "n:PLAIN", fs("n", "PLAIN")),
    "a TypedStruct": (TYPED_STRUCT, "inside:PLAIN", fs("wrapped", "PLAIN")),
    "config elsewhere": (
        {"name": f"{P}x", "config_discovery": {}},
        f"{P}x:PLAIN",
        fs(f"{P}x", "PLAIN"),
    ),
    "a Wasm plugin": (WASM, "plugin:a", fs("wasm.a", "PLAIN")),
    "Lua": (LUA, "script:a", "%DYNAMIC_METADATA(envoy.filters.http.lua:a)%"),
    "ours": (module(), "Tokens:model", "%DYNAMIC_METADATA(Tokens:model)%"),
    "ours, named": (module(instance="llm"), "llm:model", "%DYNAMIC_METADATA(llm:model)%"),
    "ours, a short key": (
        module(instance="llm", state={"llm.tokens": "x"}),
        "llm:tokens",
        fs("llm.tokens", "PLAIN"),
    ),
    "ours, a whole key": (
        module(instance="llm", state={"all": "x"}),
        "llm:all",
        fs("all", "PLAIN"),
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    """Names that filters' own configs say need no alias file."""
    filter_, argument, expected = FOUND[case]

    assert ([expected], []) == logged([filter_], op(argument))


def test_the_file_comes_first() -> None:
    """A name of the alias file hides what a filter says of itself."""
    filters = [ext_proc("one", "auth"), ext_proc("two")]
    given = [Alias(name="auth", filter="two")]

    assert ([fs("two", "PLAIN")], []) == logged(filters, op("auth:PLAIN"), aliases=given)


def test_several_filters_of_one_name() -> None:
    """A policy of the gateway and one of a route: the one that has a value counts."""
    (text,), notices = logged([ext_proc("a", "auth"), ext_proc("b", "auth")], op("auth:PLAIN"))

    assert text.startswith("%COALESCE(")
    assert text.index('"a:PLAIN"') < text.index('"b:PLAIN"')
    assert [] == notices


def test_isolation() -> None:
    """Each connection manager knows the filters of its own chain only."""
    log = [text_log(op("auth:PLAIN"))]
    chains = [[ext_proc("a", "auth")], [ext_proc("b", "auth")], []]
    value = [listener(manager(filters, access_log=log)) for filters in chains]
    given = [Alias(name="auth", filter="b")]

    assert [fs("a", "PLAIN"), fs("b", "PLAIN"), "-"] == resolved(value)[0]
    assert [fs("a", "PLAIN"), fs("b", "PLAIN"), "-"] == resolved(value, aliases=given)[0]
    assert ["nothing is known as 'auth': its filter is not in this chain; written as -"] == (
        resolved(value, aliases=given)[1]
    )


def test_the_routes_own_filter() -> None:
    """On a route a name means the filter that the route enables; in a log, all of them."""
    filters = [ext_proc(key, "auth", disabled=True) for key in K]
    made = routes(
        *(
            {"request_headers_to_add": headers(op("auth:PLAIN")), "typed_per_filter_config": one}
            for one in ({K[1]: ON}, {K[0]: ON})
        )
    )
    log = [text_log(op("auth:PLAIN"))]
    value = listener(manager(filters, route_config=made, access_log=log))
    texts, notices = resolved(value)

    assert [fs(K[1], "PLAIN"), fs(K[0], "PLAIN")] == texts[:2]
    assert texts[2].index(K[1]) < texts[2].index(K[0])  # as the routes come
    assert [] == notices


def test_a_filter_that_the_route_turns_off() -> None:
    """The virtual host turns it off and one route on again."""
    on = {
        "response_headers_to_add": headers(op("auth:PLAIN")),
        "typed_per_filter_config": {"n": ON},
    }
    off = {"response_headers_to_add": headers(op("auth:PLAIN"))}
    made = routes(on, off)
    made["virtual_hosts"][0]["typed_per_filter_config"] = {"n": OFF}
    texts, notices = resolved(listener(manager([ext_proc("n", "auth")], route_config=made)))

    assert [fs("n", "PLAIN")] * 2 == texts
    assert ["'auth': its filter is not enabled on this route"] == notices


def test_routes_elsewhere() -> None:
    """Routes that a manager fetches by name belong to it; others belong to nobody."""
    of_us = routes({"request_headers_to_add": headers(op("auth:PLAIN"))}, name="ours")
    other = routes({"request_headers_to_add": headers(op("auth:PLAIN"))}, name="other")
    one = manager([ext_proc("n", "auth")], rds={"route_config_name": "ours"})
    value = {"configs": [listener(one), of_us, other]}

    assert [fs("n", "PLAIN"), "-"] == resolved(value)[0]


WHEN = {
    "request, router": ("request_headers_to_add", "failed_open", ""),
    "request, of the response": (
        "request_headers_to_add",
        "response_header_latency_us",
        "there is no response by then",
    ),
    "response, router": ("response_headers_to_add", "request_header_latency_us", ""),
    "response, of the response": (
        "response_headers_to_add",
        "response_header_latency_us",
        "the response has not reached its filter by then",
    ),
}


@pytest.mark.parametrize("case", WHEN)
def test_when_routes_add_headers(case: str) -> None:
    """The router makes them: after the request's filters and before the response's."""
    key, attribute, notice = WHEN[case]
    value = listener(
        manager(
            [ext_proc("n", "auth")],
            route_config=routes({key: headers(op(f"auth:{attribute}"))}),
        )
    )
    texts, notices = resolved(value)

    assert [fs("n", f"FIELD:{attribute}")] == texts
    assert [f"'auth': {notice}" for _ in [0] if notice] == notices


def mutating(side: str, argument: str) -> Dict:
    """Give a filter that changes headers."""
    config = {
        "@type": f"{TYPE}filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {f"{side}_mutations": [{"append": headers(op(argument))[0]}]},
    }
    return {"name": "m", "typed_config": config}


BEHIND = "its filter, n, stands behind this one and has not run by then"
LATER = "the response has not reached its filter by then"
ORDER = {
    "request, before": ("request", "failed_open", True, BEHIND),
    "request, after": ("request", "failed_open", False, ""),
    "response, before": ("response", "response_header_latency_us", True, ""),
    "response, after": ("response", "response_header_latency_us", False, LATER),
    "response, after, of the request": ("response", "failed_open", False, ""),
}


@pytest.mark.parametrize("case", ORDER)
def test_order_of_filters(case: str) -> None:
    """A request passes the filters from first to last, a response from last to first."""
    side, attribute, stands_before, notice = ORDER[case]
    filters = [ext_proc("n", "auth"), mutating(side, f"auth:{attribute}")]
    _, notices = resolved(listener(manager(filters[::-1] if stands_before else filters)))

    assert [f"'auth': {notice}" for _ in [0] if notice] == notices


def test_ours_is_late() -> None:
    """Our state is written when the stream is complete; what a hook writes is there at once."""
    filters = [
        module(instance="llm", state={"llm.a": "x"}),
        mutating("response", "llm:a"),
        mutating("response", "llm:b"),
    ]
    texts, notices = resolved(listener(manager(filters)))

    assert [fs("llm.a", "PLAIN"), "%DYNAMIC_METADATA(llm:b)%"] == texts
    assert [
        "'llm': it is written when the stream is complete; only access logs can read it"
    ] == notices


def test_statistics_are_late() -> None:
    """So are statistics, whatever is read of them."""
    filters = [
        module(instance="i", statistics=KEPT),
        *(mutating("response", f"i:{what}") for what in ("PLAIN", "bytes_sent", "failed_open")),
    ]
    late = "'i': it is written when the stream is complete; only access logs can read it"

    assert [late] * 3 == resolved(listener(manager(filters)))[1]


def test_fields_that_ext_authz_does_not_write() -> None:
    """ext_authz has fields only when it is told to."""
    kind = f"{TYPE}filters.http.ext_authz.v3.ExtAuthz"
    one: Dict = {"name": "z", "typed_config": {"@type": kind}}
    notice = "'z': ext_authz writes its fields only with emit_filter_state_stats: true"

    assert [notice] == logged([one], op("z:latency_us"))[1]
    one["typed_config"]["emit_filter_state_stats"] = True
    assert [] == logged([one], op("z:latency_us"))[1]


KEYS = st.sampled_from(
    [
        *("http_filters", "access_log", "typed_config", "@type", "name", "virtual_hosts", "routes"),
        *("route_config", "typed_per_filter_config", "log_format", "json_format", "header"),
        *("request_headers_to_add", "append", "text_format_source", "inline_string", "rds", "body"),
        *("route_config_name", "filter_metadata", "alias", "dynamic_module_config", "value"),
        *(
            "hits_addend",
            "format",
            "custom_tags",
            "disabled",
            "type_url",
            "mutations",
            "filter_config",
        ),
    ]
)
LEAVES = st.sampled_from(
    [
        *(op("auth:PLAIN"), op("n:x"), "envoy_pyfilter", "auth", "n", "", 1, True, None, 1.5),
        *(f"{TYPE}access_loggers.file.v3.FileAccessLog", f"{TYPE}filters.http.wasm.v3.Wasm"),
        *(f"{TYPE}filters.http.ext_proc.v3.ExternalProcessor", "x/xds.type.v3.TypedStruct"),
        f"{TYPE}filters.http.dynamic_modules.v3.DynamicModuleFilter",
    ]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=40,
)


@given(ANYTHING, st.sampled_from(["strict", "eg-v1", "eg-v3"]))
def test_anything(value: Any, profile: Profile) -> None:
    """Whatever stands where messages should, nothing raises, and only texts change."""
    made = changes(value, Options(profile=profile, aliases=[Alias(name="auth", filter="n")]))
    new = apply(value, made)

    assert shape(value) == shape(new)


def shape(value: Any) -> Any:
    """Give a configuration without its texts."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return str if isinstance(value, str) else value
