# SPDX-License-Identifier: Apache-2.0
"""Every field of our entries beside Envoy's own access log of the same stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from . import bootstrap as b
from .conftest import SiteMaker
from .messages import Answer, Gate, Request
from .oracle import check, check_request
from .site import Site, as_dict, only
from .waiting import until

ENDINGS: dict[str, Any] = {
    "plain": ({}, Answer()),
    "post": ({"method": b"POST", "body": [b"x" * 1000, b"y" * 500]}, Answer(body=[b"z" * 3000])),
    "nothing": ({"method": b"HEAD"}, Answer(body=())),
    "error": ({}, Answer(status=503, body=[b"overloaded"])),
    "query": ({"query": b"?a=b&c=%20d"}, Answer()),
    "trailers": (
        {
            "method": b"POST",
            "headers": [(b"te", b"trailers")],
            "body": [b"b"],
            "trailers": [(b"x-last", b"1")],
        },
        Answer(trailers=[(b"x-end", b"2")]),
    ),
    "upstream resets": ({}, Answer(reset="before_headers")),
    "upstream resets in the body": ({}, Answer(reset="in_body", body=[b"one", b"two"])),
    "early answer": ({"method": b"POST", "body": [b"x" * 100_000]}, Answer(early=True)),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_field(site: SiteMaker, protocol: str, ending: str) -> None:
    """Both entries say what Envoy says, field by field."""
    fields, answer = ENDINGS[ending]
    here = site(access={}, routes=[b.route(name="the route")])
    query = fields.get("query", b"")
    request = {name: value for name, value in fields.items() if name != "query"}
    headers = [*request.pop("headers", []), (b"x-request-id", b"r-1")]
    path = here.upstream.serve(answer) + query
    here.fetch(protocol, path=path, headers=headers, **request)

    (told,) = here.oracle()
    first, second = here.entries(2)
    assert ("request", "response") == (first["kind"], second["kind"])
    assert (here.name, here.name) == (first["instance"], second["instance"])
    assert (0, 0) == (first["worker"], second["worker"])
    check_request(first, told)
    check(second, told, here.envoy.release)


LOCAL: dict[str, list[b.Dict]] = {
    "no route": [],
    "direct": [b.direct(status=418, body="tea", name="teapot")],
    "redirect": [b.route(redirect={"host_redirect": "elsewhere.test"})],
    "no healthy host": [b.route(route={"cluster": "empty"})],
}


@pytest.mark.parametrize("case", LOCAL)
def test_local_replies(site: SiteMaker, protocol: str, case: str) -> None:
    """A reply that Envoy makes itself is an entry like others."""
    here = site(access={}, routes=LOCAL[case])
    here.fetch(protocol, headers=[(b"x-request-id", b"r-2")])
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    check(entry, told, here.envoy.release)
    assert told["response_code_details"] == entry["response_code_details"]


FLAGS: dict[str, tuple[b.Dict, list[b.Dict]]] = {
    "UF,URX": (
        b.route(route={"cluster": "refused", "retry_policy": {"retry_on": "connect-failure"}}),
        [],
    ),
    "FI": (b.route(), [b.fault(abort={"http_status": 418})]),
    "DI": (b.route(), [b.fault(delay={"fixed_delay": "0.02s"})]),
}


@pytest.mark.parametrize("flags", FLAGS)
def test_response_flags(site: SiteMaker, protocol: str, flags: str) -> None:
    """Flags are written as Envoy writes them."""
    route, filters = FLAGS[flags]
    here = site(access={}, routes=[route], after=filters)
    here.fetch(protocol, headers=[(b"x-request-id", b"r")])
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    assert set(flags.split(",")) == set(told["response_flags"].split(","))
    check(entry, told, here.envoy.release)


def test_retries(site: SiteMaker, protocol: str) -> None:
    """A request that is tried again upstream is one stream with one response."""
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
    routed = {"cluster": "upstream", "retry_policy": retry}
    here = site(access={}, routes=[b.route(route=routed)])
    path = here.upstream.serve(Answer(status=503))
    assert 503 == here.fetch(protocol, path=path, headers=[(b"x-request-id", b"r")]).status
    (told,) = here.oracle()
    first, second = here.entries(2)
    assert 3 == len(here.upstream.received(path))
    assert ("request", "response") == (first["kind"], second["kind"])
    check(second, told, here.envoy.release)


def test_continue(site: SiteMaker, protocol: str) -> None:
    """An interim response is no response: the entry has the last one."""
    here = site(access={})
    headers = [(b"expect", b"100-continue"), (b"x-request-id", b"r")]
    got = here.fetch(protocol, method=b"POST", headers=headers, body=[b"abc"])
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    assert 200 == got.status
    check(entry, told, here.envoy.release)


def test_upstream_time_out(site: SiteMaker, protocol: str) -> None:
    """A route's time-out is an entry with its flag."""
    here = site(access={}, routes=[b.route(route={"cluster": "upstream", "timeout": "0.05s"})])
    gate = Gate()
    got = here.fetch(protocol, answer=Answer(wait=gate), headers=[(b"x-request-id", b"r")])
    gate.open()
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    assert (504, "UT") == (got.status, told["response_flags"])
    check(entry, told, here.envoy.release)


