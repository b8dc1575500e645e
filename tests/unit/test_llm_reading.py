# SPDX-License-Identifier: Apache-2.0
"""One response of an LLM API, however its bytes come."""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import brotli
import pytest
from envoy_pyfilter._llm import codings
from envoy_pyfilter._llm.codings import Coding, available
from envoy_pyfilter._llm.reading import Outcome, Reading
from hypothesis import given
from hypothesis import strategies as st

from .llm_forms import CHAT, CHAT_STREAM, EMBEDDINGS, FORMS, MESSAGES, STREAMS, Form

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}
BOTH = ("model", "input_tokens", "output_tokens", "total_tokens")


def coding(name: str) -> Coding:
    """Give a coding whose library is there."""
    made = available()[name]
    assert not isinstance(made, str)
    return made()


def read(chunks: Sequence[bytes], *, events: bool, whole: bool = True, coded: str = "") -> Reading:
    """Read a response to its end, with a clock that goes on a second with each look."""
    ticks = itertools.count(101)
    reading = Reading(
        100,
        events=events,
        coding=coding(coded) if coded else None,
        clock=lambda: float(next(ticks)),
    )
    for chunk in chunks:
        reading.feed(chunk)
    reading.finish(whole=whole)
    return reading


def told(reading: Reading) -> dict[str, Any]:
    """Give what it tells, without the times."""
    return {name: value for name, value in reading.facts().items() if name in BOTH}


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut *data* at these places."""
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form(form: Form) -> None:
    """Each form tells what it tells, in one chunk and byte by byte."""
    for chunks in ([form.body], [form.body[i : i + 1] for i in range(len(form.body))]):
        reading = read(chunks, events=form.streamed)
        assert form.facts == told(reading)
        assert Outcome.FOUND is reading.outcome


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_two_chunks_at_every_place(form: Form) -> None:
    """A border may be anywhere."""
    for place in range(1, len(form.body)):
        reading = read([form.body[:place], form.body[place:]], events=form.streamed)
        assert (form.facts, Outcome.FOUND) == (told(reading), reading.outcome), place


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.parametrize("form", STREAMS.values(), ids=STREAMS)
def test_other_line_ends(form: Form, newline: bytes) -> None:
    """The three line ends of the format are the same, whatever the border."""
    body = form.body.replace(b"\n", newline)
    for place in range(len(body)):
        reading = read([body[:place], b"", body[place:]], events=True)
        assert (form.facts, Outcome.FOUND) == (told(reading), reading.outcome), place


@pytest.mark.parametrize("form", STREAMS.values(), ids=STREAMS)
def test_cut_at_every_place(form: Form) -> None:
    """A stream that is cut tells what came, and no number that is none."""
    for size in range(len(form.body)):
        reading = read([form.body[:size]], events=True, whole=False)
        expected = form.facts_of(size)
        outcome = Outcome.FOUND if "output_tokens" in expected else Outcome.CUT
        assert (expected, outcome) == (told(reading), reading.outcome), size


@pytest.mark.parametrize("form", [CHAT, EMBEDDINGS, MESSAGES])
def test_cut_json(form: Form) -> None:
    """A JSON body that is cut tells nothing, until it is whole but for the blanks at its end."""
    end = len(form.body.rstrip())
    for size in range(end):
        reading = read([form.body[:size]], events=False, whole=False)
        assert ({}, Outcome.CUT) == (told(reading), reading.outcome), size
    assert Outcome.FOUND is read([form.body[:end]], events=False, whole=False).outcome


@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.integers(0, 1 << 16), max_size=12),
    st.sampled_from(["", "gzip", "br", "zstd"]),
)
def test_any_borders_and_codings(name: str, places: list[int], coded: str) -> None:
    """Chunks may be any, in each coding."""
    form = FORMS[name]
    body = COMPRESS[coded](form.body) if coded else form.body
    reading = read(cut(body, places), events=form.streamed, coded=coded)
    assert (form.facts, Outcome.FOUND) == (told(reading), reading.outcome)


@pytest.mark.parametrize("coded", ["gzip", "zstd"])
def test_several_frames(coded: str) -> None:
    """A body may be several frames behind each other."""
    half = len(CHAT.body) // 2
    body = COMPRESS[coded](CHAT.body[:half]) + COMPRESS[coded](CHAT.body[half:])
    for place in range(len(body)):
        assert CHAT.facts == told(read([body[:place], body[place:]], events=False, coded=coded))


def flushed(coded: str, chunks: Sequence[bytes]) -> Iterator[bytes]:
    """Compress a stream as a server does that sends each chunk at once."""
    if coded == "gzip":
        import zlib  # noqa: PLC0415 (for its flush alone)

        made = zlib.compressobj(wbits=31)
        for chunk in chunks:
            yield made.compress(chunk) + made.flush(zlib.Z_SYNC_FLUSH)
        yield made.flush()
    elif coded == "br":
        squeezed = brotli.Compressor()
        for chunk in chunks:
            yield squeezed.process(chunk) + squeezed.flush()
        yield squeezed.finish()
    else:
        packed = zstd.ZstdCompressor()
        for chunk in chunks:
            yield packed.compress(chunk, mode=packed.FLUSH_BLOCK)
        yield packed.flush()


@pytest.mark.parametrize("coded", COMPRESS)
def test_flushed_streams(coded: str) -> None:
    """Of a compressed stream each event is known when its chunk is there."""
    events = [b"%s\n\n" % event for event in CHAT_STREAM.body.split(b"\n\n")[:-1]]
    pieces = list(flushed(coded, events))
    reading = Reading(0, events=True, coding=coding(coded))
    for number, piece in enumerate(pieces[: len(events)], 1):
        reading.feed(piece)
        sofar = CHAT_STREAM.facts_of(sum(map(len, events[:number])))
        assert sofar == told(reading), number


@pytest.mark.parametrize("coded", COMPRESS)
def test_broken_codings(coded: str) -> None:
    """What is not what its coding says is not parsed, and is no harm."""
    whole = COMPRESS[coded](CHAT.body)
    for body in (b"plain text", whole[:20] + b"\xff" * 20 + whole[40:]):
        reading = read(cut(body, [7, 22]), events=False, coded=coded)
        assert reading.outcome in (Outcome.UNPARSED, Outcome.TOO_LARGE)
        assert not told(reading)


@pytest.mark.parametrize("coded", COMPRESS)
def test_bombs(coded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows without measure is given up, and never held in large pieces."""
    body = COMPRESS[coded](b" " * (32 << 20))
    taken: list[int] = []
    add = codings.Coding.decode

    def decode(self: Coding, data: bytes) -> Iterator[bytes]:
        for piece in add(self, data):
            taken.append(len(piece))
            yield piece

    monkeypatch.setattr(codings.Coding, "decode", decode)
    reading = read([body], events=False, coded=coded)
    assert Outcome.TOO_LARGE is reading.outcome
    assert max(taken) <= 2 * codings.PIECE
    assert sum(taken) <= codings.FREE + codings.RATIO * len(body)


