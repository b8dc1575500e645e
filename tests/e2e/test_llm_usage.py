# SPDX-License-Identifier: Apache-2.0
"""The filter ``llm_usage`` on real Envoys, with Envoy's own access log as the witness."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import brotli
import pytest
from cli.packets import log_entry
from unit.llm_forms import CHAT, CHAT_STREAM, FORMS, STREAMS, WHOLE, Form, chat_stream

from . import bootstrap as b
from .agent import Agent
from .envoy import RELEASES
from .messages import Answer, Gate, Pairs, Request, Response
from .site import Site

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}
NEWEST = RELEASES[-1:]
PATHS = ["/answer/*"]  # those of the test's upstream
KEYS = ("model", "input_tokens", "output_tokens", "total_tokens")
HEADERS = {key: f"x-ai-{key.replace('_', '-')}" for key in KEYS}
newest = pytest.mark.parametrize("release", NEWEST, indirect=True)


def witness(name: str) -> dict[str, str]:
    """Give what Envoy's own access log prints of an instance's facts."""
    return {
        **{f"state.{key}": f"%FILTER_STATE({name}.{key}:PLAIN)%" for key in KEYS},
        **{f"metadata.{key}": f"%DYNAMIC_METADATA({name}:{key})%" for key in KEYS},
        **{f"header.{key}": f"%RESP({header.upper()})%" for key, header in HEADERS.items()},
        "first": f"%FILTER_STATE({name}.time_to_first_token_ms:PLAIN)%",
        "rate": f"%DYNAMIC_METADATA({name}:tokens_per_second)%",
    }


def ours(here: Site, **config: Any) -> b.Dict:
    """Give the filter, by default with entries of responses in the site's file."""
    whole = {
        "instance": here.name,
        "paths": PATHS,
        "sinks": [{"type": "file", "path": str(here.entries_path)}],
        "log": {"request": False},
        **config,
    }
    return b.py_filter("llm_usage", whole)


@pytest.fixture
def llm(new_site: Callable[[], Site]) -> Callable[..., Site]:
    """Open a site with the filter; *top* and *http* are fields of its listener."""

    def make(*, top: b.Dict | None = None, http: b.Dict | None = None, **config: Any) -> Site:
        here = new_site()
        return here.open([ours(here, **config)], oracle=witness(here.name), top=top, http=http)

    return make


def answer_of(form: Form, **fields: Any) -> Answer:
    """Give the upstream's answer: of a stream each event in a chunk of its own."""
    ends = form.body.split(b"\n\n")
    events = [b"%s\n\n" % one for one in ends[:-1]]
    whole: dict[str, Any] = {
        "headers": [(b"content-type", form.content_type)],
        "body": events if form.streamed else [form.body],
    }
    return Answer(**{**whole, **fields})


def seen_by(line: dict[str, Any], source: str) -> dict[str, Any]:
    """Give what Envoy's access log has from one source."""
    return {key: line[f"{source}.{key}"] for key in KEYS if line[f"{source}.{key}"] is not None}


def texts(facts: dict[str, Any]) -> dict[str, str]:
    """Give facts as text."""
    return {key: str(value) for key, value in facts.items()}


def noted(entry: dict[str, Any]) -> dict[str, Any]:
    """Give an entry's notes, without the times."""
    return {key: value for key, value in entry.get("notes", {}).items() if key in KEYS}


def check(here: Site, form: Form, got: Response, number: int = 1) -> None:
    """Compare what all the witnesses of the last exchange say of a whole response."""
    line, entry = here.oracle(number)[-1], here.entries(number)[-1]
    assert 200 == got.status
    assert got.whole
    assert form.body == got.body
    assert form.facts == noted(entry)
    for source in ("state", "header"):
        assert texts(form.facts) == texts(seen_by(line, source))
    assert form.facts == seen_by(line, "metadata")
    headers = entry["response_headers"]
    assert texts(form.facts) == {key: headers[name] for key, name in HEADERS.items()}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@newest
