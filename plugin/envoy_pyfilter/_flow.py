# SPDX-License-Identifier: Apache-2.0
"""
One HTTP stream's way through its filter: hooks in, verdicts settled, Envoy's statuses out.

Rule 1: every way in which a hook can go wrong is settled in this file, once for each stream.
Rule 2: this file does not know about C; it asks the proxy through ``Host``.
Rule 3: a call to the proxy may come back here, and may even end the stream, before it returns.
Rule 4: a failed stream never enters its filter again. Under ``deny`` nothing passes after that.

How a hook goes:

1. ``_hooks.py`` calls ``_request_headers`` and the like, on the stream's worker.
2. ``_early`` answers for streams that were answered or have failed, without the filter.
3. The filter's hook runs and returns a verdict, or raises.
4. ``_settle`` turns the verdict into Envoy's status, or ``_fail`` does so for an exception.
5. Tasks that other threads left meanwhile get a scheduler that wakes the worker for them.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ._host import BodyKind, HeaderMap, Host
from ._mailbox import Mailbox, Task
from ._text import HeaderPairs, header_pairs
from .errors import PyFilterError, StreamGone
from .verdict import (
    BUFFER,
    PASS,
    PAUSE,
    BodyStatus,
    Decision,
    HeadersStatus,
    LocalReply,
    LocalReplyStatus,
    Reply,
    ResetReason,
    TrailersStatus,
    grpc_headers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .body import Body
    from .filter import Filter
    from .headers import Headers
    from .stream import Stream

log: Final = logging.getLogger("envoy_pyfilter")

REQUEST: Final = 1
RESPONSE: Final = 2
_BOTH: Final = REQUEST | RESPONSE

# How far this filter has answered the stream itself.
_UNANSWERED: Final = 0
_STREAMING: Final = 1  # a reply in pieces is under way
_ANSWERED: Final = 2

_FAILED: Final = Reply(500, grpc_status=13, details="python_filter_failed")

_CREATING: Final = threading.Lock()  # guards the making of a mailbox, nothing else


class Step(NamedTuple):
    """A hook's name, its side of the stream, and Envoy's statuses for what can come out of it."""

    hook: str
    side: int
    pause: int
    buffer: int
    stop: int
    first: bool = False


def _steps(side: int, name: str) -> tuple[Step, Step, Step]:
    headers, body, trailers = HeadersStatus, BodyStatus, TrailersStatus
    return (
        Step(
            f"on_{name}_headers",
            side,
            int(headers.STOP_ITERATION),
            int(headers.STOP_ITERATION),
            int(headers.STOP_ITERATION),
            first=True,
        ),
        Step(
            f"on_{name}_body",
            side,
            int(body.STOP_ITERATION_AND_WATERMARK),
            int(body.STOP_ITERATION_AND_BUFFER),
            int(body.STOP_ITERATION_NO_BUFFER),
        ),
        Step(
            f"on_{name}_trailers",
            side,
            int(trailers.STOP_ITERATION),
            int(trailers.CONTINUE),
            int(trailers.STOP_ITERATION),
        ),
    )


_REQUEST_HEADERS, _REQUEST_BODY, _REQUEST_TRAILERS = _steps(REQUEST, "request")
_RESPONSE_HEADERS, _RESPONSE_BODY, _RESPONSE_TRAILERS = _steps(RESPONSE, "response")
_SCHEDULED: Final = Step("run_on_worker", 0, 0, 0, 0)


class Flow:
    """The half of ``Stream`` that the proxy drives; its methods are not for filters."""

    __slots__ = (
        "_answered",
        "_answering",
        "_body",
        "_buffering",
        "_complete",
        "_data",
        "_depth",
        "_failed",
        "_filter",
        "_gone",
        "_host",
        "_inside",
        "_late",
        "_let_through",
        "_mailbox",
        "_maps",
        "_noticing",
        "_paused",
        "_replaying",
        "_resumed",
        "_routable",
        "_waiting",
    )

    def __init__(self, host: Host, filter: Filter) -> None:  # noqa: A002 (the word for it)
        """Made by ``_hooks`` (or a test) for each stream."""
        self._host = host
        self._filter = filter
        self._depth = 0  # hooks on the stack
        self._noticing = 0  # hooks on the stack that decide nothing
        self._inside = 0  # sides whose hook is on the stack
        self._paused = 0  # sides that wait for resume
        self._buffering = 0  # sides whose body is collected
        self._waiting = 0  # sides paused at their headers: what follows waits, too
        self._late: dict[Step, tuple[bool, ...]] = {}  # hooks that wait, and their end_of_stream
        self._replaying = 0  # sides whose waiting hooks run now
        self._resumed = 0  # sides that were resumed before their hook returned
        self._answered = _UNANSWERED
        self._routable = False  # the request's headers are here, so its route can be chosen anew
        self._answering = False  # somebody else's response has come
        self._failed = False
        self._let_through = False  # failed while somebody else's reply passes: let it pass
        self._complete = False
        self._gone = False
        self._mailbox: Mailbox | None = None
        self._maps: dict[HeaderMap, Headers] = {}
        self._body: dict[int, Body] = {}
        self._data: dict[str, Any] | None = None

    # --- what _hooks.py calls ---

    def _request_headers(self, end: bool) -> int:
        self._routable = True
        return self._run(_REQUEST_HEADERS, self._filter.on_request_headers, end)

    def _request_body(self, end: bool) -> int:
        return self._run(_REQUEST_BODY, self._filter.on_request_body, end)

    def _request_trailers(self) -> int:
        return self._run(_REQUEST_TRAILERS, self._filter.on_request_trailers)

    def _response_headers(self, end: bool) -> int:
        self._answering = True
        return self._run(_RESPONSE_HEADERS, self._filter.on_response_headers, end)

    def _response_body(self, end: bool) -> int:
        return self._run(_RESPONSE_BODY, self._filter.on_response_body, end)

    def _response_trailers(self) -> int:
        return self._run(_RESPONSE_TRAILERS, self._filter.on_response_trailers)

    def _local_reply(self, status: int, details: bytes, reset_imminent: bool) -> int:
        self._answering = True
        self._routable = False
        reply = LocalReply(
            status=status, details=details.decode("latin-1"), reset_imminent=reset_imminent
        )
        if not self._notify("on_local_reply", self._filter.on_local_reply, reply):
            self._let_through = True
        return int(LocalReplyStatus.CONTINUE)

    def _stream_complete(self) -> None:
        self._complete = True
        self._routable = False
        self._notify("on_stream_complete", self._filter.on_stream_complete)

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
            if not (self._gone or (self._failed and task.of_user)):
                self._perform(task)

    def _destroyed(self) -> None:
        self._gone = True
        if self._mailbox is not None:
            self._mailbox.close()
        self._forget()
        self._body.clear()  # they know the stream: no circle may keep it alive

    # --- one hook ---

    def _run(self, step: Step, hook: Callable[..., object], *end: bool) -> int:
        if self._answered or self._failed:
            status = self._early(step)
            if status is not None:
                return status
        if self._waiting & step.side:
            self._late[step] = end
            return step.pause
        outer = self._enter(step.side)
        try:
            verdict = hook(self, *end)
            return self._settle(step, verdict, end != (False,))
        except BaseException as error:
            return self._fail(step, error)
        finally:
            self._resumed &= ~step.side
            self._routable = self._routable and self._holds(request=True)
            self._leave(outer)

    def _notify(self, name: str, hook: Callable[..., object], *event: object) -> bool:
        """
        Run a hook that decides nothing; false when the stream has failed.

        Envoy is amid something then, writing or answering, and would not survive that we answer,
        reset or resume. What a filter asks for meanwhile happens after that, or is refused.
        """
        if self._failed:
            return False
        outer = self._enter(0)
        self._noticing += 1
        try:
            result = hook(self, *event)
            if result is not None and result is not PASS:
                raise _unexpected(name, result, "None")  # noqa: TRY301 (as if the hook had)
        except BaseException as error:
            self._note_failure(name, error)
        finally:
            self._noticing -= 1
            self._leave(outer)
        return not self._failed

    def _perform(self, task: Task) -> None:
        outer = self._enter(0)
        try:
            task.run(cast("Stream", self))
        except BaseException as error:
            self._fail(_SCHEDULED, error)
        finally:
            self._leave(outer)

    def _enter(self, side: int) -> int:
        outer = self._inside
        self._inside |= side
        self._depth += 1
        self._forget()
        return outer

    def _leave(self, outer: int) -> None:
        self._inside = outer
        self._depth -= 1
        self._forget()
        mailbox = self._mailbox
        if mailbox is not None and mailbox.waiting and not (self._depth or self._gone):
            try:
                self._open_mailbox()
            except PyFilterError:  # the stream has just ended
                mailbox.close()

    def _forget(self) -> None:
        """Others may have changed the headers: the next read asks the proxy."""
        for headers in self._maps.values():
            headers._forget()

    # --- verdicts ---

    def _early(self, step: Step) -> int | None:
        """Return the status of a hook that the filter is not asked about; ``None``: ask it."""
        if self._answered and step.side == RESPONSE:
            return 0  # our own reply on its way out (1.38 shows us a streamed one)
        if self._answered == _ANSWERED:
            return step.stop
        if not self._failed:
            return None
        return self._follow_policy(step)

    def _settle(self, step: Step, verdict: object, end: bool) -> int:
        if self._failed:  # in a hook that ran within this one
            return self._follow_policy(step)
        if isinstance(verdict, Reply):
            self._answer(verdict)
            return step.stop
        if verdict is not None and not isinstance(verdict, Decision):
            raise _unexpected(step.hook, verdict, "None, PASS, PAUSE, BUFFER or a Reply")
        if self._answered or self._gone:
            return step.stop
        return self._hold(step, verdict, end)

    def _hold(self, step: Step, verdict: Decision | None, end: bool) -> int:
        """Return the status of a verdict that is no reply. A pause ends by resume alone."""
        side = step.side
        if self._resumed & side:
            self._paused &= ~side
            verdict = PASS if verdict is PAUSE else verdict
        if verdict is PAUSE or self._paused & side:
            self._paused |= side
            self._waiting |= side if step.first else 0
            self._open_mailbox()
            return step.pause
        if verdict is BUFFER and not end:
            self._buffering |= side
            self._open_mailbox()
            return step.buffer
        if self._buffering & side and step is _RESPONSE_BODY and self._outgrown():
            self._reset(ResetReason.LOCAL_RESET, "response_payload_too_large")
            return step.stop
        self._buffering &= ~side
        return 0

    def _outgrown(self) -> bool:
        """
        Whether letting a buffered response go would take more than Envoy may buffer.

        Envoy resets such a stream when its headers have gone on, and goes on with it all the same,
        which ends the process (seen up to 1.40). So the stream is reset before that.
        """
        limit = self._host.buffer_limit()
        size = self._host.body_size(BodyKind.BUFFERED_RESPONSE)
        size += self._host.body_size(BodyKind.RECEIVED_RESPONSE)
        return 0 < limit < size and self._host.response_begun()

    def _hold_nothing(self) -> None:
        self._paused = self._buffering = self._waiting = 0
        self._routable = False

    def _check_routable(self) -> None:
        self._check_here()
        if not self._routable:
            raise RuntimeError("the request's headers have gone on: its route is chosen")

    def _holds(self, *, request: bool) -> bool:
        """Whether this filter holds that side's body back."""
        return bool((self._paused | self._buffering) & (REQUEST if request else RESPONSE))

    # --- failures ---

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
        harmless = self._gone and isinstance(error, StreamGone)
        if harmless or self._failed:
            _log_quietly(logging.DEBUG, "%s of %s: %s", hook, self._filter, error)
            return not harmless
        self._failed = True
        _log_quietly(logging.ERROR, "%s of %s raised", hook, self._filter, error)
        try:
            self._host.hook_failed(hook)
        except BaseException as problem:
            _log_quietly(logging.DEBUG, "%s of %s: %s", hook, self._filter, problem)
        return True

    def _denies(self) -> bool:
        return self._filter._on_error != "allow"

    def _follow_policy(self, step: Step) -> int:
        """Do what ``on_error`` says about a failed stream at this step."""
        if self._gone or self._complete or self._answered == _ANSWERED:
            return step.stop
        if self._answered == _STREAMING:  # nobody will end that reply
            self._abandon()
            return step.stop
        if self._denies() and not self._let_through:
            self._deny()
            return step.stop
        self._let_go(step.side)
        return 0

    def _deny(self) -> None:
        try:
            self._answer(_FAILED)
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "reply", self._filter, error)
            self._abandon()

    def _abandon(self) -> None:
        self._answered = _ANSWERED
        try:
            self._host.reset(ResetReason.LOCAL_RESET, b"python_filter_failed")
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "reset", self._filter, error)

    def _let_go(self, side: int) -> None:
        """Let go of what the filter held; *side* goes on by the hook's status."""
        held = (self._paused | self._buffering) & ~(side | self._inside)
        self._hold_nothing()
        if self._complete or self._let_through:
            return
        try:
            if held & REQUEST:
                self._host.resume_request()
            if held & RESPONSE:
                self._host.resume_response()
        except BaseException as error:
            _log_quietly(logging.DEBUG, "%s of %s: %s", "resume", self._filter, error)

    # --- answers ---

    def _answer(self, reply: Reply) -> None:
        self._check_unanswered()
        self._answered = _ANSWERED
        self._hold_nothing()
        headers, body = header_pairs(reply.headers), _body_of(reply)
        if self._is_grpc():
            headers, body = [*headers, *grpc_headers(reply)], b""
        self._host.reply(reply.status, headers, body, _details(reply.details))
        self._forget()

    def _answer_late(self, reply: Reply, _stream: Stream) -> None:
        if self._answered or self._complete:
            log.debug("reply %d came too late: the stream has been answered", reply.status)
        else:
            self._answer(reply)

    def _start_answer(self, status: int, headers: HeaderPairs, *, end_of_stream: bool) -> None:
        self._check_unanswered()
        if self._answering or self._host.response_begun():
            raise RuntimeError("a response is here already: only reply() or reset() can end it")
        pairs = [(b":status", b"%d" % status), *header_pairs(headers)]
        self._answered = _ANSWERED if end_of_stream else _STREAMING
        self._hold_nothing()
        self._host.reply_headers(pairs, end_of_stream=end_of_stream)
        self._forget()

    def _reset(self, reason: ResetReason, details: str) -> None:
        self._check_here()
        if self._answered != _STREAMING:
            self._check_unanswered()
        self._check_not_noticing()
        self._answered = _ANSWERED
        self._hold_nothing()
        self._host.reset(reason, _details(details))
        self._forget()

    def _check_here(self) -> None:
        """Raise ``StreamGone`` or ``WrongThread`` before anything of the stream is changed."""
        self._host.worker_index()

    def _check_unanswered(self) -> None:
        self._check_here()
        if self._complete:
            raise RuntimeError("the stream is complete: nobody is left to answer")
        if self._answered:
            raise RuntimeError("the stream has been answered already")
        self._check_not_noticing()

    def _check_not_noticing(self) -> None:
        if self._noticing:
            raise RuntimeError("not in this hook: leave it to stream.run_on_worker")

    def _is_grpc(self) -> bool:
        types = self._host.header_values(HeaderMap.REQUEST_HEADERS, b"content-type")
        return bool(types) and types[0].startswith(b"application/grpc")

    # --- resuming, and the way from other threads ---

    def _resume(self, side: int) -> None:
        if self._gone:
            raise StreamGone("the stream has ended")
        if self._host.on_worker() and not self._noticing:
            self._resume_here(side, cast("Stream", self))
        elif not self._complete:
            self._post(Task(partial(self._resume_here, side), of_user=False))

    def _resume_here(self, side: int, _stream: Stream) -> None:
        if self._inside & side:
            self._resumed |= side
            return
        held = (self._paused | self._buffering) & side
        if not held or self._answered or self._complete:
            return
        if self._failed and self._denies() and not self._let_through:
            self._deny()
            return
        self._paused &= ~side
        self._buffering &= ~side
        if self._waiting & side and not self._replay(side):
            return
        if side == REQUEST:
            self._routable = False
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
        late = {step: end for step, end in self._late.items() if step.side == side}
        self._waiting &= ~side
        self._replaying |= side
        try:
            for step, end in late.items():
                del self._late[step]
                self._run(step, getattr(self._filter, step.hook), *end)
        finally:
            self._replaying &= ~side
        held = (self._paused | self._buffering) & side
        return not (held or self._answered or self._complete or self._gone)

    def _replays(self, *, request: bool) -> bool:
        """Whether what was received lies in Envoy's buffer, because its hook had to wait."""
        return bool(self._replaying & (REQUEST if request else RESPONSE))

    def _post(self, task: Task) -> None:
        """
        Leave a task for the worker; any thread.

        While a hook is on the stack the task may wait: ``_leave`` looks for it after it has
        counted the hook out, and here we look at the count after the task is in.
        """
        mailbox = self._made_mailbox()
        mailbox.put(task)
        if mailbox.attached or self._depth or not mailbox.withdraw(task):
            return
        if self._gone:
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


def _body_of(reply: Reply) -> bytes:
    return reply.body.encode("utf-8", "replace") if isinstance(reply.body, str) else reply.body


def _details(text: str) -> bytes:
    """Response code details: Envoy wants them without blanks."""
    return "_".join(text.split()).encode("utf-8", "replace")


def _unexpected(hook: str, result: object, expected: str) -> TypeError:
    return TypeError(f"{hook} must return {expected}, got {type(result).__name__}")


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