@pytest.mark.parametrize("aborted", [True, False])
def test_client_leaves_before_the_response(
    site: SiteMaker, protocol: str, *, aborted: bool
) -> None:
    """Where no response came the response's entry says code 0, as Envoy does; or there is none."""
    here = site(access={"log": {"aborted": aborted}})
    gate = Gate()
    path = here.upstream.serve(Answer(wait=gate))
    with here.client(protocol) as client:
        client.open(Request(path=path), ends=True)
        until(lambda: here.upstream.received(path), "the request")
        client.abort()
    (told,) = here.oracle()
    gate.open()
    first, *others = here.entries(1 + aborted)

    assert (0, "request") == (told["response_code"], first["kind"])
    check_request(first, told)
    for entry in others:
        check(entry, told, here.envoy.release)
        assert not {"response_headers", "response_trailers"} & entry.keys()


HOLD = b.lua(
    """
    function envoy_on_response(handle)
      handle:logWarn("holds " .. handle:headers():get("x-up"))
      handle:body()
    end
    """
)


@pytest.mark.parametrize("aborted", [True, False])
def test_client_leaves_while_a_filter_holds_the_response(
    site: SiteMaker, protocol: str, *, aborted: bool
) -> None:
    """Envoy has headers that came neither to our hook nor to the client: they are in no entry."""
    oracle = {"resp x-up": "%RESP(X-UP)%"}
    log = {"aborted": aborted, "redirected": not aborted}
    here = site(access={"log": log}, after=[HOLD], oracle=oracle)
    gate = Gate()
    held = [(b"x-up", here.name.encode())]
    answer = Answer(headers=held, body=[b"one", b"two"], wait_in_body=gate)
    path = here.upstream.serve(answer)
    with here.client(protocol) as client:
        client.open(Request(path=path), ends=True)
        until(lambda: here.log_lines(f"holds {here.name}$"), "the response in the filter behind us")
        client.abort()
    (told,) = here.oracle()
    gate.open()
    _, *others = here.entries(1 + aborted)

    assert (200, here.name) == (told["response_code"], told["resp x-up"])
    for entry in others:
        check(entry, told, here.envoy.release)
        assert "response_headers" not in entry


def test_client_leaves_in_the_response(site: SiteMaker, protocol: str) -> None:
    """Where the client had headers, the response entry says how it ended."""
    here = site(access={})
    gate = Gate()
    path = here.upstream.serve(Answer(body=[b"one", b"two"], wait_in_body=gate))
    with here.client(protocol) as client:
        client.open(Request(path=path, headers=[(b"x-request-id", b"r")]), ends=True)
        assert 200 == client.read_head().status
        assert b"one" == client.read_body(3)
        client.abort()
    (told,) = here.oracle()
    gate.open()
    (entry,) = here.responses(1)
    check(entry, told, here.envoy.release)
    assert 200 == entry["response_code"]


def test_request_that_the_codec_refuses(site: SiteMaker) -> None:
    """A request without a host never gets to a hook; its two entries come at its end."""
    here = site(access={})
    assert here.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    (told,) = here.oracle()
    first, second = here.entries(2)
    assert ("request", "response") == (first["kind"], second["kind"])
    check_request(first, told)
    check(second, told, here.envoy.release)


