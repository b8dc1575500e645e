# SPDX-License-Identifier: Apache-2.0
"""
The access filter through the odd lives of streams, each test named after the oddity.

The rule: one request entry if request headers were there; one response entry for each stream.
``test_endings.py`` has the settings, and the endings as they are in an Envoy.
"""

from __future__ import annotations

import pytest

from .configs import REQUEST_HEADERS, RESPONSE_HEADERS, request
from .conftest import MakeConfig
from .host import Host, Pairs

OK: Pairs = ((":status", 200),)


def test_an_ordinary_life(each_host: Host, access: MakeConfig) -> None:
    """One entry for the request, one for the response, and the counters agree."""
    config = access(each_host)
    stream = config.stream()
    assert 0 == stream.request_headers(end=False)
    assert 0 == stream.request_body("upload")
    assert 0 == stream.response_headers(((":status", 201), ("x-a", "1"), ("x-a", "2")), end=False)
    assert 0 == stream.response_body("body", end=False)
    assert 0 == stream.response_trailers((("x-t", "3"),))
    stream.finish()
    assert {"entries_request": 1, "entries_response": 1} == config.counts()
    first, last = config.entries()
    assert ("request", stream.name, "GET") == (first["kind"], first["request_id"], first["method"])
    assert ("response", stream.name, 201) == (
        last["kind"],
        last["request_id"],
        last["response_code"],
    )
    assert {"x-a": ["1", "2"]} == last["response_headers"]
    assert {"x-t": "3"} == last["response_trailers"]


def test_stream_complete_without_request_headers(each_host: Host, access: MakeConfig) -> None:
    """The codec answered 400 before any request hook: a response entry, no request entry."""
    config = access(each_host)
    stream = config.stream()
    stream.response_headers(((":status", 400),))
    stream.finish()
    (entry,) = config.entries()
    assert ("response", 400) == (entry["kind"], entry["response_code"])


def test_local_reply_hook_before_request_headers(host: Host, access: MakeConfig) -> None:
    """1.40 tells of the codec's 400 by the local reply hook first."""
    config = access(host)
    stream = config.stream()
    stream.local_reply(400, "http1.codec_error")
    stream.response_headers(((":status", 400),))
    stream.finish()
    assert ["response"] == config.kinds()


def test_local_reply_hook_with_a_null_text(host: Host, access: MakeConfig) -> None:
    """The details of a local reply can be the NULL buffer."""
    config = access(host)
    stream = config.stream()
    stream.request_headers()
    stream.local_reply(503, None, reset=True)
    stream.finish()
    assert ["request", "response"] == config.kinds()


def test_response_headers_gone_at_the_end(host: Host, access: MakeConfig) -> None:
    """The hook ran with no header at all in the map: that was no response."""
    config = access(host)
    stream = config.stream()
    stream.request_headers()
    stream.response_headers(())
    stream.host("map", stream.name, RESPONSE_HEADERS)
    stream.finish()
    assert [None, 0] == [entry.get("response_code") for entry in config.entries()]


def test_destroy_without_stream_complete(host: Host, access: MakeConfig) -> None:
    """A stream that is only destroyed leaves what it wrote before, and no more."""
    config = access(host)
    stream = config.stream()
    stream.request_headers()
    stream.response_headers()
    stream.destroy()
    assert ["request"] == config.kinds()


def test_destroy_right_after_new(host: Host, access: MakeConfig) -> None:
    """A stream that never lived; one that was complete at once."""
    config = access(host)
    config.stream().destroy()
    config.stream().finish()
    assert ["response"] == config.kinds()


def test_stream_complete_twice(host: Host, access: MakeConfig) -> None:
    """Nothing is written twice, whatever is called twice."""
    config = access(host)
    stream = config.stream()
    for _ in range(2):
        stream.request_headers()
        stream.response_headers()
    stream.complete()
    stream.finish()
    assert ["request", "response"] == config.kinds()


def test_hooks_in_the_wrong_order(host: Host, access: MakeConfig) -> None:
    """Bodies and trailers before headers, and the response before the request."""
    config = access(host)
    stream = config.stream()
    stream.response_trailers((("x-t", "1"),))
    stream.response_body(b"late")
    stream.request_trailers((("x-r", "2"),))
    stream.request_body(None)
    stream.hook("above")
    stream.hook("below")
    stream.hook("wake", 7)
    stream.response_headers()
    stream.request_headers()
    stream.finish()
    assert ["request", "response"] == config.kinds()


