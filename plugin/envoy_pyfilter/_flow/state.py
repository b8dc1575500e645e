# SPDX-License-Identifier: Apache-2.0
"""
What is known of a stream between its hooks, and what follows from that alone.

Nothing here asks the filter, and nothing tells the proxy to do something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._host import BodyKind, HeaderMap
from envoy_pyfilter.headers import Headers
from envoy_pyfilter.metadata import FilterState

from .steps import REQUEST, RESPONSE, RESPONSE_BODY, Step

if TYPE_CHECKING:
    from envoy_pyfilter._host import Host
    from envoy_pyfilter.filter import Filter

    from .mailbox import Mailbox

# How far this filter has answered the stream itself.
UNANSWERED: Final = 0
STREAMING: Final = 1  # a reply in pieces is under way
ANSWERED: Final = 2

# What came of a stream, or can still be done with it.
ROUTABLE: Final = 1  # the request's headers are here, so its route can be chosen anew
ANSWERING: Final = 2  # somebody else's response has come
COMPLETE: Final = 4
GONE: Final = 8

# Which hooks are on the stack, beside their sides.
NOTICING: Final = 4  # one that decides nothing
TASK: Final = 8  # a function of run_on_worker

TOO_LARGE: Final = "response_payload_too_large"  # as Envoy says it


class Course:
    """
    What a filter did to a stream other than let it pass.

    Most filters do nothing else to most streams, so a stream begins with ``PLAIN``, which all share
    and nobody changes, and gets a course of its own with the first change (``State._own``).
    """

    __slots__ = (
        "answered",
        "bodiless",
        "buffering",
        "failed",
        "late",
        "let_through",
        "paused",
        "replaying",
        "resumed",
        "waiting",
    )

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.paused = 0  # sides that wait for resume
        self.buffering = 0  # sides whose body is collected
        self.waiting = 0  # sides paused at their headers: what follows waits, too
        self.late: dict[Step, bool | None] = {}  # hooks that wait, and their end_of_stream
        self.replaying = 0  # sides whose waiting hooks run now
        self.resumed = 0  # sides that were resumed before their hook returned
        self.answered = UNANSWERED
        self.bodiless = 0  # status of an answer whose pieces are dropped: it is whole already
        self.failed = False
        self.let_through = False  # failed while somebody else's reply passes: let it pass


PLAIN: Final = Course()


class State:
    """The attributes of a stream."""

    __slots__ = {
        "_came": "",
        "_course": "",
        "_data": "",
        "_filter": "",
        "_host": "",
        "_inside": "",
        "_mailbox": "",
        "_views": "",
        "filter_state": "Bytes shared with other filters and access logs.",
        "request_headers": "The request's headers.",
        "response_headers": "The response's headers; empty until they have come.",
    }

    def __init__(self, host: Host, filter: Filter) -> None:  # noqa: A002 (the word for it)
        """Made by ``_hooks`` (or a test)."""
        self._host = host
        self.request_headers = Headers(host, HeaderMap.REQUEST_HEADERS)
        self.response_headers = Headers(host, HeaderMap.RESPONSE_HEADERS)
        self.filter_state = FilterState(host)
        self._begin(filter)

    def _begin(self, filter: Filter) -> None:  # noqa: A002 (the word for it)
        """Be as new: an ended stream that nobody has becomes the next one of its seat."""
        self._filter = filter
        self._inside = 0  # hooks on the stack: their sides, NOTICING, TASK
        self._came = 0  # ROUTABLE, ANSWERING, COMPLETE, GONE
        self._course = PLAIN
        self._mailbox: Mailbox | None = None
        self._views: list[Any] | None = None  # other maps by HeaderMap, then bodies, once asked for
        self._data: dict[str, Any] | None = None

    def _own(self) -> Course:
        """Give the stream's course, to be changed."""
        if self._course is PLAIN:
            self._course = Course()
        return self._course

    def _forget(self) -> None:
        """Others may have changed the headers: the next read asks the proxy."""
        self._host.given.clear()
        if self._host.cached:
            self._forget_read()

    def _forget_read(self) -> None:
        """Forget whole maps, but not what came with the hook that begins."""
        self._host.cached = False
        self.request_headers._forget()
        self.response_headers._forget()
        for trailers in self._views[:4] if self._views is not None else ():
            if trailers is not None:
                trailers._forget()

    def _hold_nothing(self) -> None:
        self._own().paused = self._own().buffering = self._own().waiting = 0
        self._came &= ~ROUTABLE

    def _holds(self, *, request: bool) -> bool:
        """Whether this filter holds that side's body back."""
        course = self._course
        return bool((course.paused | course.buffering) & (REQUEST if request else RESPONSE))

    def _replays(self, *, request: bool) -> bool:
        """Whether what was received lies in Envoy's buffer, because its hook had to wait."""
        return bool(self._course.replaying & (REQUEST if request else RESPONSE))

    def _outgrown(self, step: Step) -> bool:
        """
        Whether letting a buffered response go at this step would take more than Envoy may buffer.

        Envoy resets such a stream when its headers have gone on, and goes on with it all the same,
        which ends the process (seen up to 1.40). So the stream is reset before that.
        """
        if step is not RESPONSE_BODY or not self._course.buffering & step.side:
            return False
        limit = self._host.buffer_limit()
        size = self._host.body_size(BodyKind.BUFFERED_RESPONSE)
        size += self._host.body_size(BodyKind.RECEIVED_RESPONSE)
        return 0 < limit < size and self._host.response_begun()

    def _check_here(self) -> None:
        """Raise ``StreamGone`` or ``WrongThread`` before anything of the stream is changed."""
        self._host.worker_index()

    def _check_routable(self) -> None:
        self._check_here()
        if self._came & (ROUTABLE | COMPLETE) != ROUTABLE:
            raise RuntimeError("the request's headers have gone on: its route is chosen")

    def _check_unanswered(self) -> None:
        self._check_here()
        if self._came & COMPLETE:
            raise RuntimeError("the stream is complete: nobody is left to answer")
        if self._course.answered:
            raise RuntimeError("the stream has been answered already")
        self._check_not_noticing()

    def _check_changeable(self, *, request: bool) -> None:
        """Raise unless that side's body can be changed: Envoy takes it in no hook of the other."""
        self._check_going()
        sides = self._inside & (REQUEST | RESPONSE)
        if sides and not sides & (REQUEST if request else RESPONSE):
            side, other = ("request", "response") if request else ("response", "request")
            raise RuntimeError(f"the {side}'s body cannot be changed in a hook of the {other}")

    def _check_going(self) -> None:
        """
        Raise unless bodies, or the limit of their buffers, can be changed.

        Within such a change Envoy lets its peer go on, or answers that there is too much.
        """
        self._check_here()
        if self._came & COMPLETE or self._course.answered == ANSWERED:
            raise RuntimeError("the stream is over: its bodies cannot be changed")
        self._check_not_noticing()

    def _check_not_noticing(self) -> None:
        if self._inside & NOTICING:
            raise RuntimeError("not in this hook: leave it to stream.run_on_worker")

    def _check_streaming(self) -> None:
        self._check_here()
        self._check_not_noticing()
        if self._course.answered != STREAMING and not self._course.bodiless:
            raise RuntimeError("no answer in pieces is under way: call start_response first")
