# SPDX-License-Identifier: Apache-2.0
"""The filter ``llm_usage``: what it looks at, what it writes, and what it leaves alone."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import pytest
from envoy_pyfilter import _config
from envoy_pyfilter._host import HeaderMap, MetadataSource
from envoy_pyfilter._llm import codings
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.llm_usage import LlmUsage, LlmUsageConfig
from envoy_pyfilter.testing import FakeStream, run_stream

from .llm_forms import CHAT, CHAT_STREAM, EVENTS, FORMS, JSON, STREAMS, WHOLE, Form

COUNTERS = ("found", "none", "cut", "unparsed", "too_large", "encoding")


def usage(**config: Any) -> LlmUsage:
    """Make the filter."""
    return LlmUsage(LlmUsageConfig(sinks=[], **config))


def stream_of(form: Form, **config: Any) -> FakeStream:
    """Give a stream through the filter whose response's headers are due."""
    fake = FakeStream(usage(**config))
    fake.request_headers({":path": form.path, ":method": b"POST"}, end_of_stream=True)
    return fake


def answered(
    form: Form,
    *,
    path: bytes | None = None,
    status: int = 200,
    body: bytes | None = None,
    headers: dict[str, str | bytes] | None = None,
    filter: LlmUsage | None = None,  # noqa: A002 (the word for it)
    **config: Any,
) -> FakeStream:
    """Take a response of this form through the filter."""
    return run_stream(
        filter or usage(**config),
        request_headers={":path": form.path if path is None else path, ":method": b"POST"},
        response_headers={
            ":status": str(status),
            "content-type": form.content_type,
            **(headers or {}),
        },
        response_body=form.body if body is None else body,
    )


def written(fake: FakeStream) -> dict[str, Any]:
    """Give the notes, without those of the times."""
    return {
        key: json.loads(value)
        for key, value in fake.noted().items()
        if key not in ("time_to_first_token_ms", "tokens_per_second")
    }


def outcomes(fake: FakeStream) -> dict[str, int]:
    """Give the counters that are not 0."""
    counts = {name: fake.metric(f"usage_{name}") for name in COUNTERS}
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_written(form: Form) -> None:
    """Notes, filter state, dynamic metadata and, for the logs, headers say the same."""
    fake = answered(form)
    texts = {f"llm_usage.{key}": str(value).encode() for key, value in form.facts.items()}
    state = {key.decode(): value for key, value in fake.state.items()}
    metadata = fake.spaces[MetadataSource.DYNAMIC]["llm_usage"]
    logged = dict(fake.maps[HeaderMap.RESPONSE_HEADERS])

    assert form.facts == written(fake)
    assert texts.items() <= state.items()
    assert form.facts.items() <= metadata.items()
    assert str(form.model).encode() == logged[b"x-ai-model"]
    assert str(form.input).encode() == logged[b"x-ai-input-tokens"]
    assert str(form.output).encode() == logged[b"x-ai-output-tokens"]
    assert str(form.total).encode() == logged[b"x-ai-total-tokens"]
    assert {"found": 1} == outcomes(fake)
    assert form.body == fake.downstream.body
    assert fake.downstream.header("x-ai-model") is None