def test_headers_that_changed_after_our_hook(host: Host, access: MakeConfig) -> None:
    """What the client got is what the map holds at the end, not what our hook saw."""
    config = access(host)
    stream = config.stream()
    stream.request_headers()
    stream.response_headers((*OK, ("x-early", "1")))
    stream.map(RESPONSE_HEADERS, ((":status", 200), ("x-late", "2")))
    stream.finish()
    assert {"x-late": "2"} == config.entries()[1]["response_headers"]


def test_end_of_stream_and_stream_complete(host: Host, access: MakeConfig) -> None:
    """With ``response_at: end_of_stream`` the entry is written at the end of the stream, once."""
    config = access(host, log={"response_at": "end_of_stream"})
    early, late = config.stream(), config.stream()
    for stream in (early, late):
        stream.request_headers()
        stream.response_headers((*OK, ("x-early", "1")), end=stream is early)
        stream.map(RESPONSE_HEADERS, ((":status", 200), ("x-late", "2")))
        stream.finish()
    responses = [e["response_headers"] for e in config.entries() if e["kind"] == "response"]
    assert [{"x-early": "1"}, {"x-late": "2"}] == responses


@pytest.mark.parametrize("end", ["headers", "body", "trailers"])
def test_each_end_of_stream(host: Host, access: MakeConfig, end: str) -> None:
    """Headers, body or trailers end a stream; the safety net adds nothing."""
    config = access(host, log={"response_at": "end_of_stream", "request": False})
    stream = config.stream()
    stream.response_headers(end=end == "headers")
    if end != "headers":
        stream.response_body("x", end=end == "body")
    if end == "trailers":
        stream.response_trailers((("grpc-status", "0"),))
    assert 1 == config.counts()["entries_response"]
    stream.finish()
    assert ["response"] == config.kinds()


def test_null_and_empty_values_everywhere(host: Host, access: MakeConfig) -> None:
    """Header values that are NULL or of length 0, and names that no header has."""
    config = access(host, state={"k": "%REQ(x-null)%%RESP(x-none)%%REQ_TRAILER(x-t)%%FIELD(path)%"})
    stream = config.stream()
    stream.request_headers(((":method", None), (":path", b""), ("x-null", None), ("x-null", b"")))
    stream.request_trailers((("x-t", None),))
    stream.response_headers(((":status", None), ("x-null", None), ("grpc-status", None)))
    stream.response_trailers((("grpc-status", b""), ("x-t", None)))
    stream.attribute(16, "")
    stream.complete()
    assert {"k": "-", f"{config.name}/k": "-"} == stream.state()  # only x-none is missing
    first, last = config.entries()
    assert {"x-null": ["", ""]} == first["request_headers"]
    assert {"x-null": "", "grpc-status": ""} == last["response_headers"]
    assert "grpc_status" not in last


def test_callbacks_that_all_answer_false(host: Host, access: MakeConfig) -> None:
    """A host that gives nothing: entries without anything in them."""
    config = access(host, state={"k": "%FIELD(path)%%REQ(a)%"})
    stream = config.stream()
    host("fail", "*")
    try:
        stream.request_headers()
        stream.response_headers()
        stream.finish()
    finally:
        host("fail")
    entries = config.entries()
    assert ["request", "response"] == [entry["kind"] for entry in entries]
    assert not {"method", "request_headers", "response_headers"} & {*entries[0], *entries[1]}


@pytest.mark.parametrize(
    "callback",
    [
        "http_get_headers",
        "http_get_headers_size",
        "http_filter_get_attribute_string",
        "http_filter_get_attribute_int",
        "http_get_cluster_name",
        "http_get_filter_state_bytes",
        "http_set_filter_state_bytes",
        "http_set_dynamic_metadata_string",
        "http_filter_get_worker_index",
        "http_filter_increment_counter",
    ],
)
def test_one_callback_that_answers_false(host: Host, access: MakeConfig, callback: str) -> None:
    """Whatever the host cannot tell is absent; the entry is written all the same."""
    config = access(host, state={"k": "%REQ(:path)%"})
    stream = config.stream()
    host("fail", callback)
    try:
        stream.exchange()
    finally:
        host("fail")
    assert ["request", "response"] == config.kinds()


def test_more_headers_than_any_stack_holds(host: Host, access: MakeConfig) -> None:
    """A hundred headers, one of them of 40,000 bytes."""
    config = access(host)
    stream = config.stream()
    many = [(f"x-{i}", str(i)) for i in range(100)]
    stream.request_headers(request(stream.name, *many, ("x-long", "a" * 40_000)))
    stream.finish()
    entry, _ = config.entries()
    expected = {**dict(many), "x-long": "a" * 40_000, "x-request-id": stream.name}
    assert expected == entry["request_headers"]


