# SPDX-License-Identifier: Apache-2.0
"""
What follows when a hook raises.

A failure is logged and counted once, and never leaves this file: whatever else goes wrong meanwhile
is told at debug level, because nothing that a filter raises may end Envoy.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from envoy_pyfilter._host import RESPONSE_BODY as RESPONSE_BODY_PART
from envoy_pyfilter.errors import StreamGone
from envoy_pyfilter.verdict import Reply, ResetReason

from .answers import Answers
from .codes import code_of
from .state import ANSWERED, COMPLETE, GONE, STREAMING, TOO_LARGE
from .steps import REQUEST, RESPONSE, SEAM_FAILED, Step

if TYPE_CHECKING:
    from envoy_pyfilter.filter import Filter

log: Final = logging.getLogger("envoy_pyfilter")

_FAILED: Final = Reply(500, grpc_status=13, details="python_filter_failed")


class Failures(Answers):
    """Marks a stream failed and does what ``on_error`` says."""

    __slots__ = ()

    def _fail(self, step: Step, error: BaseException) -> int:
        if not self._note_failure(step.hook, error):
            return step.stop
        return self._follow_policy(step)

    def _note_failure(self, hook: str, error: BaseException) -> bool:
        """
        Mark the stream failed, log and count it, once; false when it is no failure at all.

        ``StreamGone`` is none when the stream ended within the hook: a filter that replies and then
        touches its stream has done nothing that somebody should be woken for.
        """
        harmless = bool(self._came & GONE) and isinstance(error, StreamGone)
        if harmless or self._course.failed:
            _log_quietly(logging.DEBUG, "%s of %s: %s", hook, self._filter, error)
            return not harmless
        self._own().failed = True
        _log_quietly(logging.ERROR, "%s of %s raised", hook, self._filter, error)
        try:
            self._host.hook_failed(hook, code_of(error))
        except BaseException as problem:
            _log_quietly(logging.DEBUG, "%s of %s: %s", hook, self._filter, problem)
        return True

    def _denies(self) -> bool:
        return self._filter._on_error != "allow"

    def _follow_policy(self, step: Step) -> int:
        """Do what ``on_error`` says about a failed stream at this step."""
        if self._came & (GONE | COMPLETE) or self._course.answered == ANSWERED:
            return step.stop
        if self._course.answered == STREAMING:  # nobody will end that reply
            return self._stopped(step, self._abandon())
        if self._denies() and not self._course.let_through:
            return self._stopped(step, self._deny())
        if self._outgrown(step):
            self._host.change_refused(RESPONSE_BODY_PART, too_large=True)
            return self._stopped(step, self._abandon(TOO_LARGE))
        self._let_go(step.side)
        return 0

    def _stopped(self, step: Step, done: bool) -> int:
        """
        Return the status of a stream that was to be ended.

        Where that was not *done*, nothing could be said to the proxy from here, and C refuses.
        Without a status to tell it by, the next hook tries again.
        """
        if done or self._came & GONE or step.side == 0 or not self._denies():
            return step.stop
        self._own().answered = ANSWERED
        return SEAM_FAILED

    def _deny(self) -> bool:
        """Answer 500, or else reset; false when neither could be said."""
        try:
            self._answer(_FAILED)
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "reply", self._filter, error)
            return self._abandon()
        return True

    def _abandon(self, details: str = "python_filter_failed") -> bool:
        """Reset the stream; false when that could not be said."""
        try:
            self._tell(
                ANSWERED, partial(self._host.reset, ResetReason.LOCAL_RESET, details.encode())
            )
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "reset", self._filter, error)
            return False
        return True

    def _let_go(self, side: int) -> None:
        """Let go of what the filter held; *side* goes on by the hook's status."""
        held = (self._course.paused | self._course.buffering) & ~(side | self._inside)
        self._hold_nothing()
        if self._came & COMPLETE or self._course.let_through:
            return
        try:
            if held & REQUEST:
                self._host.resume_request()
            if held & RESPONSE:
                self._host.resume_response()
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "resume", self._filter, error)


def _log_quietly(level: int, message: str, hook: str, owner: Filter, error: BaseException) -> None:
    """Log, whatever happens: a log that fails must not fail the stream a second time."""
    try:
        name = type(owner).__qualname__
        if level >= logging.ERROR:
            log.log(level, message, hook, name, exc_info=error)
        else:
            log.log(level, message, hook, name, error)
    except BaseException:  # noqa: S110 (nowhere is left to tell)
        pass