@pytest.mark.parametrize("form", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("headers", ["none", "logged", "sent"])
def test_no_streamed_byte_waits(form: Form, headers: str) -> None:
    """Each chunk of a stream has gone on when its hook is over, whatever the settings."""
    fake = stream_of(form, headers=headers)
    fake.response_headers({"content-type": form.content_type})
    assert fake.downstream.headers is not None
    for size in range(1, len(form.body) + 1):
        end = size == len(form.body)
        assert 0 == fake.response_body(form.body[size - 1 : size], end_of_stream=end)
        assert form.body[:size] == fake.downstream.body
    fake.complete()
    assert form.facts == written(fake)


@pytest.mark.parametrize("form", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("headers", ["none", "logged"])
def test_nothing_waits_by_default(form: Form, headers: str) -> None:
    """Nor does another response, unless headers are to be sent."""
    fake = stream_of(form, headers=headers)
    fake.response_headers({"content-type": form.content_type})
    fake.response_body(form.body[:10])
    assert form.body[:10] == fake.downstream.body
    fake.response_body(form.body[10:], end_of_stream=True)
    fake.complete()
    assert form.facts == written(fake)
    logged = dict(fake.maps[HeaderMap.RESPONSE_HEADERS])
    assert (headers == "logged") == (b"x-ai-model" in logged)


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("form", WHOLE.values(), ids=WHOLE)
def test_sent_headers(form: Form, trailers: bool) -> None:
    """With ``headers: sent`` the client gets them, and the body as it was."""
    fake = stream_of(form, headers="sent")
    fake.response_headers({"content-type": form.content_type})
    fake.response_body(form.body[:10])
    assert fake.downstream.headers is None
    fake.response_body(form.body[10:], end_of_stream=not trailers)
    if trailers:
        fake.response_trailers({"x-end": "1"})
    got = fake.downstream
    assert str(form.model).encode() == got.header("x-ai-model")
    assert str(form.input).encode() == got.header("x-ai-input-tokens")
    assert str(form.output).encode() == got.header("x-ai-output-tokens")
    assert str(form.total).encode() == got.header("x-ai-total-tokens")
    assert form.body == got.body
    assert got.ended
    fake.complete()
    assert form.facts == written(fake)


@pytest.mark.parametrize("chunk", [1, 7, 90, 100, 101, 1 << 20])
def test_too_large_to_hold(chunk: int) -> None:
    """What outgrows Envoy's limit goes on without its headers, and is counted."""
    fake = FakeStream(usage(headers="sent"), buffer_limit=100)
    fake.request_headers({":path": CHAT.path}, end_of_stream=True)
    fake.response_headers({"content-type": CHAT.content_type})
    for at in range(0, len(CHAT.body), chunk):
        fake.response_body(CHAT.body[at : at + chunk])
    fake.response_body(b"", end_of_stream=True)
    fake.complete()
    assert 200 == fake.downstream.status
    assert CHAT.body == fake.downstream.body
    assert fake.downstream.header("x-ai-model") is None
    assert 1 == fake.metric("usage_headers_unsent")
    assert CHAT.facts == written(fake)


def test_headers_of_the_upstream_stay() -> None:
    """A header that the upstream sent is not ours to change."""
    for headers in ("logged", "sent"):
        fake = answered(CHAT, headers={"x-ai-model": "theirs"}, filter=usage(headers=headers))
        assert b"theirs" == dict(fake.maps[HeaderMap.RESPONSE_HEADERS])[b"x-ai-model"]
        assert b"theirs" == fake.downstream.header("x-ai-model")


LOOKED_AT = [
    (b"/v1/chat/completions", True),
    (b"/v1/chat/completions?x=/other", True),
    (b"/openai/deployments/d/chat/completions?api-version=1", True),
    (b"/v1/completions", True),
    (b"/anthropic/v1/messages", True),
    (b"/v1/messages/count_tokens", False),
    (b"/v1/responses/resp_1", False),
    (b"/v1/models", False),
    (b"/?/v1/messages", False),
    (b"/", False),
]


@pytest.mark.parametrize(("path", "looked_at"), LOOKED_AT)
def test_paths(path: bytes, looked_at: bool) -> None:
    """The request's path decides, without its query."""
    assert looked_at == bool(written(answered(CHAT, path=path)))


def test_own_paths() -> None:
    """The globs are a setting."""
    assert written(answered(CHAT, path=b"/ask", paths=["/as?"]))
    assert not written(answered(CHAT, paths=["/ask"]))
    assert not written(answered(CHAT, paths=[]))


TYPES = [
    ("application/json", True),
    ("Application/JSON ; charset=utf-8", True),
    ("text/plain", False),
    ("application/problem+json", False),
    ("", False),
]


@pytest.mark.parametrize(("content_type", "looked_at"), TYPES)
def test_content_types(content_type: str, looked_at: bool) -> None:
    """So does the response's type, without its parameters."""
    fake = answered(CHAT, headers={"content-type": content_type})
    assert looked_at == bool(written(fake))
    assert looked_at == bool(outcomes(fake))


def test_own_content_types() -> None:
    """They are a setting, too."""
    types = {"Application/x-chat": "json"}
    headers: dict[str, str | bytes] = {"content-type": "application/X-chat"}
    assert written(answered(CHAT, headers=headers, content_types=types))
    assert not written(answered(CHAT, content_types=types))


@pytest.mark.parametrize("status", [200, 201, 299])
def test_good_answers(status: int) -> None:
    """Any success is looked at."""
    assert written(answered(CHAT, status=status))


@pytest.mark.parametrize("status", [304, 400, 429, 500])
def test_errors(status: int) -> None:
    """An error has no usage and is not looked at, whatever it says."""
    fake = answered(CHAT, status=status, headers={}, body=CHAT.body)
    assert not written(fake)
    assert not outcomes(fake)


def test_no_body() -> None:
    """Headers alone, as HEAD has them, tell nothing."""
    fake = answered(CHAT, body=b"")
    assert not outcomes(fake)
    assert not written(fake)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity"])
def test_codings(form: Form, coding: str) -> None:
    """A compressed body goes on as it is and is read all the same."""
    body = form.body if coding == "identity" else gzip.compress(form.body)
    fake = answered(form, body=body, headers={"content-encoding": coding})
    assert form.facts == written(fake)
    assert body == fake.downstream.body


def test_missing_libraries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its library a coding is counted, and logged once; so is one that nobody knows."""
    monkeypatch.setattr(codings, "_imported", lambda _: None)
    ours = usage(headers="sent")
    with caplog.at_level(logging.WARNING):
        for coding in ("br", "zstd", "br", "zstd", "compress", "gzip, br", "compress"):
            fake = answered(CHAT, filter=ours, body=b"?", headers={"content-encoding": coding})
            assert b"?" == fake.downstream.body
            assert not written(fake)
    assert {"encoding": 7} == outcomes(fake)
    pip = "its library is not installed: pip install 'envoy-pyfilter[llm]'"
    start = "llm_usage: a response to /v1/chat/completions could not be read: content-encoding "
    assert [
        f"{start}br: {pip}; from now on this is only counted",
        f"{start}zstd: {pip}; from now on this is only counted",
        f"{start}compress: it is not known; from now on this is only counted",
        f"{start}gzip, br: it is not known; from now on this is only counted",
    ] == [record.getMessage() for record in caplog.records]


def test_what_cannot_be_parsed(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted each time, logged once, and goes on as it is."""
    ours = usage(headers="sent")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            fake = answered(CHAT, filter=ours, body=b"<html>")
            assert b"<html>" == fake.downstream.body
    assert {"unparsed": 3} == outcomes(fake)
    (record,) = caplog.records
    assert "could not be read: it is not JSON: JSON is malformed" in record.getMessage()


def test_no_usage(caplog: pytest.LogCaptureFixture) -> None:
    """A stream without a usage is counted; its model and its first token's time are known."""
    body = CHAT_STREAM.body.replace(b'"usage":{', b'"usage":null,"x":{')
    fake = answered(CHAT_STREAM, body=body)
    assert {"model": "gpt-x-1"} == written(fake)
    assert "time_to_first_token_ms" in fake.noted()
    assert {"none": 1} == outcomes(fake)
    assert not caplog.records


def test_cut_off() -> None:
    """A stream that ends before its time tells what it told."""
    fake = stream_of(CHAT_STREAM)
    fake.response_headers({"content-type": EVENTS})
    fake.response_body(CHAT_STREAM.body[:500])
    fake.complete()
    assert {"model": "gpt-x-1"} == written(fake)
    assert {"cut": 1} == outcomes(fake)


def test_trailers_end_it() -> None:
    """Trailers are an end like any other."""
    fake = stream_of(CHAT_STREAM)
    fake.response_headers({"content-type": EVENTS})
    fake.response_body(CHAT_STREAM.body)
    fake.response_trailers({"x-end": "1"})
    assert CHAT_STREAM.facts == written(fake)
    fake.complete()
    assert {"found": 1} == outcomes(fake)


def test_no_response() -> None:
    """A client that leaves before the response leaves nothing."""
    fake = stream_of(CHAT)
    fake.complete()
    assert not written(fake)
    assert not outcomes(fake)


def test_no_request() -> None:
    """A stream that ends without a hook is none of ours."""
    fake = FakeStream(usage())
    fake.complete()
    assert not fake.failed_hooks


def test_local_replies() -> None:
    """An answer of somebody else's is looked at by the same rules, and is not one of an LLM."""
    fake = stream_of(CHAT)
    fake.local_reply(504, {"content-type": "application/json"}, b"{}")
    fake.complete()
    assert not outcomes(fake)


def test_a_key_that_is_taken() -> None:
    """Filter state that is there stays; that is counted."""
    fake = run_stream(
        usage(),
        request_headers={":path": CHAT.path},
        response_headers={"content-type": JSON},
        response_body=CHAT.body,
        filter_state={"llm_usage.model": "theirs"},
    )
    assert b"theirs" == fake.state[b"llm_usage.model"]
    assert b"19" == fake.state[b"llm_usage.input_tokens"]
    assert 1 == fake.metric("usage_conflicts")


def test_an_instance_of_its_own() -> None:
    """The instance's name is that of the namespace and begins the keys."""
    loaded = _config.load("llm_usage", b'{"instance":"ai","sinks":[]}', validating=True)
    loaded.filter._instance = loaded.instance
    assert isinstance(loaded.filter, LlmUsage)
    fake = answered(CHAT, filter=loaded.filter)
    assert b"29" == fake.state[b"ai.total_tokens"]
    assert 29.0 == fake.spaces[MetadataSource.DYNAMIC]["ai"]["total_tokens"]


def test_a_failure_of_ours_is_none_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a stream goes on without the filter when a hook of it raises."""
    monkeypatch.setattr("envoy_pyfilter._llm.text.Text.add", lambda *_: 1 / 0)
    for headers in ("logged", "sent"):
        filter_ = usage(headers=headers)
        filter_._on_error = LlmUsageConfig().on_error
        fake = answered(CHAT, filter=filter_)
        assert 200 == fake.downstream.status
        assert CHAT.body == fake.downstream.body


REFUSED = [
    ({"paths": ["/a", ""]}, "llm_usage: paths[1]: "),
    ({"headers": "all"}, "llm_usage: headers: "),
    (
        {"content_types": {"a/b": "xml"}},
        'llm_usage: content_types["a/b"]: unknown value, got "xml"',
    ),
    (
        {"content_types": {"a/b; c=d": "json"}},
        'llm_usage: content_types["a/b; c=d"]: not allowed as a key; expected a string matching',
    ),
    ({"path": ["/a"]}, "llm_usage: path: unknown key; did you mean paths?"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_bad_config(config: dict[str, object], message: str) -> None:
    """A bad config is refused with its reason."""
    with pytest.raises(ConfigError) as caught:
        _config.load("llm_usage", json.dumps(config).encode(), validating=True)
    assert str(caught.value).startswith(message)


def test_it_is_an_access_filter() -> None:
    """It has the keys of the access filter, with its defaults, but lets a failed stream go on."""
    loaded = _config.load("llm_usage", b"{}", validating=True)
    assert loaded.plan is not None
    assert "llm_usage" == loaded.instance
    assert ["/dev/stdout"] == [sink.path for sink in loaded.plan.sinks]
    assert "allow" == loaded.filter.config.on_error