def test_request_that_nobody_could_read(site: SiteMaker) -> None:
    """Where Envoy has no request headers, there is only the response's entry."""
    here = site(access={})
    assert here.raw(b"no request at all\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    (told,) = here.oracle()
    (entry,) = here.entries(1)
    assert "response" == entry["kind"]
    check(entry, told, here.envoy.release)


@pytest.mark.parametrize("redirected", [True, False])
def test_internal_redirect(site: SiteMaker, *, redirected: bool) -> None:
    """Each leg has its entries; the response of the first one may be left out."""
    policy = {"redirect_response_codes": [302], "max_internal_redirects": 1}
    routed = {"cluster": "upstream", "internal_redirect_policy": policy}
    log = {"redirected": redirected, "aborted": not redirected}
    here = site(access={"log": log}, routes=[b.route(route=routed)])
    target = here.upstream.serve(Answer(status=207))
    location = (b"location", b"http://e2e.test" + target)
    got = here.fetch(answer=Answer(status=302, headers=[location], body=()))
    legs = here.oracle(2)
    entries = here.entries(3 + redirected)
    requests = [entry for entry in entries if entry["kind"] == "request"]
    responses = [entry for entry in entries if entry["kind"] == "response"]

    assert (207, target.decode()) == (got.status, requests[1]["path"])
    assert [302, 207] == [told["response_code"] for told in legs]
    for entry, told in zip(responses, legs if redirected else legs[1:], strict=True):
        check(entry, told, here.envoy.release)
    if redirected:
        assert location[1].decode() == responses[0]["response_headers"]["location"]


def test_original_path(site: SiteMaker, protocol: str) -> None:
    """Behind a rewrite the path is the one that the client asked for."""
    here = site(
        access={}, routes=[b.route("/old", route={"cluster": "upstream", "prefix_rewrite": "/new"})]
    )
    here.fetch(protocol, path=b"/old/page?x=1")
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    assert "/old/page?x=1" == entry["path"] == told["path"]


HEADERS = [
    (b"x-one", b"1"),
    (b"x-two", b"first"),
    (b"x-two", b"second"),
    (b"authorization", b"Basic secret"),
    (b"cookie", b"session=secret"),
    (b"accept", b"*/*"),
]
ANSWER_HEADERS = [
    (b"set-cookie", b"a=secret"),
    (b"x-three", b"3"),
    (b"content-type", b"text/plain"),
]
HIDDEN = "[redacted]"
RULES: dict[str, tuple[b.Dict, dict[str, Any]]] = {
    "default": (
        {},
        {
            "x-one": "1",
            "x-two": ["first", "second"],
            "authorization": HIDDEN,
            "cookie": HIDDEN,
            "accept": "*/*",
        },
    ),
    "names": ({"include": ["X-One", "accept"]}, {"x-one": "1", "accept": "*/*"}),
    "globs": ({"include": ["x-*"]}, {"x-one": "1", "x-two": ["first", "second"]}),
    "question mark": ({"include": ["x-t?o"]}, {"x-two": ["first", "second"]}),
    "brackets": ({"include": ["x-[op]ne"]}, {"x-one": "1"}),
    "exclude": (
        {"exclude": ["x-t*", "cookie", "accept"]},
        {"x-one": "1", "authorization": HIDDEN},
    ),
    "exclude wins": ({"include": ["x-*"], "exclude": ["x-one"]}, {"x-two": ["first", "second"]}),
    "redact": (
        {"include": ["x-*", "cookie"], "redact": ["x-t*"]},
        {"x-one": "1", "x-two": [HIDDEN, HIDDEN], "cookie": HIDDEN},
    ),
    "reveal": (
        {"include": ["cookie", "authorization"], "reveal": ["cookie"]},
        {"cookie": "session=secret", "authorization": HIDDEN},
    ),
    "none": ({"include": []}, {}),
}


@pytest.mark.parametrize("rule", RULES)
def test_which_request_headers(site: SiteMaker, protocol: str, rule: str) -> None:
    """Include, exclude and redact choose among the request's headers, by name or glob."""
    rules, expected = RULES[rule]
    here = site(access={"log": {"request_headers": rules}})
    here.fetch(protocol, headers=HEADERS)
    sent = {name.decode() for name, _ in HEADERS}
    for entry in here.entries(2):
        found = entry.get("request_headers", {})
        values = {name: value for name, value in found.items() if name in sent}
        assert _as_lists(expected) == _as_lists(values)


def _as_lists(headers: dict[str, Any]) -> dict[str, set[str]]:
    """Values of a redacted header may be one or many."""
    return {k: set(v) if isinstance(v, list) else {v} for k, v in headers.items()}


def test_which_response_headers(site: SiteMaker, protocol: str) -> None:
    """The response has rules of its own, with set-cookie redacted by default."""
    default = site(access={})
    default.fetch(protocol, answer=Answer(headers=ANSWER_HEADERS))
    (entry,) = default.responses(1)
    assert HIDDEN == entry["response_headers"]["set-cookie"]
    assert "3" == entry["response_headers"]["x-three"]

    chosen = site(access={"log": {"response_headers": {"include": ["x-*"]}}})
    chosen.fetch(protocol, answer=Answer(headers=ANSWER_HEADERS))
    (entry,) = chosen.responses(1)
    assert "3" == entry["response_headers"]["x-three"]
    assert not {"set-cookie", "content-type"} & entry["response_headers"].keys()
    assert "secret" not in chosen.entries_path.read_text() + default.entries_path.read_text()


@pytest.mark.parametrize("logged", [True, False])
def test_trailers(site: SiteMaker, protocol: str, logged: bool) -> None:
    """Trailers of both sides are in the response entry, if wanted, under their side's rules."""
    here = site(access={"log": {"trailers": logged, "request_headers": {"redact": ["x-secret"]}}})
    answer = Answer(trailers=[(b"x-end", b"1"), (b"set-cookie", b"a")])
    request = Request(
        method=b"POST",
        path=here.upstream.serve(answer),
        headers=[(b"te", b"trailers")],
        body=[b"x"],
        trailers=[(b"x-last", b"2"), (b"x-secret", b"s")],
    )
    here.fetch(protocol, request)
    (entry,) = here.responses(1)
    found = (entry.get("request_trailers"), entry.get("response_trailers"))
    expected = ({"x-last": "2", "x-secret": HIDDEN}, {"x-end": "1", "set-cookie": HIDDEN})
    assert (expected if logged else (None, None)) == found


def test_grpc_status(site: SiteMaker) -> None:
    """The status of a gRPC call comes from its trailers, or from the headers when it has none."""
    here = site(access={"log": {"request": False}})
    only_headers = [(b"content-type", b"application/grpc"), (b"grpc-status", b"5")]
    missing = here.upstream.serve(Answer(headers=only_headers, body=()))
    assert 0 == here.grpc().code
    assert 5 == here.grpc(missing.decode()).code

    lines = here.oracle(2)
    entries = here.entries(2)
    assert [0, 5] == [line["grpc_status"] for line in lines]
    for entry, told in zip(entries, lines, strict=True):
        check(entry, told, here.envoy.release)


def test_notes(site: SiteMaker, protocol: str) -> None:
    """What a hook noted is in the response entry, with its JSON type."""
    here = site(
        {
            "on_request_headers": "stream.record.note('user', 'ann'); stream.record.note('n', 3)",
            "on_stream_complete": """
                stream.record.note('list', [1, 'two', None, True])
                stream.record.note('user', 'bob')
                stream.record.reject('x-bad', 'value')
                stream.record.reject(b'x-bad', b'again')
                stream.record.missing('x-needed', '')
            """,
        },
        access={},
    )
    here.fetch(protocol)
    (entry,) = here.responses(1)
    assert {"user": "bob", "n": 3, "list": [1, "two", None, True]} == entry["notes"]
    assert [["x-bad", "value"], ["x-bad", "again"]] == entry["rejected"]
    assert [["x-needed", ""]] == entry["missing"]


@pytest.mark.parametrize(
    "hook", ["on_request_headers", "on_response_headers", "on_stream_complete"]
)
def test_failed_hook(site: SiteMaker, protocol: str, hook: str) -> None:
    """A stream whose hook failed is recorded all the same, and its entry says which."""
    here = site({hook: "raise RuntimeError('boom')"}, access={})
    got = here.fetch(protocol, headers=[(b"x-request-id", b"r")])
    (told,) = here.oracle()
    first, second = here.entries(2)

    assert (500 if hook != "on_stream_complete" else 200) == got.status == told["response_code"]
    assert hook == second["failed_hook"]
    assert ("denied" if hook == "on_request_headers" else "request") == first["kind"]
    check(second, told, here.envoy.release)


DENIALS = {
    "headers": ({"on_request_headers": "return Reply(403)"}, "denied", None),
    "later, by another thread": (
        {
            "on_request_headers": """
                in_thread(lambda: stream.reply(Reply(403)))
                return PAUSE
            """
        },
        "denied",
        None,
    ),
    "body, held": (
        {"on_request_headers": "return BUFFER", "on_request_body": "return Reply(403)"},
        "denied",
        None,
    ),
    "body, after the request went on": (
        {"on_request_body": "return Reply(403)"},
        "request",
        True,
    ),
    "response": ({"on_response_headers": "return Reply(403)"}, "request", True),
    "in pieces": (
        {
            "on_request_headers": """
                stream.start_response(403, end_of_stream=True)
                return PAUSE
            """
        },
        "denied",
        None,
    ),
}


@pytest.mark.parametrize("case", DENIALS)
def test_denied(site: SiteMaker, protocol: str, case: str) -> None:
    """A request that we refuse is logged as denied; one that had passed says so at its end."""
    hooks, kind, later = DENIALS[case]
    here = site(hooks, access={})
    path = here.upstream.serve(Answer())
    got = here.fetch(
        protocol, method=b"POST", path=path, headers=[(b"x-request-id", b"r")], body=[b"abc"]
    )
    (told,) = here.oracle()
    first, second = here.entries(2)

    assert (403, kind, "response") == (got.status, first["kind"], second["kind"])
    assert later == second.get("denied")
    check(second, told, here.envoy.release)


def test_held_requests_wait(site: SiteMaker) -> None:
    """The entry of a paused request is written when it goes on, not before."""
    here = site(
        {
            "on_request_headers": """
                if stream.request_headers.get('x-hold'):
                    self.held = stream
                    return PAUSE
                in_thread(self.held.resume_request)
            """
        },
        access={},
    )
    with here.client() as client:
        client.open(Request(headers=[(b"x-hold", b"1"), (b"x-request-id", b"held")]), ends=True)
        until(lambda: here.stat("entries_request") == 0, "nothing")
        here.fetch(headers=[(b"x-request-id", b"free")])
        client.finish()
    entries = here.entries(4)
    order = [(entry["kind"], entry["request_id"]) for entry in entries]
    assert ("request", "free") == order[0]
    assert order.index(("request", "held")) < order.index(("response", "held"))


def test_without_requests(site: SiteMaker, protocol: str) -> None:
    """``log.request: false`` leaves out the request entries; refusals still show."""
    hooks = {
        "on_request_headers": "return Reply(403) if 'x-no' in stream.request_headers else None"
    }
    here = site(hooks, access={"log": {"request": False}})
    for headers in ([], [(b"x-no", b"1")]):
        here.fetch(protocol, headers=headers)
    entries = here.entries(2)
    assert [("response", 200, None), ("response", 403, True)] == [
        (entry["kind"], entry["response_code"], entry.get("denied")) for entry in entries
    ]


def test_chosen_fields(site: SiteMaker, protocol: str) -> None:
    """``log.fields`` leaves out all the others."""
    here = site(access={"log": {"fields": ["kind", "method", "response_code", "duration_us"]}})
    here.fetch(protocol)
    first, second = here.entries(2)
    assert {"kind", "method"} == first.keys()
    assert {"kind", "method", "response_code", "duration_us"} == second.keys()


NASTY = {
    "quotes": b'say "hi" \\ and \\n',
    "tab": b"a\tb",
    "utf-8": "gr\u00fc\u00dfe \u4f60\u597d \U0001f600".encode(),
    "line separators": "a\u2028b\u2029c\u0085d".encode(),
    "json": b'","kind":"response","x":"',
}


@pytest.mark.parametrize("case", NASTY)
def test_values_stay_values(site: SiteMaker, protocol: str, case: str) -> None:
    """No value can break out of its string, and all come back as they were sent."""
    value = NASTY[case]
    here = site(access={})
    here.fetch(
        protocol, headers=[(b"x-nasty", value)], answer=Answer(headers=[(b"x-nasty", value)])
    )
    text = here.entries_path.read_bytes() if here.entries(2) else b""
    first, second = here.entries(2)

    assert value.decode() == first["request_headers"]["x-nasty"]
    assert value.decode() == second["response_headers"]["x-nasty"]
    assert "invalid_utf8" not in second
    assert not any(char in text.decode() for char in "\t\u2028\u2029\u0085")


INVALID = {
    b"\xff": "\ufffd",
    b"a\xc3": "a\ufffd",
    b"\xed\xa0\x80b": "\ufffd\ufffd\ufffdb",
    b"ok \xf0\x9f\x98 x": "ok \ufffd x",
}


@pytest.mark.parametrize("value", INVALID)
def test_invalid_utf8(site: SiteMaker, protocol: str, value: bytes) -> None:
    """Bytes that are no UTF-8 are replaced, as Python replaces them, and a field says so."""
    here = site(access={})
    here.fetch(protocol, headers=[(b"x-raw", value)])
    for entry in here.entries(2):
        assert value.decode("utf-8", "replace") == entry["request_headers"]["x-raw"]
        assert entry["invalid_utf8"] is True


def test_entry_too_large(new_site: Callable[[], Site]) -> None:
    """An entry that no ring could hold is dropped and counted; the next one is written."""
    here = new_site()
    sink = {"type": "file", "path": str(here.entries_path), "ring_bytes": 65536}
    large = {"max_request_headers_kb": 200}
    here.open([here.filter(access={"sinks": [sink]})], routes=[b.direct()], http=large)
    here.fetch(headers=[(b"x-large", b"x" * 100_000)])
    here.fetch(headers=[(b"x-request-id", b"small")])

    assert ["small", "small"] == [entry["request_id"] for entry in here.entries(2)]
    assert 2 == here.stat("dropped_too_large")


def test_counters(site: SiteMaker) -> None:
    """Envoy's stats count the entries by kind."""
    here = site(
        {"on_request_headers": "return Reply(403) if 'x-no' in stream.request_headers else None"},
        access={},
    )
    for headers in ([], [], [(b"x-no", b"1")]):
        here.fetch(headers=headers)
    here.entries(6)
    counts = [here.stat(f"entries_{kind}") for kind in ("request", "denied", "response")]
    assert [2, 1, 3] == counts


def test_access_alone_is_like_a_subclass(site: SiteMaker, protocol: str) -> None:
    """A subclass's Python hooks change nothing in what is recorded."""
    plain = site(access={})
    scripted = site({"on_request_headers": "", "on_stream_complete": ""}, access={})
    found = []
    for here in (plain, scripted):
        here.fetch(protocol, headers=[(b"x-request-id", b"same")])
        found.append([_without_varying(here, entry) for entry in here.entries(2)])
    assert found[0] == found[1]


def _without_varying(here: Site, entry: b.Dict) -> b.Dict:
    varying = {"time_unix_nano", "start_time_unix_nano", "duration_us", "downstream_remote_address"}
    assert here.name == entry["instance"]
    headers = {
        side: {
            k: v
            for k, v in entry.get(side, {}).items()
            if k not in {"date", "x-envoy-upstream-service-time"}
        }
        for side in ("request_headers", "response_headers")
    }
    kept = {
        k: v
        for k, v in entry.items()
        if k not in varying | {"instance", "downstream_local_address"}
    }
    return {**kept, **headers}


def test_all_request_headers(site: SiteMaker, protocol: str) -> None:
    """By default the response entry holds what the upstream was sent."""
    here = site(access={})
    path = here.upstream.serve(Answer())
    here.fetch(protocol, path=path, headers=[(b"x-a", b"1"), (b"x-a", b"2")])
    (came,) = here.upstream.received(path)
    entry = only(here.entries(2), kind="response")
    sent = as_dict([p for p in came.headers if p[0] not in {b"host", b"te"}])
    logged = {k: v for k, v in entry["request_headers"].items() if k != "te"}
    assert sent.items() >= {k: v for k, v in logged.items() if k.startswith("x-a")}.items()
    assert {"1", "2"} == set(logged["x-a"])
