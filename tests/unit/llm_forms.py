# SPDX-License-Identifier: Apache-2.0
"""
Responses in the forms of the LLM APIs, written out byte by byte, and what each of them tells.

The forms are those of the APIs' public documentation; the words and numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


@dataclass(frozen=True, kw_only=True)
class Form:
    """
    One response. *model*, *input* and so on: what it tells.

    *model_in*, *input_in*, *output_in*: the JSON after whose end this is known of a stream.
    """

    path: bytes
    content_type: bytes
    body: bytes
    model: str
    input: int
    output: int
    total: int
    model_in: bytes = b""
    input_in: bytes = b""
    output_in: bytes = b""
    streamed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Tell by the type."""
        object.__setattr__(self, "streamed", self.content_type == EVENTS)

    @property
    def facts(self) -> dict[str, str | int]:
        """All that it tells, by our names."""
        return {
            "model": self.model,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "total_tokens": self.total,
        }

    def facts_of(self, size: int) -> dict[str, str | int]:
        """Give what its first *size* bytes tell."""
        found = self.facts
        known = {
            "model": self.model_in,
            "input_tokens": self.input_in,
            "output_tokens": self.output_in,
            "total_tokens": self.output_in,
        }
        for name, text in known.items():
            if size < self.body.index(text) + len(text):
                del found[name]
        return found


_CHAT_FIRST = (
    b'{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767225600,"model":"gpt-x-1",'
    b'"service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],'
    b'"usage":null,"obfuscation":"u1"}'
)
_CHAT_CHUNK = (
    b'{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767225600,"model":"gpt-x-1",'
    b'"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}],'
    b'"usage":null}'
)
_CHAT_USAGE = (
    b'{"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767225600,"model":"gpt-x-1",'
    b'"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":6,"total_tokens":17,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0}}}'
)


def chat_stream(words: list[bytes]) -> bytes:
    """Give a stream of chat completions with a chunk for each word, and the usage at its end."""
    payloads = [_CHAT_FIRST, *[_CHAT_CHUNK % word for word in words], _CHAT_USAGE, b"[DONE]"]
    return b"".join(b"data: %s\n\n" % payload for payload in payloads)


CHAT = Form(
    path=b"/v1/chat/completions",
    content_type=JSON,
    body=b"""{
  "id": "chatcmpl-1",
  "object": "chat.completion",
  "created": 1767225600,
  "model": "gpt-x-1",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Say \\"usage\\": {\\"total_tokens\\": 1} twice.",
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}
  },
  "service_tier": "default"
}
""",
    model="gpt-x-1",
    input=19,
    output=10,
    total=29,
)
CHAT_STREAM = Form(
    path=b"/v1/chat/completions?api-version=2",
    content_type=EVENTS,
    body=chat_stream([b"One", b" two", b' \\"usage\\":{', b" four", b"\\n"]),
    model="gpt-x-1",
    input=11,
    output=6,
    total=17,
    model_in=_CHAT_FIRST,
    input_in=_CHAT_USAGE,
    output_in=_CHAT_USAGE,
)

_RESPONSE = (
    b'{"id":"resp_1","object":"response","created_at":1767225600,"status":"%s","error":null,'
    b'"instructions":null,"model":"gpt-x-2","output":%s,"parallel_tool_calls":true,"store":true,'
    b'"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],'
    b'"usage":%s,"user":null,"metadata":{}}'
)
_RESPONSE_USAGE = (
    b'{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,'
    b'"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}'
)
_RESPONSE_OUTPUT = (
    b'[{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":'
    b'[{"type":"output_text","text":"A fish, {\\"usage\\": [}","annotations":[]}]}]'
)
RESPONSES = Form(
    path=b"/v1/responses",
    content_type=JSON,
    body=_RESPONSE % (b"completed", _RESPONSE_OUTPUT, _RESPONSE_USAGE),
    model="gpt-x-2",
    input=36,
    output=87,
    total=123,
)


def _named(payload: bytes) -> bytes:
    kind = payload.split(b'"type":"', 1)[1].split(b'"', 1)[0]
    return b"event: %s\ndata: %s\n\n" % (kind, payload)


