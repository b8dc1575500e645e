# SPDX-License-Identifier: Apache-2.0
"""
The filter ``llm_usage``: an access filter that reads the usage of LLM APIs from their responses.

What it learns goes into the record's notes, filter state, dynamic metadata and headers. It never
holds a stream of events, and holds another response only where headers are to be sent with it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import re
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec

from ._llm.codings import available
from ._llm.reading import Outcome, Reading
from ._llm.usage import clean
from .access import AccessConfig, AccessFilter
from .metrics import Counter
from .verdict import BUFFER

if TYPE_CHECKING:
    from collections.abc import Callable

    from .stream import Stream
    from .verdict import Verdict

log: Final = logging.getLogger("envoy_pyfilter")

_NAME: Final = "llm_usage"
_MOST_TOLD: Final = 16  # upstreams choose what their coding is called
_PLAIN: Final = (b"", b"identity")
_KEY: Final = "envoy_pyfilter.llm_usage"  # in Stream.data
_MediaType: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[^\s;/]+/[^\s;/]+$")]
_HEADERS: Final = {
    "model": b"x-ai-model",
    "input_tokens": b"x-ai-input-tokens",
    "output_tokens": b"x-ai-output-tokens",
    "total_tokens": b"x-ai-total-tokens",
}


class LlmUsageConfig(AccessConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the access filter, and these; docs/llm.md explains them."""

    on_error: Literal["deny", "allow"] = "allow"
    paths: list[Annotated[str, msgspec.Meta(min_length=1)]] = msgspec.field(
        default_factory=lambda: [
            "*/chat/completions",
            "*/completions",
            "*/responses",
            "*/embeddings",
            "*/messages",
        ]
    )
    content_types: dict[_MediaType, Literal["json", "events"]] = msgspec.field(
        default_factory=lambda: {"application/json": "json", "text/event-stream": "events"}
    )
    headers: Literal["none", "logged", "sent"] = "logged"


