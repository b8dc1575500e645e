# SPDX-License-Identifier: Apache-2.0
"""What happens in a hook: who is asked, what may come back, and which status Envoy gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from envoy_pyfilter._host import RESPONSE_BODY as RESPONSE_BODY_PART
from envoy_pyfilter.errors import PyFilterError
from envoy_pyfilter.verdict import (
    BUFFER,
    PASS,
    PAUSE,
    Decision,
    LocalReply,
    LocalReplyStatus,
    Reply,
    ResetReason,
)

from .codes import NoVerdictError
from .state import (
    ANSWERED,
    ANSWERING,
    COMPLETE,
    GONE,
    NOTICING,
    PLAIN,
    ROUTABLE,
    TASK,
    TOO_LARGE,
)
from .steps import (
    REQUEST_BODY,
    REQUEST_HEADERS,
    REQUEST_TRAILERS,
    RESPONSE,
    RESPONSE_BODY,
    RESPONSE_HEADERS,
    RESPONSE_TRAILERS,
    SCHEDULED,
    Step,
)
from .threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy_pyfilter.stream import Stream

    from .mailbox import Mailbox, Task


class Hooks(Threads):
    """The half of ``Stream`` that the proxy drives."""

    __slots__ = ()

    # --- what _hooks.py calls ---

    def _request_headers(self, end: bool) -> int:
        self._came |= ROUTABLE
        return self._run(REQUEST_HEADERS, self._filter.on_request_headers, end)

    def _request_body(self, end: bool) -> int:
        return self._run(REQUEST_BODY, self._filter.on_request_body, end)

    def _request_trailers(self) -> int:
        return self._run(REQUEST_TRAILERS, self._filter.on_request_trailers, None)

    def _response_headers(self, end: bool) -> int:
        self._came |= ANSWERING
        return self._run(RESPONSE_HEADERS, self._filter.on_response_headers, end)

    def _response_body(self, end: bool) -> int:
        return self._run(RESPONSE_BODY, self._filter.on_response_body, end)

    def _response_trailers(self) -> int:
        return self._run(RESPONSE_TRAILERS, self._filter.on_response_trailers, None)

    def _local_reply(self, status: int, details: bytes, reset_imminent: bool) -> int:
        self._came = (self._came | ANSWERING) & ~ROUTABLE
        reply = LocalReply(
            status=status, details=details.decode("latin-1"), reset_imminent=reset_imminent
        )
        self._notify("on_local_reply", self._filter.on_local_reply, reply)
        if self._course.failed:
            self._own().let_through = True
        return int(LocalReplyStatus.CONTINUE)

    def _stream_complete(self) -> bool:
        """Return whether nothing is left to do at the stream's end."""
        self._came |= COMPLETE
        if self._course.failed:
            self._leave(self._inside)
        else:
            outer = self._inside
            self._inside = outer | NOTICING
            host = self._host
            if host.cached:
                self._forget_read()
            try:
                result = self._filter.on_stream_complete(self)  # type: ignore[arg-type,func-returns-value]
                if result is not None:
                    _check_nothing("on_stream_complete", result)
            except BaseException as error:
                self._note_failure("on_stream_complete", error)
            finally:
                self._inside = outer  # as in `_leave`, which costs a frame
                host.learning = None
                if host.given:
                    host.given.clear()
                if host.cached or self._mailbox is not None:
                    self._leave(outer)
        if self._views is not None:
            self._views = None  # bodies know the stream: no circle may keep it alive
        return self._mailbox is None and not self._inside

    def _above_high_watermark(self) -> None:
        self._notify(
            "on_downstream_above_high_watermark", self._filter.on_downstream_above_high_watermark
        )

    def _below_low_watermark(self) -> None:
        self._notify(
            "on_downstream_below_low_watermark", self._filter.on_downstream_below_low_watermark
        )

    def _scheduled(self, event_id: int) -> None:  # noqa: ARG002 (one kind of event)
        mailbox = self._mailbox
        if mailbox is None:
            return
        for task in mailbox.take():
            if not (self._came & GONE or (self._course.failed and task.of_user)):
                self._perform(task)

    def _destroyed(self) -> None:
        self._came |= GONE
        if self._mailbox is not None:
            self._mailbox.close()
        self._forget()
        self._views = None  # bodies know the stream: no circle may keep it alive

    # --- one hook ---

    def _run(self, step: Step, hook: Callable[..., object], end: bool | None) -> int:
        """Run a hook that returns a status; *end*: of the stream, None for trailers."""
        outer = self._inside
        if self._course is not PLAIN:
            status = self._early(step, end)
            if status is not None:
                self._leave(outer)
                return status
        self._inside = outer | step.side
        host = self._host
        if host.cached:
            self._forget_read()
        try:
            verdict = hook(self) if end is None else hook(self, end)
            if verdict is None and self._course is PLAIN and not self._came & GONE:
                return 0  # most hooks: nothing is to be settled
            return self._settle(step, verdict, end is not False)
        except BaseException as error:
            return self._fail(step, error)
        finally:
            if self._course is not PLAIN:
                self._course.resumed &= ~step.side
            if self._came & ROUTABLE and (self._course is PLAIN or not self._holds(request=True)):
                self._came &= ~ROUTABLE
            self._inside = outer  # as in `_leave`, which costs a frame
            host.learning = None
            if host.given:
                host.given.clear()
            if host.cached or self._mailbox is not None:
                self._leave(outer)

    def _notify(
        self, name: str, hook: Callable[..., object], reply: LocalReply | None = None
    ) -> None:
        """
        Run a hook that decides nothing, unless the stream has failed.

        Envoy is amid something then, writing or answering, and would not survive that we answer,
        reset or resume. What a filter asks for meanwhile happens after that, or is refused.
        """
        if self._course.failed:
            self._leave(self._inside)
            return
        outer = self._inside
        self._inside = outer | NOTICING
        if self._host.cached:
            self._forget_read()
        try:
            result = hook(self) if reply is None else hook(self, reply)
            if result is not None:
                _check_nothing(name, result)
        except BaseException as error:
            self._note_failure(name, error)
        finally:
            self._leave(outer)

    def _perform(self, task: Task) -> None:
        outer = self._inside
        self._inside = outer | TASK
        self._forget()
        try:
            task.run(cast("Stream", self))
        except BaseException as error:
            self._fail(SCHEDULED, error)
        finally:
            self._leave(outer)

    def _leave(self, outer: int) -> None:
        """
        Leave a hook: what came with it, or was read in it, may change from here on.

        The same where the filter was not asked.
        """
        self._inside = outer
        host = self._host
        host.learning = None
        if host.given:
            host.given.clear()
        if host.cached:
            self._forget_read()
        if self._mailbox is not None:
            self._look_into_mailbox(self._mailbox)

    def _look_into_mailbox(self, mailbox: Mailbox) -> None:
        """Wake the worker for tasks that came while a hook ran, once the last hook is left."""
        if mailbox.waiting and not (self._inside or self._came & GONE):
            try:
                self._open_mailbox()
            except PyFilterError:  # the stream has just ended
                mailbox.close()

    # --- verdicts ---

    def _early(self, step: Step, end: bool | None) -> int | None:
        """Return the status of a hook that the filter is not asked about; ``None``: ask it."""
        course = self._course
        if course.answered and step.side == RESPONSE:
            return 0  # our own reply on its way out (1.38 shows us a streamed one)
        if course.answered == ANSWERED:
            return step.stop
        if course.failed:
            return self._follow_policy(step)
        if course.waiting & step.side:
            course.late[step] = end
            return step.pause
        return None

    def _settle(self, step: Step, verdict: object, end: bool) -> int:
        if self._course.failed:  # in a hook that ran within this one
            return self._follow_policy(step)
        if isinstance(verdict, Reply):
            self._answer(verdict)
            return step.stop
        if verdict is not None and not isinstance(verdict, Decision):
            raise _unexpected(step.hook, verdict, "None, PASS, PAUSE, BUFFER or a Reply")
        if self._course.answered or self._came & GONE:
            return step.stop
        return self._hold(step, verdict, end)

    def _hold(self, step: Step, verdict: Decision | None, end: bool) -> int:
        """Return the status of a verdict that is no reply. A pause ends by resume alone."""
        side = step.side
        if self._course.resumed & side:
            self._own().paused &= ~side
            verdict = PASS if verdict is PAUSE else verdict
        if verdict is PAUSE or self._course.paused & side:
            self._own().paused |= side
            self._own().waiting |= side if step.first else 0
            self._open_mailbox()
            return step.pause
        if verdict is BUFFER and not end:
            self._own().buffering |= side
            self._open_mailbox()
            return step.buffer
        if self._outgrown(step):
            self._host.change_refused(RESPONSE_BODY_PART, too_large=True)
            self._reset(ResetReason.LOCAL_RESET, TOO_LARGE)
            return step.stop
        if self._course is not PLAIN:
            self._course.buffering &= ~side
        return 0


def _check_nothing(hook: str, result: object) -> None:
    """Raise for what a hook that decides nothing returned, as if the hook had."""
    if result is not PASS:
        raise _unexpected(hook, result, "None")


def _unexpected(hook: str, result: object, expected: str) -> NoVerdictError:
    return NoVerdictError(f"{hook} must return {expected}, got {type(result).__name__}")
