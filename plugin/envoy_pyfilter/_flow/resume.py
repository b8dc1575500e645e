# SPDX-License-Identifier: Apache-2.0
"""How what a filter holds goes on, on the worker or from another thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from envoy_pyfilter.errors import StreamGone

from .hooks import Hooks
from .mailbox import Task
from .state import COMPLETE, GONE, NOTICING, ROUTABLE
from .steps import REQUEST

if TYPE_CHECKING:
    from envoy_pyfilter.stream import Stream


class Flow(Hooks):
    """All layers below ``Stream``; their methods are not for filters."""

    __slots__ = ()

    def _resume(self, side: int) -> None:
        if self._came & GONE:
            raise StreamGone("the stream has ended")
        on_worker = self._host.on_worker()
        if on_worker:
            self._check_here()  # the end may have come where no stack was left to tell it here
        if on_worker and not self._inside & NOTICING:
            self._resume_here(side, cast("Stream", self))
        elif not self._came & COMPLETE:
            self._post(Task(partial(self._resume_here, side), of_user=False))

    def _resume_here(self, side: int, _stream: Stream) -> None:
        if self._inside & side:
            self._own().resumed |= side
            return
        course = self._course
        held = (course.paused | course.buffering) & side
        if not held or course.answered or self._came & COMPLETE:
            return
        if course.failed and self._denies() and not course.let_through:
            self._deny()
            return
        course.paused &= ~side
        course.buffering &= ~side
        if course.waiting & side and not self._replay(side):
            return
        if side == REQUEST:
            self._came &= ~ROUTABLE
            self._host.resume_request()
        else:
            self._host.resume_response()
        self._forget()

    def _replay(self, side: int) -> bool:
        """
        Run the hooks that waited behind a pause at the headers; true when all of them let go.

        Envoy could call them itself (StopAllIteration), but only within the resume; and then it
        takes no notice of a second resume if one of them pauses again.
        """
        course = self._own()
        late = {step: end for step, end in course.late.items() if step.side == side}
        course.waiting &= ~side
        course.replaying |= side
        try:
            with self._host.waiting_hooks(response=side != REQUEST):
                for step, end in late.items():
                    del course.late[step]
                    self._host.late_begins(step.number)
                    status = self._run(step, getattr(self._filter, step.hook), end)
                    self._host.late_ends(step.number, status)
        finally:
            course.replaying &= ~side
        held = (course.paused | course.buffering) & side
        return not (held or course.answered or self._came & (COMPLETE | GONE))
