# SPDX-License-Identifier: Apache-2.0
"""Envoy Gateway's own goldens: what two of its commits wrote for whole listeners."""

from __future__ import annotations

import pytest
from envoy_pyfilter._operator.chains import Managers
from envoy_pyfilter._operator.rewrite import Options, apply, changes
from envoy_pyfilter.operators import Alias, Profile

from .operator_config import (
    ON,
    TYPE,
    Dict,
    K,
    P,
    ext_proc,
    file_log,
    fs,
    headers,
    listener,
    manager,
    op,
    resolved,
    routes,
    text_log,
)

TEXT = "[%START_TIME%] %REQ(:METHOD)% auth={} enrich={}\n"
JSON = {
    "method": "%REQ(:METHOD)%",
    "ext_proc_auth_latency": "{}",
    "ext_proc_enrich_status": "{}",
    "unknown_ref": "{}",
}
GOLDENS: dict[Profile, tuple[str, list[str], list[str], list[str]]] = {
    "eg-v1": (
        "EG_EXT_FILTER_STATE",
        ["auth:latency_ns", "enrichment:grpc_status_code", "nonexistent:latency_ns"],
        [fs(K[0], "latency_ns"), fs(K[1], "grpc_status_code"), "-"],
        ["-", "-", "-"],
    ),
    "eg-v3": (
        "EG_EXT_PROC_FILTER_STATE",
        ["auth:FIELD:bytes_sent", "enrichment:FIELD:bytes_sent", "nonexistent:FIELD:bytes_sent"],
        [
            fs(K[0], "FIELD:bytes_sent"),
            fs(K[1], "FIELD:bytes_sent"),
            "[EG_UNRESOLVED:nonexistent]",
        ],
        [f"[EG_UNRESOLVED:{name}]" for name in ("auth", "enrichment", "nonexistent")],
    ),
}


def golden(values: list[str]) -> list[Dict]:
    """Give the two logs of the goldens, text and JSON."""
    text = TEXT.format(*values[:2])
    numbers = iter(values)
    json = {key: next(numbers) if one == "{}" else one for key, one in JSON.items()}
    return [text_log(text), file_log(json_format=json)]


@pytest.mark.parametrize("profile", GOLDENS)
def test_golden(profile: Profile) -> None:
    """
    Resolve ``ext-proc-accesslog-name``.

    The manager's logs know its filters, the listener's copies know none.
    """
    operator, arguments, expected, of_listener = GOLDENS[profile]
    raw = [f"%{operator}({argument})%" for argument in arguments]
    used = {"typed_per_filter_config": {K[0]: ON, K[1]: ON}}

    def whole(outer: list[str], inner: list[str]) -> Dict:
        filters = [ext_proc(key, disabled=True) for key in K]
        one = manager(filters, access_log=golden(inner), route_config=routes(used))
        return listener(one, access_log=golden(outer))

    given = [Alias(name="auth", filter=K[0]), Alias(name="enrichment", filter=K[1])]
    made = changes(whole(raw, raw), Options(profile=profile, aliases=given))

    assert whole(of_listener, expected) == apply(whole(raw, raw), made)
    assert [] == made.notices


@pytest.mark.parametrize("kind", ["text_format_source", "json_format"])
def test_golden_of_nack_protection(kind: str) -> None:
    """
    Resolve ``ext-proc-accesslog-nack-protection``.

    In eg-v3 a name that nobody has is a sentinel everywhere: listener, manager, upstream log.
    """
    raw = "%EG_EXT_PROC_FILTER_STATE(nonexistent:FIELD:bytes_sent)%"

    def whole(text: str) -> Dict:
        key = "inline_string" if kind == "text_format_source" else "any"
        log = file_log(**{kind: {key: text}})
        router = {"@type": f"{TYPE}filters.http.router.v3.Router", "upstream_log": [log]}
        filters = [ext_proc(K[0], disabled=True), {"name": "router", "typed_config": router}]
        return listener(manager(filters, access_log=[log, log]), access_log=[log])

    made = changes(whole(raw), Options(profile="eg-v3"))

    assert whole("[EG_UNRESOLVED:nonexistent]") == apply(whole(raw), made)