def test_every_form(llm: Callable[..., Site], protocol: str, form: Form) -> None:
    """State, metadata, notes and the logs' headers tell the usage; the client sees no change."""
    here = llm()
    got = here.fetch(protocol, answer=answer_of(form), method=b"POST", body=[b"{}"])
    check(here, form, got)
    assert got.get(b"x-ai-model") is None
    assert 1 == here.stat("usage_found")


@pytest.mark.parametrize("headers", ["logged", "sent"])
def test_every_release(llm: Callable[..., Site], protocol: str, headers: str) -> None:
    """Each release of Envoy does the same."""
    here = llm(headers=headers)
    for number, form in enumerate([CHAT_STREAM, CHAT], 1):
        got = here.fetch(protocol, answer=answer_of(form), method=b"POST", body=[b"{}"])
        check(here, form, got, number)
        sent = not form.streamed and headers == "sent"
        assert (b"29" if sent else None) == got.get(b"x-ai-total-tokens")
    here.envoy.check_log()


@pytest.mark.parametrize("form", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("trailers", [(), ((b"x-end", b"1"),)], ids=["", "trailers"])
@newest
def test_sent_headers(llm: Callable[..., Site], protocol: str, form: Form, trailers: Pairs) -> None:
    """With ``headers: sent`` the client gets them, where the response is no stream."""
    here = llm(headers="sent")
    half = len(form.body) // 2
    answer = answer_of(form, body=[form.body[:half], form.body[half:]], trailers=trailers)
    got = here.fetch(protocol, answer=answer)
    check(here, form, got)
    found = {key: (got.get(name.encode()) or b"").decode() for key, name in HEADERS.items()}
    assert texts(form.facts) == found
    assert list(trailers) == list(got.trailers)


@pytest.mark.parametrize("headers", ["none", "logged", "sent"])
@newest
def test_no_event_waits(llm: Callable[..., Site], protocol: str, headers: str) -> None:
    """The client has each event before the upstream sends the next one."""
    here = llm(headers=headers)
    gate = Gate()
    answer = answer_of(CHAT_STREAM, wait_in_body=gate)
    with here.client(protocol) as client:
        client.open(Request(path=here.upstream.serve(answer)), ends=True)
        first = answer.body[0]
        assert first == client.read_body(len(first))
        gate.open()
        got = client.finish()
    assert CHAT_STREAM.body == got.body
    (line,) = here.oracle()
    assert CHAT_STREAM.facts == seen_by(line, "metadata")


@newest
def test_times(llm: Callable[..., Site], protocol: str) -> None:
    """The first token's time and the rate are between what Envoy's log says of the stream."""
    here = llm()
    here.fetch(protocol, answer=answer_of(CHAT_STREAM))
    (line,), (entry,) = here.oracle(), here.entries(1)
    notes = entry["notes"]
    assert str(notes["time_to_first_token_ms"]) == line["first"]
    assert 0 < notes["time_to_first_token_ms"] * 1000 <= entry["duration_us"]
    assert notes["tokens_per_second"] == line["rate"]
    assert notes["tokens_per_second"] >= 5 / (entry["duration_us"] / 1e6)


@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize("headers", ["logged", "sent"])
@newest
def test_codings(llm: Callable[..., Site], protocol: str, coding: str, headers: str) -> None:
    """A compressed response goes to the client as it is, and is read all the same."""
    here = llm(headers=headers)
    for number, form in enumerate([CHAT, CHAT_STREAM], 1):
        body = COMPRESS[coding](form.body)
        found = [(b"content-type", form.content_type), (b"content-encoding", coding.encode())]
        cut = [body[:30], body[30:31], body[31:]]
        got = here.fetch(protocol, answer=Answer(headers=found, body=cut))
        assert body == got.body
        check(here, form, Response(status=got.status, body=form.body, whole=got.whole), number)


@pytest.mark.parametrize("size", [1000, 60_000, 80_000, 300_000])
def test_larger_than_the_buffer(llm: Callable[..., Site], protocol: str, size: int) -> None:
    """A response that Envoy could not hold goes on whole, and its usage is in the logs."""
    window = {"http2_protocol_options": {"initial_stream_window_size": 65535}}
    here = llm(headers="sent", top={"per_connection_buffer_limit_bytes": 65535}, http=window)
    text = CHAT.body.replace(b"twice.", b"t" * 250_000)
    body = [text[at : at + size] for at in range(0, len(text), size)]
    got = here.fetch(protocol, answer=answer_of(CHAT, body=body))
    assert (200, text, True) == (got.status, got.body, got.whole)
    (line,) = here.oracle()
    assert texts(CHAT.facts) == texts(seen_by(line, "state"))
    assert got.get(b"x-ai-model") is None
    assert 1 == here.stat("usage_headers_unsent")
    here.envoy.check_log()


@newest
def test_cut_at_every_byte(llm: Callable[..., Site], protocol: str) -> None:
    """
    A stream that the upstream cuts tells what came, at each byte of it.

    How much came Envoy's own log says; where the upstream resets a stream of HTTP/2 it may be less
    than was sent.
    """
    here = llm()
    form = STREAMS["messages-stream"]
    sizes = range(1, len(form.body))

    def fetch(size: int) -> None:
        here.fetch(protocol, answer=answer_of(form, body=[form.body[:size]], reset="in_body"))

    with ThreadPoolExecutor(16) as pool:  # Envoy takes its time to close a connection
        list(pool.map(fetch, sizes))
    whole = here.fetch(protocol, answer=answer_of(form))
    assert whole.whole

    entries = {entry["path"]: entry for entry in here.entries(len(form.body))}
    lines = here.oracle(len(form.body))
    found = 0
    for line in lines:
        expected = form.facts_of(line["bytes_sent"])
        assert expected == seen_by(line, "metadata"), line["bytes_sent"]
        assert expected == noted(entries[line["path"]]), line["bytes_sent"]
        found += "output_tokens" in expected
    assert {*sizes, len(form.body)} == {line["bytes_sent"] for line in lines}
    assert found == here.stat("usage_found")
    assert len(form.body) - found == here.stat("usage_cut")
    assert 0 == here.stat("hook_errors")
    here.envoy.check_log()


@newest
def test_a_client_that_leaves(llm: Callable[..., Site], protocol: str) -> None:
    """What a stream told before its client left is known."""
    here = llm()
    gate = Gate()
    events = answer_of(CHAT_STREAM).body
    answer = answer_of(CHAT_STREAM, body=[b"".join(events[:-1]), events[-1]], wait_in_body=gate)
    with here.client(protocol) as client:
        client.open(Request(path=here.upstream.serve(answer)), ends=True)
        client.read_body(len(answer.body[0]))
        client.abort()
        (line,) = here.oracle()
    gate.open()
    assert CHAT_STREAM.facts == seen_by(line, "metadata")


@newest
def test_what_cannot_be_read(llm: Callable[..., Site], protocol: str) -> None:
    """It goes on as it is, is counted each time, and logged once."""
    here = llm(headers="sent")
    types = [(b"content-type", b"application/json")]
    odd = [*types, (b"content-encoding", b"compress")]
    for _ in range(2):
        assert (
            b"<html>" == here.fetch(protocol, answer=Answer(headers=types, body=[b"<html>"])).body
        )
        assert b"?" == here.fetch(protocol, answer=Answer(headers=odd, body=[b"?"])).body
        assert b"{}" == here.fetch(protocol, answer=Answer(headers=types, body=[b"{}"])).body
    assert [{}] * 6 == [seen_by(line, "metadata") for line in here.oracle(6)]
    assert (2, 2, 2) == tuple(here.stat(f"usage_{one}") for one in ("unparsed", "encoding", "none"))
    lines = here.log_lines(f"warning.*{here.name}: a response to ")
    assert 2 == len(lines)
    assert "it is not JSON: " in lines[0]
    assert "content-encoding compress: it is not known" in lines[1]


@newest
def test_at_the_end_of_the_stream(llm: Callable[..., Site], protocol: str) -> None:
    """An entry that is written at the response's end has the notes, too."""
    here = llm(log={"request": False, "response_at": "end_of_stream"})
    here.fetch(protocol, answer=answer_of(CHAT_STREAM))
    (entry,) = here.entries(1)
    assert CHAT_STREAM.facts == noted(entry)


@newest
def test_beside_an_access_filter(new_site: Callable[[], Site], protocol: str) -> None:
    """An access filter behind it has the headers, and what its formats ask for."""
    here = new_site()
    name = f"{here.name}_ai"
    state = {
        "sum": f"%FILTER_STATE({name}.model)% %DYNAMIC_METADATA({name}:total_tokens)%",
    }
    access = here.filter(access={"state": state, "log": {"request": False}})
    usage = ours(here, instance=name, sinks=[])
    here.open([usage, access], oracle={"sum": "%FILTER_STATE(sum:PLAIN)%"})
    here.fetch(protocol, answer=answer_of(CHAT_STREAM))
    (line,), (entry,) = here.oracle(), here.entries(1)
    assert "gpt-x-1 17" == line["sum"]
    assert "17" == entry["response_headers"]["x-ai-total-tokens"]


@pytest.mark.parametrize("headers", ["logged", "none"])
@newest
def test_packets(llm: Callable[..., Site], protocol: str, agent: Agent, headers: str) -> None:
    """Cilium's agent gets the usage of a stream as headers."""
    here = llm(sinks=[{"type": "cilium", "socket": agent.path}], headers=headers)
    here.fetch(protocol, answer=answer_of(CHAT_STREAM))
    here.oracle()
    (packet,) = agent.wait_for(1)
    message = log_entry().FromString(packet)
    found = {pair.key: pair.value for pair in message.http.headers}
    usage = {key: found[name] for key, name in HEADERS.items() if name in found}
    assert (texts(CHAT_STREAM.facts) if headers == "logged" else {}) == usage


@newest
def test_other_traffic(llm: Callable[..., Site], protocol: str) -> None:
    """Requests to other paths are none of its business."""
    here = llm(paths=["/v1/*"], headers="sent")
    got = here.fetch(protocol, answer=answer_of(CHAT))
    assert CHAT.body == got.body
    (line,), (entry,) = here.oracle(), here.entries(1)
    assert {} == seen_by(line, "state")
    assert "notes" not in entry


@newest
def test_switched_off_by_route(new_site: Callable[[], Site], protocol: str) -> None:
    """Where a route disables the filter, it does not run."""
    here = new_site()
    off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    plain = {"envoy.filters.http.dynamic_modules": off}
    routes = [b.route(typed_per_filter_config=plain)]
    here.open([ours(here)], oracle=witness(here.name), routes=routes)
    here.fetch(protocol, answer=answer_of(CHAT))
    (line,) = here.oracle()
    assert {} == seen_by(line, "state")
    assert 0 == here.stat("usage_found")
    assert not here.entries_path.exists() or not here.entries_path.read_text()


@newest
def test_many_chunks(llm: Callable[..., Site], protocol: str) -> None:
    """A long stream is read to its end."""
    here = llm()
    form = CHAT_STREAM
    body = chat_stream([b"word %d" % n for n in range(2000)])
    events = [b"%s\n\n" % one for one in body.split(b"\n\n")[:-1]]
    got = here.fetch(protocol, answer=answer_of(form, body=events))
    assert body == got.body
    (line,) = here.oracle()
    assert form.facts == seen_by(line, "metadata")