class LlmUsage(AccessFilter):
    """Tells which model answered, how many tokens that took, and how fast they came."""

    Config: ClassVar[type[Any]] = LlmUsageConfig

    found = Counter("usage_found")
    none = Counter("usage_none")
    cut = Counter("usage_cut")
    unparsed = Counter("usage_unparsed")
    too_large = Counter("usage_too_large")
    encoding = Counter("usage_encoding")
    conflicts = Counter("usage_conflicts")
    unsent = Counter("usage_headers_unsent")

    def __init__(self, config: Any) -> None:
        """Look for the libraries that decompress: importing is nothing for a worker."""
        super().__init__(config)
        self._is_path = _matcher(config.paths)
        self._kinds = {name.lower().encode(): kind for name, kind in config.content_types.items()}
        self._codings = {name.encode(): made for name, made in available().items()}
        self._counters = {outcome: getattr(self, outcome.value) for outcome in Outcome}
        self._told: set[object] = set()

    # --- hooks ---

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> None:  # noqa: ARG002
        """Remember when a request came whose response may be of an LLM."""
        path = stream.request_headers.get(":path", b"").partition(b"?")[0]
        if self._is_path(path) is not None:
            stream.data[_KEY] = time.monotonic()

    def on_response_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Decide whether the response is looked at, and whether it is held."""
        begun = stream.data.pop(_KEY, None)
        if not isinstance(begun, float) or end_of_stream:
            return None
        headers = stream.response_headers
        media_type = headers.get("content-type", b"").partition(b";")[0].strip().lower()
        kind = self._kinds.get(media_type)
        if kind is None or not headers.get(":status", b"").startswith(b"2"):
            return None
        reading = self._reading(begun, headers.get_all("content-encoding"), kind)
        stream.data[_KEY] = reading
        if self.config.headers != "sent" or reading.streamed or reading.trouble is not None:
            return None
        reading.held = True
        return BUFFER

    def on_response_body(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """Read a chunk."""
        reading = stream.data.get(_KEY)
        if reading is None:
            return None
        reading.feed(stream.response_body.read())
        if reading.held:
            self._let_go_what_is_large(stream, reading)
        if end_of_stream:
            self._end(stream, reading, whole=True)
            return None
        return BUFFER if reading.held else None

    def on_response_trailers(self, stream: Stream) -> None:
        """Take them for the end."""
        reading = stream.data.get(_KEY)
        if isinstance(reading, Reading):
            self._end(stream, reading, whole=True)

    def on_stream_complete(self, stream: Stream) -> None:
        """Tell what is known of a response that was cut off; give the logs their headers."""
        reading = stream.data.get(_KEY)
        if not isinstance(reading, Reading):
            return
        self._end(stream, reading, whole=False)
        if self.config.headers != "none":
            _set_headers(stream, reading)

    # --- what they share ---

    def _reading(self, begun: float, codings: list[bytes], kind: str) -> Reading:
        named = b",".join(codings).strip().lower()
        made = self._codings.get(named, "it is not known") if named not in _PLAIN else None
        if isinstance(made, str):
            reading = Reading(begun, events=kind == "events")
            reading.give_up(
                Outcome.ENCODING, f"content-encoding {clean(named.decode('latin-1'))}: {made}"
            )
            return reading
        return Reading(begun, events=kind == "events", coding=None if made is None else made())

    def _let_go_what_is_large(self, stream: Stream, reading: Reading) -> None:
        """
        Hold it no longer when Envoy would not: it answers 500 for what outgrows its limit.

        What goes on passes the buffer once more, so for this chunk the limit is raised.
        """
        body = stream.response_body
        size = body.buffered_size + body.size
        if 0 < stream.buffer_limit < size:
            stream.buffer_limit = size
            reading.held = False
            self.unsent.add(stream)

    def _end(self, stream: Stream, reading: Reading, *, whole: bool) -> None:
        """Write what is known, the first time."""
        if reading.ended:
            return
        reading.finish(whole=whole)
        self._counters[reading.outcome].add(stream)
        self._tell_once(stream, reading)
        for key, value in reading.facts().items():
            self._write(stream, key, value)
        if reading.held:
            _set_headers(stream, reading)

    def _write(self, stream: Stream, key: str, value: str | float) -> None:
        name = self._instance or _NAME
        stream.record.note(key, value)
        stream.metadata.set(name, key, value)
        try:
            stream.filter_state.set(f"{name}.{key}", str(value))
        except LookupError:  # somebody wrote it before
            self.conflicts.add(stream)

    def _tell_once(self, stream: Stream, reading: Reading) -> None:
        """Log what could not be read: the first response of each kind."""
        kind = (reading.trouble, reading.why if reading.trouble is Outcome.ENCODING else "")
        if not reading.why or kind in self._told or len(self._told) == _MOST_TOLD:
            return
        self._told.add(kind)
        path = clean(stream.request_headers.get(":path", b"").decode("latin-1"))
        log.warning(
            "%s: a response to %s could not be read: %s; from now on this is only counted",
            self._instance or _NAME,
            path,
            reading.why,
        )


def _set_headers(stream: Stream, reading: Reading) -> None:
    """Add the headers that are not there; where there are none any more, nobody needs them."""
    headers, facts = stream.response_headers, reading.facts()
    there = {name for name, _ in headers.items()}  # once: a change makes the next look a new one
    for key, name in _HEADERS.items():
        if key in facts and name not in there:
            with contextlib.suppress(LookupError):
                headers.set(name, str(facts[key]).encode())


def _matcher(paths: list[str]) -> Callable[[bytes], object]:
    """Give what tells whether a path is one of these globs."""
    patterns = [fnmatch.translate(path) for path in paths]
    return re.compile("|".join(patterns).encode()).match if patterns else _never


def _never(_: bytes) -> None:
    """Match nothing."""