def test_an_entry_larger_than_the_ring(host: Host, access: MakeConfig) -> None:
    """It is dropped whole and counted; the next one is written."""
    config = access(host)
    config.end()
    file = {"type": "file", "path": str(config.log), "ring_bytes": 65536}
    small = access(host, sinks=[file])
    stream = small.stream()
    stream.request_headers(request("big", ("x-long", "a" * 70_000)))
    stream.finish()
    small.stream().exchange()
    assert 2 == small.counts()["dropped_too_large"]
    small.end()
    assert ["request", "response"] == [e["kind"] for e in config.entries()]


def test_bytes_that_are_no_utf8_and_forged_lines(host: Host, access: MakeConfig) -> None:
    """No header value can end the line or make it something else than JSON."""
    config = access(host)
    stream = config.stream()
    forged = b'a"\r\n{"kind":"request"}\x00\x7f\\'
    stream.request_headers(request(stream.name, ("x-a", forged), ("x-b", b"\xff\xfe\xc3")))
    stream.finish()
    entry, _ = config.entries()
    assert forged.decode() == entry["request_headers"]["x-a"]
    assert entry["invalid_utf8"] is True
    assert "�" in entry["request_headers"]["x-b"]


def test_what_is_redacted(host: Host, scripted: MakeConfig) -> None:
    """A redacted header's value is neither in what hooks note of it, nor in a field of its own."""
    config = scripted(
        host,
        access=True,
        config={
            "log": {"request_headers": {"redact": ["x-secret-*", "x-request-id"]}},
            "state": {"id": "%FIELD(request_id)%"},
        },
        on_request_headers="""
            stream.record.reject('Authorization', 'hush')
            stream.record.reject('x-other', 'told')
            stream.record.missing(b'X-Secret-One', ['hush', 1])
            stream.record.note('cookie', 'a word of the author')
        """,
    )
    stream = config.stream()
    stream.request_headers(request("hush"))
    stream.complete()
    assert "[redacted]" == stream.state()["id"]
    stream.destroy()
    entry, _ = config.entries()
    assert "hush" not in str(entry)
    assert "[redacted]" == entry["request_id"]
    assert [["Authorization", "[redacted]"], ["x-other", "told"]] == entry["rejected"]
    assert [["X-Secret-One", "[redacted]"]] == entry["missing"]
    assert {"cookie": "a word of the author"} == entry["notes"]


@pytest.mark.parametrize("kind", ["s", "o"])
def test_state_that_another_filter_wrote_first(host: Host, access: MakeConfig, kind: str) -> None:
    """The first write stays, bytes or an object; the second is counted, and logged once."""
    config = access(host, state={"taken": "ours", "free": "ours too"})
    told = []
    for _ in range(2):
        stream = config.stream()
        stream.put_state(-1, None, "taken", kind, "theirs")
        stream.request_headers()
        stream.complete()
        told += [line for line in stream.logged() if "taken" in line]
        expected = {"taken": "theirs", "free": "ours too", f"{config.name}/free": "ours too"}
        assert expected == stream.state()
        stream.destroy()
    assert 2 == config.counts()["state_conflicts"]
    assert 1 == len(told)


def test_two_configs_of_one_name_side_by_side(host: Host, access: MakeConfig) -> None:
    """During an update old and new write to the same file, and count into the same stats."""
    old = access(host)
    new = access(host, instance=old.name, sinks=[{"type": "file", "path": str(old.log)}])
    first, second = old.stream(), new.stream()
    first.request_headers()
    second.request_headers()
    second.response_headers()
    second.finish()
    new.end()
    first.response_headers()
    first.finish()
    assert {"entries_request": 2, "entries_response": 2} == old.counts()
    assert sorted(["request", "response"] * 2) == sorted(old.kinds())


def test_a_stream_that_keeps_going_after_its_reply(host: Host, access: MakeConfig) -> None:
    """Upgraded protocols: bodies in both directions after the response headers."""
    config = access(host)
    stream = config.stream()
    stream.request_headers(end=False)
    stream.response_headers(((":status", 101),), end=False)
    for _ in range(3):
        stream.request_body("ping", end=False)
        stream.response_body("pong", end=False)
    stream.finish()
    assert [101] == [e["response_code"] for e in config.entries() if e["kind"] == "response"]


def test_request_headers_that_another_filter_removed(host: Host, access: MakeConfig) -> None:
    """The request's entry shows what arrived; the response's what is left of it."""
    config = access(host)
    stream = config.stream()
    stream.request_headers(request(stream.name, ("x-a", "1")))
    stream.map(REQUEST_HEADERS, ((":method", "GET"), (":path", "/other")))
    stream.response_headers()
    stream.finish()
    first, last = config.entries()
    assert {"x-a": "1", "x-request-id": stream.name} == first["request_headers"]
    assert "/other" == last["path"]
    assert {} == last["request_headers"]
