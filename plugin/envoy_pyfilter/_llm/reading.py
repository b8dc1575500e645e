# SPDX-License-Identifier: Apache-2.0
"""One response: its chunks come in, and what it tells is in ``tally`` and the times."""

from __future__ import annotations

import enum
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from envoy_pyfilter._llm import odd
from envoy_pyfilter._llm.codings import BrokenCoding, GrowsTooMuch
from envoy_pyfilter._llm.events import BOM, Events
from envoy_pyfilter._llm.text import Text
from envoy_pyfilter._llm.usage import Opening, Payload, Tally, opening_of, payload_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy_pyfilter._llm.codings import Coding

_P = TypeVar("_P", bound=Payload)


def _ignore(_: bytes) -> None:
    """Take a chunk that nobody can read."""


class Outcome(enum.Enum):
    """What became of a response that was looked at."""

    FOUND = "found"
    NONE = "none"
    CUT = "cut"
    UNPARSED = "unparsed"
    TOO_LARGE = "too_large"
    ENCODING = "encoding"


class Reading:
    """
    One response. *begun*: when its request arrived, by *clock*.

    ``feed`` takes a chunk of the body. ``trouble`` is the first thing that was not understood; what
    is known besides stays known.
    """

    __slots__ = (
        "_add",
        "_clock",
        "_coded",
        "_end",
        "_events",
        "_text",
        "begun",
        "ended",
        "feed",
        "first_token",
        "held",
        "last_usage",
        "streamed",
        "tally",
        "trouble",
        "why",
    )

    def __init__(
        self,
        begun: float,
        *,
        events: bool,
        coding: Coding | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*events*: a stream of them; else one JSON text."""
        self.begun = begun
        self.first_token: float | None = None
        self.last_usage: float | None = None
        self.ended = False
        self.held = False  # for whoever drives it: the response waits for its end
        self.tally = Tally()
        self.trouble: Outcome | None = None
        self.why = ""
        self._clock = clock
        self._end = begun
        self.streamed = events
        self._text = Text()
        self._events = Events(self._on_event, self._on_too_large) if events else None
        self._coded = coding is not None
        self._add: Callable[[bytes], None] = (
            self._text.add if self._events is None else self._events.feed
        )
        self.feed: Callable[[bytes], None] = (
            self._add if coding is None else partial(self._decode, coding)
        )

    def _decode(self, coding: Coding, chunk: bytes) -> None:
        """Take a chunk that has a coding."""
        try:
            for piece in coding.decode(chunk):
                self._add(piece)
        except BrokenCoding as error:
            self.give_up(Outcome.UNPARSED, f"its content coding is broken: {error}")
        except GrowsTooMuch as error:
            self.give_up(Outcome.TOO_LARGE, str(error))

    def finish(self, *, whole: bool) -> None:
        """Take note of its end, once; *whole*: it ended as HTTP says, and was not cut off."""
        if self.ended:
            return
        self.ended = True
        self._end = self._clock()
        before = self.trouble
        if self.feed != _ignore:
            self._finish()
            self.feed = self._add = _ignore  # and no circle keeps this alive
            self._events = None
        if not whole and before is None and (self.trouble or not self.tally.found):
            self.trouble = Outcome.CUT

    def _finish(self) -> None:
        if self._events is not None:
            self._events.finish()
        elif self._text.too_large:
            self._on_too_large()
        else:
            text = self._text.take().removeprefix(BOM)
            if text.strip():
                self._parse(payload_of, Payload, text)
            elif self._coded:
                self._note(Outcome.UNPARSED, "nothing comes out of its content coding")

    def give_up(self, trouble: Outcome, why: str) -> None:
        """Look no further."""
        self.feed = _ignore
        self._note(trouble, why)

    def _note(self, trouble: Outcome, why: str) -> None:
        if self.trouble is None:
            self.trouble = trouble
            self.why = why

    @property
    def outcome(self) -> Outcome:
        """What became of it, after its end."""
        if self.trouble is not None:
            return self.trouble
        return Outcome.FOUND if self.tally.found else Outcome.NONE

    def facts(self) -> dict[str, str | float]:
        """Give all that is known, by the names that it has everywhere."""
        tally = self.tally
        found: dict[str, str | float | None] = {
            "model": tally.model or None,
            "input_tokens": tally.input,
            "output_tokens": tally.output,
            "total_tokens": tally.total,
            "time_to_first_token_ms": self._time_to_first_token(),
            "tokens_per_second": self._tokens_per_second(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _time_to_first_token(self) -> float | None:
        if self.first_token is None:
            return None
        return round((self.first_token - self.begun) * 1000, 3)

    def _tokens_per_second(self) -> float | None:
        """Give the rate: in a stream of the tokens after the first, else over the whole time."""
        tokens, seconds = self.tally.output or 0, self._end - self.begun
        if self.streamed:
            if self.first_token is None or self.last_usage is None:
                return None
            tokens, seconds = tokens - 1, self.last_usage - self.first_token
        return round(tokens / seconds, 1) if tokens > 0 and seconds > 0 else None

    def _on_too_large(self) -> None:
        self._note(Outcome.TOO_LARGE, "it is too large, even without its arrays and long strings")

    def _on_event(self, data: bytes) -> None:
        events = self._events
        if events is None or not events.opening:
            self._parse(payload_of, Payload, data)
            return
        payload = self._parse(opening_of, Opening, data)
        if payload is not None and payload.brings_token:
            self.first_token = self._clock()
            events.opening = False

    def _parse(self, parse: Callable[[bytes], _P], kind: type[_P], text: bytes) -> _P | None:
        payload: _P | None
        try:
            try:
                payload = parse(text)
            except msgspec.ValidationError:  # JSON, but with a value that no API has
                payload, why = odd.read(text, kind)
                if why:
                    self._note(Outcome.UNPARSED, why)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._note(Outcome.UNPARSED, f"it is not JSON: {error}")
            return None
        if payload is not None and self.tally.take(payload):
            self.last_usage = self._clock()
        return payload