def embeddings(count: int) -> bytes:
    """Give a response with so many vectors."""
    vector = json.dumps([round(0.001 * n, 4) for n in range(400)])
    item = '{"object":"embedding","index":%d,"embedding":%s}'
    data = ",".join(item % (number, vector) for number in range(count))
    end = '"model":"embed-x","usage":{"prompt_tokens":8,"total_tokens":8}}'
    return f'{{"object":"list","data":[{data}],{end}'.encode()


@pytest.mark.parametrize("size", [1, 777, 1 << 16])
def test_large_bodies(size: int) -> None:
    """A body of any size is read in bounded memory."""
    body = embeddings(200)
    assert len(body) > 5 << 16
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    reading = read(chunks, events=False)
    assert (EMBEDDINGS.facts, Outcome.FOUND) == (told(reading), reading.outcome)


def test_large_events() -> None:
    """So is an event: that of a completed response has all of its output."""
    form = FORMS["responses-stream"]
    text = b'A \\" [{]\\\\' + b"fish" * 100_000
    body = form.body.replace(b"A fish, {\\", text + b"\\")
    assert len(body) > 5 << 16
    for size in (1 << 10, 4096 + 1, 1 << 20):
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        reading = read(chunks, events=True)
        assert (form.facts, Outcome.FOUND) == (told(reading), reading.outcome), size