_CREATED = (
    b'{"type":"response.created","sequence_number":0,"response":'
    + _RESPONSE % (b"in_progress", b"[]", b"null")
    + b"}"
)
_COMPLETED = (
    b'{"type":"response.completed","sequence_number":5,"response":'
    + _RESPONSE % (b"completed", _RESPONSE_OUTPUT, _RESPONSE_USAGE)
    + b"}"
)
RESPONSES_STREAM = Form(
    path=b"/openai/v1/responses",
    content_type=EVENTS,
    body=b"".join(
        map(
            _named,
            [
                _CREATED,
                (
                    b'{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":'
                    b'{"type":"message","id":"msg_1","status":"in_progress","content":[]}}'
                ),
                (
                    b'{"type":"response.output_text.delta","sequence_number":2,"item_id":"msg_1",'
                    b'"output_index":0,"content_index":0,"delta":"A fish"}'
                ),
                (
                    b'{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1",'
                    b'"output_index":0,"content_index":0,"delta":", {"}'
                ),
                (
                    b'{"type":"response.output_text.done","sequence_number":4,"item_id":"msg_1",'
                    b'"output_index":0,"content_index":0,"text":"A fish, {"}'
                ),
                _COMPLETED,
            ],
        )
    ),
    model="gpt-x-2",
    input=36,
    output=87,
    total=123,
    model_in=_CREATED,
    input_in=_COMPLETED,
    output_in=_COMPLETED,
)

EMBEDDINGS = Form(
    path=b"/v1/embeddings",
    content_type=JSON,
    body=b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.0023,-9.3e-3,'
    b'-0.0028]}],"model":"embed-x","usage":{"prompt_tokens":8,"total_tokens":8}}\n',
    model="embed-x",
    input=8,
    output=0,
    total=8,
)

MESSAGES = Form(
    path=b"/v1/messages",
    content_type=JSON,
    body=b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":'
    b'[{"type":"text","text":"Hello."},{"type":"tool_use","id":"toolu_1","name":"look","input":'
    b'{"usage":{"input_tokens":999},"model":"no"}}],"stop_reason":"tool_use",'
    b'"stop_sequence":null,"usage":{"input_tokens":20,"cache_creation_input_tokens":5,'
    b'"cache_read_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":5,'
    b'"ephemeral_1h_input_tokens":0},"output_tokens":30,"service_tier":"standard"}}',
    model="claude-x",
    input=125,
    output=30,
    total=155,
)
_MESSAGE_START = (
    b'{"type":"message_start","message":{"id":"msg_2","type":"message","role":"assistant",'
    b'"model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":'
    b'{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":7,'
    b'"output_tokens":1}}}'
)
_MESSAGE_DELTA = (
    b'{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":15}}'
)
MESSAGES_STREAM = Form(
    path=b"/anthropic/v1/messages",
    content_type=EVENTS,
    body=b"".join(
        map(
            _named,
            [
                _MESSAGE_START,
                (
                    b'{"type":"content_block_start","index":0,"content_block":'
                    b'{"type":"text","text":""}}'
                ),
                b'{"type":"ping"}',
                (
                    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
                    b'"text":"Hello"}}'
                ),
                (
                    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
                    b'"text":"!\\n\\ndata: {\\"usage\\":{}}"}}'
                ),
                b'{"type":"content_block_stop","index":0}',
                _MESSAGE_DELTA,
                b'{"type":"message_stop"}',
            ],
        )
    ),
    model="claude-x",
    input=32,
    output=15,
    total=47,
    model_in=_MESSAGE_START,
    input_in=_MESSAGE_START,
    output_in=_MESSAGE_DELTA,
)

FORMS = {
    "chat": CHAT,
    "chat-stream": CHAT_STREAM,
    "responses": RESPONSES,
    "responses-stream": RESPONSES_STREAM,
    "embeddings": EMBEDDINGS,
    "messages": MESSAGES,
    "messages-stream": MESSAGES_STREAM,
}
STREAMS = {name: form for name, form in FORMS.items() if form.streamed}
WHOLE = {name: form for name, form in FORMS.items() if not form.streamed}
