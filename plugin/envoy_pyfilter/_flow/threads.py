# SPDX-License-Identifier: Apache-2.0
"""How other threads reach a stream: tasks in its mailbox, a scheduler that wakes its worker."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from envoy_pyfilter.errors import StreamGone
from envoy_pyfilter.verdict import Reply

from .failures import Failures, log
from .mailbox import Mailbox, Task
from .state import COMPLETE, GONE, NOTICING

if TYPE_CHECKING:
    from envoy_pyfilter.stream import Stream

_CREATING: Final = threading.Lock()  # guards the making of a mailbox, nothing else


class Threads(Failures):
    """Takes tasks from any thread."""

    __slots__ = ()

    def _answer_or_post(self, reply: Reply) -> None:
        if not isinstance(reply, Reply):
            raise TypeError(f"an answer must be a Reply, got {type(reply).__name__}")
        if not self._came & GONE and self._must_post():
            self._post(Task(partial(self._answer_late, reply), of_user=False))
        else:
            self._answer(reply)

    def _must_post(self) -> bool:
        """Whether a reply has to wait for its turn on the worker."""
        if not self._host.on_worker():
            return True
        over = self._course.answered or self._came & COMPLETE
        return bool(self._inside & NOTICING) and not over

    def _answer_late(self, reply: Reply, _stream: Stream) -> None:
        if self._course.answered or self._came & COMPLETE:
            log.debug("reply %d came too late: the stream has been answered", reply.status)
        else:
            self._answer(reply)

    def _post(self, task: Task) -> None:
        """
        Leave a task for the worker; any thread.

        While a hook is on the stack the task may wait: the hook looks for it after it has
        left ``_inside``, and here we look at that after the task is in.
        """
        mailbox = self._made_mailbox()
        mailbox.put(task)
        if mailbox.attached or self._inside or not mailbox.withdraw(task):
            return
        if self._came & GONE:
            raise StreamGone("the stream has ended")
        raise RuntimeError(
            "no way to the stream's worker: a hook must return PAUSE or BUFFER, or call"
            " stream.keep_reachable()"
        )

    def _made_mailbox(self) -> Mailbox:
        with _CREATING:
            if self._mailbox is None:
                self._mailbox = Mailbox()
            return self._mailbox

    def _open_mailbox(self) -> None:
        mailbox = self._made_mailbox()
        if not mailbox.attached:
            mailbox.attach(self._host.scheduler())