LARGE = {
    "escapes": b'{"a":"%s","usage":{}}' % (b"\\n" * 1_000_000),
    "vectors": embeddings(1500),
    "nested": b'{"a":%s0%s,"usage":{}}' % (b"[" * 100_000, b"]" * 100_000),
    "keys": b'{%s"usage":{}}' % (b'"k":{"usage":{}},' * 200_000),
    "backslashes": b'{"a":"' + b"\\" * 4_000_000,
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("events", [False, True])
def test_memory(body: bytes, events: bool) -> None:
    """However large a text is, and whatever it is made of, little is kept of it."""
    size = 1 << 14
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    if events:
        chunks = [b"data: ", *chunks, b"\n\n"]
    tracemalloc.start()
    try:
        reading = read(chunks, events=events)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert Outcome.CUT is not reading.outcome


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(NESTED, st.lists(st.integers(0, 1 << 20), max_size=6), st.booleans())
def test_large_json_of_any_kind(value: object, places: list[int], escaped: bool) -> None:
    """Nothing that stands in arrays, strings or other objects is taken for the usage."""
    document = {
        "other": value,
        "input": {"usage": {"prompt_tokens": 5}},
        "bulk": [value, "x" * 70_000],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "model": "m",
        "more": [{"usage": {"prompt_tokens": 7}}, value],
    }
    body = json.dumps(document, ensure_ascii=escaped).encode("utf-8", "replace")
    reading = read(cut(body, places), events=False)
    expected = {"model": "m", "input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert (expected, Outcome.FOUND) == (told(reading), reading.outcome)


def test_too_large() -> None:
    """What is large even without arrays and strings is given up."""
    body = json.dumps({f"key{n}": n for n in range(20_000)}).encode()
    assert Outcome.TOO_LARGE is read(cut(body, [9, 99_999]), events=False).outcome
    event = b"data: %s\n\n" % body
    reading = read([event[:9], event[9:], CHAT_STREAM.body], events=True)
    assert Outcome.TOO_LARGE is reading.outcome
    assert CHAT_STREAM.facts == told(reading)


UNKNOWN = [
    (b'{"object":"list","data":[]}', Outcome.NONE),
    (b'{"usage":null,"model":"m"}', Outcome.NONE),
    (b'{"message":"not an object"}', Outcome.NONE),
    (b"[1,2]", Outcome.NONE),
    (b"", Outcome.NONE),
    (b" \n", Outcome.NONE),
    (b"<html>", Outcome.UNPARSED),
    (b'{"usage":{"prompt_tokens":1}', Outcome.UNPARSED),
    (b'{"model":"\xff"}', Outcome.UNPARSED),
    (b"[" * 100_000, Outcome.NONE),  # kept small, it is an array
    (b'{"a":' * 10_000, Outcome.UNPARSED),
    (b'{"a":' * 50_000, Outcome.TOO_LARGE),
]


@pytest.mark.parametrize(("body", "outcome"), UNKNOWN)
def test_unknown_bodies(body: bytes, outcome: Outcome) -> None:
    """What is not of these APIs tells nothing; what is no JSON is told from it."""
    reading = read([body], events=False)
    assert outcome is reading.outcome
    assert set(told(reading)) <= {"model"}


ODD = ["-1", '"7"', "5.5", "true", "[]", "{}", "1e30", str(1 << 60), str(10**30)]
ODD_MODELS = ["5", '["m"]', "{}", "true"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("events", [False, True])
def test_an_odd_count(value: str, events: bool) -> None:
    """What stands beside a count that is none is known, and the response is told of."""
    usage = f'{{"prompt_tokens":{value},"completion_tokens":3,"total_tokens":12}}'
    text = f'{{"model":"m","usage":{usage}}}'
    reading = read([f"data: {text}\n\n".encode() if events else text.encode()], events=events)
    assert {"model": "m", "output_tokens": 3, "total_tokens": 12} == told(reading)
    assert Outcome.UNPARSED is reading.outcome
    assert reading.why.startswith("usage.prompt_tokens is ")
    assert reading.why.endswith(", no number of tokens")


@pytest.mark.parametrize("value", ODD_MODELS)
def test_an_odd_model(value: str) -> None:
    """The usage beside a model that is no string is known all the same."""
    text = f'{{"model":{value},"usage":{{"prompt_tokens":5,"completion_tokens":3}}}}'
    reading = read([text.encode()], events=False)
    assert {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8} == told(reading)
    assert (Outcome.UNPARSED, f"model is {value}, no string") == (reading.outcome, reading.why)


@pytest.mark.parametrize(
    "odd", ['"message":"hi"', '"response":"x"', '"message":[1]', '"type":5', '"choices":"x"']
)
@pytest.mark.parametrize("events", [False, True])
def test_others_keys(odd: str, events: bool) -> None:
    """Keys that mean something else to another server are none of ours."""
    text = f'{{{odd},"model":"m","usage":{{"prompt_tokens":5,"completion_tokens":3}}}}'
    reading = read([f"data: {text}\n\n".encode() if events else text.encode()], events=events)
    expected = {"model": "m", "input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    assert (expected, Outcome.FOUND) == (told(reading), reading.outcome)


@pytest.mark.parametrize("events", [False, True])
def test_whole_numbers_with_a_fraction(events: bool) -> None:
    """5.0 is 5, also in the last event of a stream."""
    text = '{"model":"m","usage":{"prompt_tokens":5.0,"completion_tokens":3e0}}'
    body = b"%sdata: %s\n\n" % (CHAT_STREAM.body.split(b"\n\n")[0] + b"\n\n", text.encode())
    reading = read([body if events else text.encode()], events=events)
    found = told(reading)
    assert (5, 3, 8) == tuple(found[name] for name in BOTH[1:])
    assert Outcome.FOUND is reading.outcome


def test_only_a_total() -> None:
    """A total alone is a usage that is known."""
    reading = read([b'{"model":"m","usage":{"total_tokens":9}}'], events=False)
    assert ({"model": "m", "total_tokens": 9}, Outcome.FOUND) == (told(reading), reading.outcome)


@pytest.mark.parametrize("form", [CHAT, CHAT_STREAM], ids=["json", "events"])
def test_a_byte_order_mark(form: Form) -> None:
    """A mark before the first byte is none of the text."""
    body = b"\xef\xbb\xbf" + form.body
    reading = read([body[:2], body[2:]], events=form is CHAT_STREAM)
    assert (form.facts, Outcome.FOUND) == (told(reading), reading.outcome)


def test_a_bad_event_is_no_end() -> None:
    """An event that is no JSON is told of; those behind it count."""
    reading = read([b"data: oops\n\n" + CHAT_STREAM.body], events=True)
    assert Outcome.UNPARSED is reading.outcome
    assert CHAT_STREAM.facts == told(reading)


def test_other_lines() -> None:
    """Comments, other fields and data on several lines are what the format says."""
    body = (
        b': hello\nid: 7\nretry: 10\n\ndata:{"choices":[{"delta":{"content":"a"}}]}\n\n\n\n'
        b'data: {"model": "m",\ndata: "usage" : {"prompt_tokens":1,\n'
        b'data:"completion_tokens":2}}\n\n'
    )
    for place in range(len(body)):
        reading = read([body[:place], body[place:]], events=True)
        expected = {"model": "m", "input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        assert (expected, Outcome.FOUND) == (told(reading), reading.outcome), place


def test_no_end_of_the_last_event() -> None:
    """The last event counts without its blank line."""
    body = CHAT_STREAM.body.rpartition(b"data: [DONE]")[0].rstrip(b"\n")
    assert CHAT_STREAM.facts == told(read([body], events=True))


def test_usage_with_each_event() -> None:
    """Where each event has a usage, the last one counts."""
    event = b'data: {"usage":{"prompt_tokens":3,"completion_tokens":%d,"total_tokens":%d}}\n\n'
    body = b"".join(event % (n, n + 3) for n in range(1, 6))
    expected = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    assert expected == told(read([body], events=True))


def test_numbers_of_both_ends() -> None:
    """Of the numbers at a message's start and end the larger one counts: they are totals."""
    body = (
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":9}}}'
        b'\n\ndata: {"type":"message_delta","usage":{"input_tokens":12,"output_tokens":4}}\n\n'
    )
    expected = {"input_tokens": 12, "output_tokens": 4, "total_tokens": 16}
    assert expected == told(read([body], events=True))


@pytest.mark.parametrize(
    ("model", "shown"),
    [("m\r\nx-a: b", "m??x-a: b"), ("\x1b[2J", "?[2J"), ("é" * 300, "é" * 256), ("\u2028", "?")],
)
def test_names_of_models(model: str, shown: str) -> None:
    """A model's name can break nothing that shows it."""
    assert shown == read([json.dumps({"model": model}).encode()], events=False).facts()["model"]


def test_times() -> None:
    """The first token's time counts from the request, the rate from the first token."""
    words = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n'
    role = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    usage = b'data: {"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
    now = [100.0]
    reading = Reading(100.0, events=True, clock=lambda: now[0])
    for moment, event in [(101, role), (102.5, words % b"a"), (103, words % b"b"), (104.5, usage)]:
        now[0] = moment
        reading.feed(event)
    now[0] = 200.0
    reading.finish(whole=True)
    facts = reading.facts()
    assert 2500.0 == facts["time_to_first_token_ms"]
    assert 2.0 == facts["tokens_per_second"]  # four after the first one, in two seconds


def test_time_of_a_whole_body() -> None:
    """Of a response that is no stream there is the rate over all."""
    now = [100.0]
    reading = Reading(100.0, events=False, clock=lambda: now[0])
    reading.feed(CHAT.body)
    now[0] = 104.0
    reading.finish(whole=True)
    assert 2.5 == reading.facts()["tokens_per_second"]
    assert "time_to_first_token_ms" not in reading.facts()


FIRST_TOKENS = [
    b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}',
    b'{"choices":[{"delta":{"reasoning_content":"hm"}}]}',
    b'{"choices":[{"text":"a"}]}',
    b'{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}',
    b'{"type":"response.function_call_arguments.delta","delta":"{"}',
]
NO_TOKENS = [
    b'{"choices":[{"delta":{"role":"assistant","content":""}}]}',
    b'{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}',
    b'{"choices":[],"prompt_filter_results":[]}',
    b'{"type":"ping"}',
    b'{"type":"response.in_progress","response":{}}',
]


@pytest.mark.parametrize("payload", [*FIRST_TOKENS, *NO_TOKENS])
def test_what_is_a_token(payload: bytes) -> None:
    """What the model made is a token; what stands around it is none."""
    reading = read([b"data: %s\n\n" % payload], events=True)
    assert (payload in FIRST_TOKENS) == ("time_to_first_token_ms" in reading.facts())


def test_nothing_is_parsed_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first token and the usage no event is parsed."""
    parsed: list[bytes] = []
    parse = Reading._parse

    def counted(self: Reading, how: Any, kind: Any, text: bytes) -> Any:
        parsed.append(text)
        return parse(self, how, kind, text)

    monkeypatch.setattr(Reading, "_parse", counted)
    form = CHAT_STREAM
    events = [b"%s\n\n" % event for event in form.body.split(b"\n\n")[:-1]]
    read([*events[:2], *events[2:-2] * 50, *events[-2:]], events=True)
    assert 3 == len(parsed)
