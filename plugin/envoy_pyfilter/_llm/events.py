# SPDX-License-Identifier: Apache-2.0
"""
Server-sent events, cut out of a stream whose chunks end anywhere.

Most chunks of a model's stream are whole events that hold no usage: they are searched for one word
and forgotten. Nothing is copied, and next to nothing is done, since there are hundreds of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envoy_pyfilter._llm.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD: Final = b'_tokens"'  # of the keys of a usage; in what a model says, the quote is escaped
_END: Final = b"\n\n"
_ENDS: Final = (_END, b"\r\n\r\n")
_FIELD: Final = b"data:"
BOM: Final = b"\xef\xbb\xbf"  # may stand at the beginning, of JSON too
_DONE: Final = b"[DONE]"


class Events:
    """
    One stream: ``feed`` it, and *take* gets the data of each event that may tell something.

    Those are all events while ``opening``, and then those with a usage.
    """

    __slots__ = ("_at_line_end", "_begun", "_late_cr", "_take", "_text", "_too_large", "opening")

    def __init__(self, take: Callable[[bytes], None], too_large: Callable[[], None]) -> None:
        """*too_large* is called for an event that cannot be kept."""
        self._take = take
        self._too_large = too_large
        self._text = Text()  # of the event that is not whole yet
        self._begun = False  # there is some
        self._at_line_end = False  # it ends with a line feed
        self._late_cr = False  # the chunk before ended with a carriage return
        self.opening = True

    def feed(self, data: bytes) -> None:
        """Take a chunk."""
        if (
            _WORD in data
            or self.opening
            or self._begun
            or self._late_cr
            or not data.endswith(_ENDS)
        ):
            self._cut(data)

    def _cut(self, data: bytes) -> None:
        """Cut a chunk into events; one that is not whole waits for the next chunk."""
        if self._late_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if self._begun:
            data = self._completed(data)
        if not data:
            return
        if not data.endswith(_END):
            end = data.rfind(_END) + len(_END) if _END in data else 0
            self._keep(data[end:])
            data = data[:end]
        if self.opening or _WORD in data:
            for event in data.split(_END):
                self._event(event)

    def finish(self) -> None:
        """Take what is there as the last event: its end may be missing."""
        self._last(b"")

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Give *data* with one kind of line end instead of three."""
        late, self._late_cr = self._late_cr, data.endswith(b"\r") or (self._late_cr and not data)
        if late and data.startswith(b"\n"):
            data = data[1:]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _completed(self, data: bytes) -> bytes:
        """Add to the event that is not whole yet; what lies behind its end is given back."""
        if self._at_line_end and data.startswith(b"\n"):
            self._last(b"")
            return data[1:]
        end = data.find(_END)
        if end < 0:
            self._keep(data)
            return b""
        self._last(data[:end])
        return data[end + len(_END) :]

    def _keep(self, data: bytes) -> None:
        if data:
            self._text.add(data)
            self._begun = True
            self._at_line_end = data.endswith(b"\n")

    def _last(self, data: bytes) -> None:
        """Take the event whose last part is *data*."""
        self._text.add(data)
        if self._text.too_large:
            self._too_large()
        event = self._text.take()
        self._begun = self._at_line_end = False
        self._event(event)

    def _event(self, event: bytes) -> None:
        if event and (self.opening or _WORD in event):
            lines = event.removeprefix(BOM).split(b"\n")
            data = b"\n".join(line[len(_FIELD) :] for line in lines if line.startswith(_FIELD))
            if data and data.strip() != _DONE:
                self._take(data)
