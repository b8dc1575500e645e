# SPDX-License-Identifier: Apache-2.0
"""
What the demo upstream answers in the forms of the LLM APIs, streamed when the request asks for it.

A token is a word here. The form is that of the request's path; other paths have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Dict: TypeAlias = dict[str, Any]

MODEL: Final = "demo-1"
_TEXT: Final = (
    "The upstream of this demo knows no more than these words, but it sends them one by one."
)
WORDS: Final = _TEXT.split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: its pieces are sent one by one, with a pause between them when it is a stream."""

    content_type: str
    pieces: list[bytes]
    streamed: bool


def answer(path: str, body: bytes) -> Answer | None:
    """Answer a request to one of the APIs; None when it is to none of them."""
    path = path.partition("?")[0]
    form = next((one for end, one in _FORMS.items() if path.endswith(end)), None)
    if form is None:
        return None
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        asked = {}
    asked = asked if isinstance(asked, dict) else {}
    tokens = len(json.dumps(asked.get("messages", asked.get("input", ""))).split())
    model = asked.get("model")
    whole, events = form(model if isinstance(model, str) else MODEL, tokens)
    if asked.get("stream") is True and events:
        return Answer(content_type="text/event-stream", pieces=events, streamed=True)
    text = json.dumps(whole).encode() + b"\n"
    return Answer(content_type="application/json", pieces=[text], streamed=False)


def _chat(model: str, tokens: int) -> tuple[Dict, list[bytes]]:
    usage = {
        "prompt_tokens": tokens,
        "completion_tokens": len(WORDS),
        "total_tokens": tokens + len(WORDS),
    }
    message = {"role": "assistant", "content": _TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"object": "chat.completion", "model": model, "choices": [choice], "usage": usage}

    def chunk(choices: list[Dict], usage: Dict | None = None) -> bytes:
        kind = "chat.completion.chunk"
        return _event({"object": kind, "model": model, "choices": choices, "usage": usage})

    deltas: list[Dict] = [
        {"role": "assistant", "content": ""},
        *({"content": f"{word} "} for word in WORDS),
    ]
    events = [chunk([{"index": 0, "delta": delta}]) for delta in deltas]
    return whole, [*events, chunk([], usage), b"data: [DONE]\n\n"]


def _responses(model: str, tokens: int) -> tuple[Dict, list[bytes]]:
    usage = {
        "input_tokens": tokens,
        "output_tokens": len(WORDS),
        "total_tokens": tokens + len(WORDS),
    }
    text = {"type": "output_text", "text": _TEXT}
    output = [{"type": "message", "role": "assistant", "content": [text]}]
    whole: Dict = {"object": "response", "model": model, "output": output, "usage": usage}
    begun: Dict = {"object": "response", "model": model, "output": [], "usage": None}
    kind = "response.output_text.delta"
    events = [
        _named({"type": "response.created", "response": begun}),
        *(_named({"type": kind, "delta": f"{word} "}) for word in WORDS),
        _named({"type": "response.completed", "response": whole}),
    ]
    return whole, events


def _messages(model: str, tokens: int) -> tuple[Dict, list[bytes]]:
    message = {"type": "message", "role": "assistant", "model": model}
    content = [{"type": "text", "text": _TEXT}]
    usage = {"input_tokens": tokens, "output_tokens": len(WORDS)}
    begun = {**message, "content": [], "usage": {**usage, "output_tokens": 1}}
    block = {"index": 0, "content_block": {"type": "text", "text": ""}}
    events = [
        _named({"type": "message_start", "message": begun}),
        _named({"type": "content_block_start", **block}),
        *(
            _named({"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}})
            for word in WORDS
        ),
        _named({"type": "content_block_stop", "index": 0}),
        _named({"type": "message_delta", "delta": {}, "usage": {"output_tokens": len(WORDS)}}),
        _named({"type": "message_stop"}),
    ]
    return {**message, "content": content, "usage": usage}, events


def _embeddings(model: str, tokens: int) -> tuple[Dict, list[bytes]]:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}, []


def _event(payload: Dict) -> bytes:
    return b"data: %s\n\n" % json.dumps(payload).encode()


def _named(payload: Dict) -> bytes:
    return b"event: %s\n%s" % (payload["type"].encode(), _event(payload))


_FORMS: Final[dict[str, Callable[[str, int], tuple[Dict, list[bytes]]]]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/messages": _messages,
    "/embeddings": _embeddings,
}


def requests() -> Iterator[tuple[str, Dict]]:
    """Give a request for each form, streamed and not: path and body."""
    said = [{"role": "user", "content": "What do you know?"}]
    for path, body in (
        ("/v1/chat/completions", {"messages": said}),
        ("/v1/responses", {"input": "What do you know?"}),
        ("/v1/messages", {"messages": said, "max_tokens": 100}),
    ):
        for stream in (True, False):
            yield path, {"model": MODEL, "stream": stream, **body}
    yield "/v1/embeddings", {"model": "demo-embed-1", "input": "What do you know?"}
