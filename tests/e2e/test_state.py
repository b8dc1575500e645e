# SPDX-License-Identifier: Apache-2.0
"""Filter state and metadata that the access filter writes, as Envoy's own log prints them."""

from __future__ import annotations

from collections.abc import Callable

from . import bootstrap as b
from .conftest import SiteMaker
from .messages import Answer, Request
from .site import Site

# Our format, and Envoy's own command for the same.
FORMATS = {
    "request header": ("%REQ(x-one)%", "%REQ(X-ONE)%"),
    "response header": ("%RESP(x-up)%", "%RESP(X-UP)%"),
    "late header": ("%RESP(x-late)%", "%RESP(X-LATE)%"),
    "trailer": ("%TRAILER(x-end)%", "%TRAILER(X-END)%"),
    "missing": ("%REQ(x-none)%", "%REQ(X-NONE)%"),
    "max length": ("%REQ(x-one):3%", "%REQ(X-ONE):3%"),
    "code": ("%RESPONSE_CODE%", "%RESPONSE_CODE%"),
    "details": ("%RESPONSE_CODE_DETAILS%", "%RESPONSE_CODE_DETAILS%"),
    "flags": ("%RESPONSE_FLAGS%", "%RESPONSE_FLAGS%"),
    "protocol": ("%PROTOCOL%", "%PROTOCOL%"),
    "path": ("%REQ(:PATH)%", "%REQ(:PATH)%"),
    "method": ("%FIELD(method)%", "%REQ(:METHOD)%"),
    "sizes": ("%FIELD(bytes_received)%/%FIELD(bytes_sent)%", "%BYTES_RECEIVED%/%BYTES_SENT%"),
    "upstream": ("%FIELD(upstream_host)%", "%UPSTREAM_HOST%"),
    "client": ("%FIELD(downstream_remote_address)%", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    "mixed": (
        "[%REQ(:METHOD)%] 100%% of %REQ(x-one)%;%REQ(x-none)%",
        "[%REQ(:METHOD)%] 100%% of %REQ(X-ONE)%;%REQ(X-NONE)%",
    ),
    "literal": ("as it is", "as it is"),
}


# What a release's ABI cannot tell is "-"; docs/entry.md has the table.
UNKNOWN = {
    "1.38.3": {"details", "flags", "sizes"},
    "1.39.3": {"sizes"},
    "1.40.0": set[str](),
}


def keys(formats: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Give our ``state`` config: a key for each format."""
    return {f"e2e.{name}".replace(" ", "_"): ours for name, (ours, _) in formats.items()}


def test_state_says_what_envoy_says(site: SiteMaker, protocol: str) -> None:
    """Each key, printed by Envoy's log by its name, equals Envoy's own command for it."""
    state = keys(FORMATS)
    oracle = {
        f"ours {name}": f"text %FILTER_STATE({key}:PLAIN)%"
        for name, key in zip(FORMATS, state, strict=True)
    }
    oracle |= {f"theirs {name}": f"text {theirs}" for name, (_, theirs) in FORMATS.items()}
    here = site(
        access={"state": state},
        before=[b.header_mutation(response={"x-late": "mutated"})],
        oracle=oracle,
    )
    answer = Answer(headers=[(b"x-up", b"u p")], trailers=[(b"x-end", b"t")])
    request = Request(
        method=b"POST",
        path=here.upstream.serve(answer),
        headers=[(b"x-one", b"first one")],
        body=[b"abc"],
    )
    here.fetch(protocol, request)
    (told,) = here.oracle()

    for name in FORMATS.keys() - UNKNOWN[here.envoy.release]:
        assert told[f"theirs {name}"] == told[f"ours {name}"], name


def test_metadata_under_the_instance(site: SiteMaker, protocol: str) -> None:
    """The same values are dynamic metadata in the instance's namespace."""
    here = site(
        access={"state": {"e2e.who": "%REQ(x-one)%", "e2e.code": "code %RESPONSE_CODE%"}},
        config={"instance": "e2e_instance"},
        oracle={"metadata": "%DYNAMIC_METADATA(e2e_instance)%"},
    )
    here.fetch(protocol, headers=[(b"x-one", b"me")])
    (told,) = here.oracle()
    assert {"e2e.who": "me", "e2e.code": "code 200"} == told["metadata"]


def test_state_alone(site: SiteMaker) -> None:
    """``state_metadata: false`` writes filter state, and no metadata."""
    here = site(
        access={"state": {"e2e.who": "%REQ(x-one)%"}, "state_metadata": False},
        config={"instance": "e2e_instance"},
        oracle={
            "metadata": "%DYNAMIC_METADATA(e2e_instance)%",
            "state": "%FILTER_STATE(e2e.who:PLAIN)%",
        },
    )
    here.fetch(headers=[(b"x-one", b"me")])
    (told,) = here.oracle()
    assert (None, "me") == (told["metadata"], told["state"])


def test_state_beside_the_entry(site: SiteMaker, protocol: str) -> None:
    """Every field of the entry can be written as state, and Envoy prints the same text."""
    fields = ("path", "response_code", "upstream_host", "authority", "duration_us", "worker")
    here = site(
        access={"state": {f"e2e.{name}": f"%FIELD({name})%" for name in fields}},
        oracle={f"state {name}": f"%FILTER_STATE(e2e.{name}:PLAIN)%" for name in fields},
    )
    here.fetch(protocol)
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    assert {name: str(entry[name]) for name in fields} == {
        name: told[f"state {name}"] for name in fields
    }


def test_notes_in_state(site: SiteMaker) -> None:
    """What a hook noted can be written as state."""
    here = site(
        {"on_stream_complete": "stream.record.note('user', 'ann'); stream.record.note('n', 7)"},
        access={"state": {"e2e.user": "%NOTE(user)% %NOTE(n)% %NOTE(none)%"}},
        oracle={"user": "%FILTER_STATE(e2e.user:PLAIN)%"},
    )
    here.fetch()
    assert "ann 7 -" == here.oracle()[0]["user"]


def test_redaction_in_state(site: SiteMaker) -> None:
    """A redacted header stays redacted wherever it is written."""
    here = site(
        access={"state": {"e2e.auth": "%REQ(authorization)%"}},
        oracle={"auth": "%FILTER_STATE(e2e.auth:PLAIN)%"},
    )
    here.fetch(headers=[(b"authorization", b"Basic secret")])
    assert "[redacted]" == here.oracle()[0]["auth"]


def test_state_of_a_stream_without_response(site: SiteMaker, protocol: str) -> None:
    """State is written for every stream, also when its client went away."""
    here = site(
        {"on_request_headers": "saw('held'); return PAUSE"},
        access={"state": {"e2e.code": "%RESPONSE_CODE% %REQ(x-one)%"}},
        oracle={
            "state": "%FILTER_STATE(e2e.code:PLAIN)%",
            "theirs": "%RESPONSE_CODE% %REQ(X-ONE)%",
        },
    )
    with here.client(protocol) as client:
        client.open(Request(headers=[(b"x-one", b"1")]), ends=True)
        here.seen(1)
        client.abort()
    (told,) = here.oracle()
    assert told["theirs"] == told["state"]


def test_two_filters_of_one_stream(new_site: Callable[[], Site], protocol: str) -> None:
    """Of two that write one key the first stays; the second is counted, and logged once."""
    here = new_site()
    first, second = (
        here.filter(access={"state": {here.name: name}}, config={"instance": f"{here.name}_{name}"})
        for name in ("one", "two")
    )
    here.open([first, second], oracle={"state": f"%FILTER_STATE({here.name}:PLAIN)%"})
    for _ in range(3):
        here.fetch(protocol)

    conflicts = {
        name: sum(here.envoy.stats(f"{here.name}_{name}.state_conflicts$").values())
        for name in ("one", "two")
    }
    # stream_complete runs along the chain, so which comes first is Envoy's order.
    assert ["one"] * 3 == [line["state"] for line in here.oracle(3)]
    assert {"one": 0, "two": 3} == conflicts
    assert 1 == len(here.log_lines(f"warning.*{here.name}_two: the filter state {here.name} "))


def test_old_and_new_config(new_site: Callable[[], Site]) -> None:
    """An old and a new config of the same instance side by side are no conflict."""
    here = new_site()
    oracle = {"state": "%FILTER_STATE(e2e.key:PLAIN)%"}

    def offer(version: str) -> None:
        access = {"state": {"e2e.key": version}}
        hooks = {
            "on_request_headers": """
                saw('held')
                return PAUSE if 'x-hold' in stream.request_headers else PASS
            """
        }
        here.open([here.filter(hooks, access=access)], oracle=oracle)

    offer("old")
    with here.client() as client:
        client.open(Request(headers=[(b"x-hold", b"1")]), ends=True)
        here.seen(1)
        offer("new")
        here.fetch()
        client.abort()
        assert {"old", "new"} == {line["state"] for line in here.oracle(2)}
    assert 0 == here.stat("state_conflicts")


def test_a_conflict_with_another_filter(site: SiteMaker) -> None:
    """A key that a hook of our own wrote already is a conflict, too: the first write stays."""
    here = site(
        {"on_request_headers": "stream.filter_state['e2e.key'] = b'hook'"},
        access={"state": {"e2e.key": "config"}},
        oracle={"state": "%FILTER_STATE(e2e.key:PLAIN)%"},
    )
    here.fetch()
    assert "hook" == here.oracle()[0]["state"]
    assert 1 == here.stat("state_conflicts")


def test_a_conflict_with_an_object(site: SiteMaker) -> None:
    """What a filter of Envoy keeps as an object stays, too, and Envoy finds no fault with us."""
    key = "envoy.network.upstream_server_name"
    here = site(
        access={"state": {key: "ours"}},
        before=[b.set_filter_state(key, "theirs.example")],
        oracle={"state": f"%FILTER_STATE({key}:PLAIN)%"},
    )
    for _ in range(2):
        here.fetch()
    assert ["theirs.example"] * 2 == [line["state"] for line in here.oracle(2)]
    assert 2 == here.stat("state_conflicts")
    assert 1 == len(here.log_lines(f"warning.*{here.name}: the filter state {key} "))
    here.envoy.check_log()