def test_upstream_log() -> None:
    """In eg-v1 the log of the router knows the filters, although it can read nothing of theirs."""
    text = "%EG_EXT_PROC_FILTER_STATE(auth:PLAIN)%" + op("auth:PLAIN")
    router = {"@type": f"{TYPE}filters.http.router.v3.Router", "upstream_log": [text_log(text)]}
    chain = [ext_proc("n", "auth"), {"name": "router", "typed_config": router}]
    value = listener(manager(chain))
    v3 = "%EG_EXT_PROC_FILTER_STATE(auth:PLAIN)%"

    assert [v3 + fs("n", "PLAIN")] == resolved(value, profile="eg-v1")[0]
    assert ["[EG_UNRESOLVED:auth]" + op("auth:PLAIN")] == resolved(value, profile="eg-v3")[0]
    assert ["--"] == resolved(value)[0]


@pytest.mark.parametrize("profile", ["eg-v1", "eg-v3"])
def test_what_gateways_leave(profile: Profile) -> None:
    """They resolve formats of file logs; Envoy refuses the others."""
    text = f"{op('auth:PLAIN')}%EG_EXT_PROC_FILTER_STATE(auth:PLAIN)%"
    value = manager([], route_config=routes({"request_headers_to_add": headers(text)}))
    texts, notices = resolved(listener(value), profile=profile)

    assert [] == texts
    assert [f"{profile} resolves formats of file logs only; Envoy will refuse this one"] == notices


def test_first_route_wins() -> None:
    """In eg-v1 two filters of one name go by the order of the routes, not of the filters."""
    filters = [ext_proc(key, "auth", disabled=True) for key in K]
    made = routes({"typed_per_filter_config": {K[1]: ON}}, {"typed_per_filter_config": {K[0]: ON}})
    log = [text_log(op("auth:PLAIN"))]
    value = listener(manager(filters, route_config=made, access_log=log))

    assert ([fs(K[1], "PLAIN")], []) == resolved(value, profile="eg-v1")


MULTI = [f"{P}envoyextensionpolicy/default/my-eep/extproc/{number}" for number in range(2)]
ARGUMENTS: dict[Profile, tuple[str, str]] = {
    "eg-v1": ("EG_EXT_FILTER_STATE", "latency_ns"),
    "eg-v3": ("EG_EXT_PROC_FILTER_STATE", "FIELD:bytes_sent"),
}


@pytest.mark.parametrize("profile", ARGUMENTS)
def test_golden_of_multi_instance(profile: Profile) -> None:
    """Resolve ``ext-proc-accesslog-multi-instance``: two of one policy, by their numbers."""
    operator, attribute = ARGUMENTS[profile]
    names = ["req-processor", "resp-processor"]
    aliases = [Alias(name=name, filter=key) for name, key in zip(names, MULTI, strict=True)]
    raw = [f"%{operator}({name}:{attribute})%" for name in names]
    log = [
        text_log(f"req_proc={raw[0]} resp_proc={raw[1]}\n"),
        file_log(
            json_format={f"{name}_{attribute}": one for name, one in zip(names, raw, strict=True)}
        ),
    ]
    value = listener(manager([ext_proc(key, disabled=True) for key in MULTI], access_log=log))
    keys = [fs(key, attribute) for key in MULTI]

    assert [f"req_proc={keys[0]} resp_proc={keys[1]}\n", *keys] == (
        resolved(value, profile=profile, aliases=aliases)[0]
    )


def test_collector() -> None:
    """TestCollectHCMExtensionsForLogExpansion: each once, by the first route that has it."""
    both = {"typed_per_filter_config": {"ep0": ON, "ep1": ON}}
    value = manager([], route_config=routes({"typed_per_filter_config": {"ep0": ON}}, both, {}))

    assert ["ep0", "ep1"] == [*Managers(value).of(value).uses]
