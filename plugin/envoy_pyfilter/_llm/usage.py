# SPDX-License-Identifier: Apache-2.0
"""
What the JSON of a response tells, whichever API it is of.

OpenAI's chat completions and embeddings count ``prompt_tokens`` and ``completion_tokens``, its
responses and Anthropic's messages ``input_tokens`` and ``output_tokens``. In a stream the last
event has them, at its top or in ``response``; of messages the first one, too, in ``message``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec

MOST_TOKENS: Final = 1 << 53

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]

MODEL_LENGTH: Final = 256


class Usage(msgspec.Struct, gc=False):
    """Numbers of tokens, by the names that the APIs have for them."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None  # of Anthropic's, beside input_tokens
    cache_read_input_tokens: Count | None = None

    @property
    def input(self) -> int | None:
        """What went in, caches included."""
        if self.prompt_tokens is not None or self.input_tokens is None:
            return self.prompt_tokens
        cached = (self.cache_creation_input_tokens or 0) + (self.cache_read_input_tokens or 0)
        return self.input_tokens + cached

    @property
    def output(self) -> int | None:
        """What came out."""
        return self.output_tokens if self.completion_tokens is None else self.completion_tokens


class Part(msgspec.Struct, gc=False):
    """A response, or what an event has of it."""

    model: str | None = None
    usage: Usage | None = None


class Payload(Part, gc=False):
    """A body, or the data of an event."""

    response: Part | None = None  # responses: the event has the whole of it
    message: Part | None = None  # messages: the first event


class Choice(msgspec.Struct):
    """Of a chat completion's chunk."""

    delta: dict[str, Any] | None = None
    text: str | None = None


class Opening(Payload):
    """The data of one of the first events, which are asked whether they bring a token, too."""

    type: str | None = None
    choices: list[Choice] | None = None

    @property
    def brings_token(self) -> bool:
        """Whether something that the model made is in it."""
        kind = self.type or ""
        if kind == "content_block_delta" or (
            kind.startswith("response.") and kind.endswith(".delta")
        ):
            return True
        return any(
            one.text or any(value for key, value in (one.delta or {}).items() if key != "role")
            for one in self.choices or ()
        )


class Tally:
    """What a response has told so far. Numbers in a stream are totals that only grow."""

    __slots__ = ("_input", "_output", "_total", "model")

    def __init__(self) -> None:
        """Start with nothing."""
        self.model = ""
        self._input: int | None = None
        self._output: int | None = None
        self._total: int | None = None

    def take(self, payload: Payload) -> bool:
        """Add what it tells; true when it told of a usage."""
        parts = [one for one in (payload, payload.response, payload.message) if one is not None]
        for part in parts:
            if part.model and not self.model:
                self.model = clean(part.model)
            if part.usage is not None:
                self._add(part.usage, begun=part is payload.message)
        return any(part.usage is not None for part in parts)

    def _add(self, usage: Usage, *, begun: bool) -> None:
        self._input = _most(self._input, usage.input)
        if not begun:  # what came out before the first event is no number to tell
            self._output = _most(self._output, usage.output)
            self._total = _most(self._total, usage.total_tokens)

    @property
    def input(self) -> int | None:
        """Tokens that went in."""
        return self._input

    @property
    def output(self) -> int | None:
        """Tokens that came out: none where an API has no name for them (embeddings)."""
        if self._output is None and self._input is not None and self._total is not None:
            return max(0, self._total - self._input)
        return self._output

    @property
    def found(self) -> bool:
        """Whether the end of the usage is known: what came out, or all."""
        return self.output is not None or self._total is not None

    @property
    def total(self) -> int | None:
        """Both."""
        if self._total is None and self._input is not None and self._output is not None:
            return self._input + self._output
        return self._total


def _most(old: int | None, new: int | None) -> int | None:
    return new if old is None else old if new is None else max(old, new)


def clean(model: str) -> str:
    """Give a model's name as a header, a log's line and a terminal can take it."""
    short = model[:MODEL_LENGTH]
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)


payload_of: Final = msgspec.json.Decoder(Payload).decode
opening_of: Final = msgspec.json.Decoder(Opening).decode
