# SPDX-License-Identifier: Apache-2.0
"""The way from other threads to a stream's worker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from envoy_pyfilter.errors import StreamGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from envoy_pyfilter._host import Scheduler
    from envoy_pyfilter.stream import Stream


class Task(NamedTuple):
    """Something to do on the worker."""

    run: Callable[[Stream], object]
    of_user: bool  # never run for a stream that has failed


class Mailbox:
    """
    Tasks for one stream, and Envoy's scheduler that wakes it.

    The lock is what keeps a thread from using the scheduler while the worker gives it back. It is
    held for nothing but a list's change and the scheduler's ``commit`` and ``delete``.
    """

    __slots__ = ("_closed", "_lock", "_scheduler", "_tasks")

    def __init__(self) -> None:
        """Start without a scheduler: tasks wait."""
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._scheduler: Scheduler | None = None
        self._closed = False

    @property
    def attached(self) -> bool:
        """Whether tasks can wake the worker."""
        return self._scheduler is not None

    @property
    def waiting(self) -> bool:
        """Whether there are tasks that nobody was woken for."""
        return bool(self._tasks) and self._scheduler is None

    def put(self, task: Task) -> None:
        """
        Add a task, and wake the worker if that is possible; any thread.

        Raises ``StreamGone`` when the stream has ended.
        """
        with self._lock:
            if self._closed:
                raise StreamGone("the stream has ended")
            self._tasks.append(task)
            # One event brings all tasks, so threads cannot flood the worker with events.
            if self._scheduler is not None and len(self._tasks) == 1:
                self._scheduler.commit(0)

    def withdraw(self, task: Task) -> bool:
        """Take a task back; false when it is no longer there."""
        with self._lock:
            for index, other in enumerate(self._tasks):
                if other is task:
                    del self._tasks[index]
                    return True
            return False

    def attach(self, scheduler: Scheduler) -> None:
        """From now on tasks wake the worker; those that wait do so at once."""
        with self._lock:
            self._scheduler = scheduler
            if self._tasks:
                scheduler.commit(0)

    def take(self) -> list[Task]:
        """All tasks, oldest first; on the worker."""
        with self._lock:
            tasks, self._tasks = self._tasks, []
            return tasks

    def close(self) -> None:
        """Give the scheduler back and drop what waits: the stream has ended."""
        with self._lock:
            self._closed = True
            self._tasks = []
            scheduler, self._scheduler = self._scheduler, None
            if scheduler is not None:
                scheduler.delete()
