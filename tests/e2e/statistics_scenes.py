# SPDX-License-Identifier: Apache-2.0
"""The scenes in which native ext_proc and a Python filter are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import Answer, Request
from .statistics_acts import PASS, PHASES, Act

HEADERS = {"request_headers": PASS, "response_headers": PASS}
EVERYTHING = dict.fromkeys(PHASES, PASS)
NO_TRAILERS = {phase: PASS for phase in PHASES if not phase.endswith("trailers")}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is sent, what is done with it, and how it ends."""

    acts: Mapping[str, Act] = field(default_factory=lambda: EVERYTHING)
    buffered: bool = False
    request: Request = field(default_factory=Request)
    answer: Answer = field(default_factory=Answer)
    allow: bool = False  # a failure passes
    native: Mapping[str, Any] = field(default_factory=dict)  # more of the native filter's config
    stat_prefix: str = ""
    disabled: bool = False  # the filter, on the route
    lines: int = 1  # of Envoy's access log; the last one counts
    path: bytes = b""  # another than the answer's
    reaches_upstream: bool = True
    gone_after_sending: int = 0  # steps after which the client leaves
    gone_after_answering: int = 0
    both_protocols: bool = False

    @property
    def protocols(self) -> tuple[str, ...]:
        """Over which it is played."""
        return ("HTTP/1.1", "HTTP/2") if self.both_protocols else ("HTTP/1.1",)

    @property
    def holds(self) -> bool:
        """Whether a call stays without an answer."""
        return any(act.holds for act in self.acts.values())


TRAILERS = [(b"x-last", b"1")]
POST = Request(method=b"POST", headers=[(b"te", b"trailers")], body=[b"one"], trailers=TRAILERS)
FULL = Answer(body=[b"uno"], trailers=[(b"x-end", b"2")])
MANY = Request(method=b"POST", body=[b"one", b"two", b"three", b"four"])
MUCH = Answer(body=[b"uno", b"dos", b"tres"])
NO_BODY = Answer(status=204, body=())
LENGTH = Request(method=b"POST", headers=[(b"content-length", b"3")], body=[b"one"])
SHORT = Answer(headers=[(b"content-length", b"3")], body=[b"uno"])


def doing(phase: str, act: Act, **others: Act) -> dict[str, Act]:
    """Every phase is asked for; this one does something."""
    return {**EVERYTHING, phase: act, **others}


def _failures() -> dict[str, Scene]:
    return {
        f"{phase} fails, {'allowed' if allow else 'denied'}": Scene(
            acts=doing(phase, Act(fails=True)), request=POST, answer=FULL, allow=allow
        )
        for phase in PHASES
        for allow in (False, True)
    }


SCENES: dict[str, Scene] = {
    # --- traffic ---
    "headers only": Scene(acts=HEADERS, both_protocols=True),
    "no bodies": Scene(answer=NO_BODY, both_protocols=True),
    "a response of one chunk": Scene(),
    "lengths known": Scene(acts=NO_TRAILERS, request=LENGTH, answer=SHORT),
    "an empty body": Scene(request=Request(method=b"POST", body=[b""])),
    "one chunk": Scene(request=Request(method=b"POST", body=[b"one"]), both_protocols=True),
    "many chunks": Scene(request=MANY, answer=MUCH, both_protocols=True),
    "buffered: no bodies": Scene(buffered=True, acts=NO_TRAILERS, answer=NO_BODY),
    "buffered: lengths known": Scene(buffered=True, acts=NO_TRAILERS, request=LENGTH, answer=SHORT),
    "buffered: one chunk": Scene(
        buffered=True, acts=NO_TRAILERS, request=Request(method=b"POST", body=[b"one"])
    ),
    "buffered: many chunks": Scene(
        buffered=True, acts=NO_TRAILERS, request=MANY, answer=MUCH, both_protocols=True
    ),
    "trailers": Scene(request=POST, answer=FULL, both_protocols=True),
    "trailers alone": Scene(
        acts={"request_trailers": PASS, "response_trailers": PASS}, request=POST, answer=FULL
    ),
    "buffered: trailers": Scene(buffered=True, request=POST, answer=FULL),
    "HEAD": Scene(request=Request(method=b"HEAD")),
    "nothing asked": Scene(acts={}, request=POST, answer=FULL),
    "the response alone": Scene(
        acts={"response_headers": PASS, "response_body": PASS}, request=MANY, answer=MUCH
    ),
    "a body alone": Scene(acts={"request_body": PASS}, request=MANY, answer=MUCH),
    # --- mutations ---
    "headers are set": Scene(
        acts={
            "request_headers": Act(sets=("x-new", "1")),
            "response_headers": Act(sets=("x-new", "1")),
        },
    ),
    "trailers are set": Scene(
        acts={
            "request_trailers": Act(sets=("x-new", "1")),
            "response_trailers": Act(sets=("x-new", "1")),
        },
        request=POST,
        answer=FULL,
    ),
    "a header is removed": Scene(
        acts={"request_headers": Act(removes="te"), "response_headers": PASS}, request=POST
    ),
    "nothing is removed": Scene(acts={**HEADERS, "request_headers": Act(removes="x-none")}),
    "bodies are replaced": Scene(
        acts=doing("request_body", Act(body=b"new"), response_body=Act(body=b"new")),
        request=MANY,
        answer=MUCH,
    ),
    "buffered: bodies are replaced": Scene(
        buffered=True,
        acts={**NO_TRAILERS, "request_body": Act(body=b"new"), "response_body": Act(body=b"new")},
        request=MANY,
        answer=MUCH,
    ),
    "bodies are emptied": Scene(
        acts=doing("request_body", Act(body=b""), response_body=Act(body=b"")),
        request=MANY,
        answer=MUCH,
    ),
    "buffered: a header is set with the body": Scene(
        buffered=True,
        acts={**NO_TRAILERS, "request_body": Act(sets=("x-new", "1"))},
        request=MANY,
    ),
    "a request header is refused": Scene(
        acts={**HEADERS, "request_headers": Act(sets=("x-new", "a\nb"))}
    ),
    "a response header is refused": Scene(
        acts={**HEADERS, "response_headers": Act(sets=("x-new", "a\nb"))}
    ),
    "a request trailer is refused": Scene(
        acts=doing("request_trailers", Act(sets=("x-new", "a\nb"))), request=POST
    ),
    "a refused header, allowed": Scene(
        acts={**HEADERS, "request_headers": Act(sets=("x-new", "a\nb"))}, allow=True
    ),
    "a header too large": Scene(
        acts={**HEADERS, "request_headers": Act(sets=("x-new", "a" * 70_000))}
    ),
    "a refused header is forgiven": Scene(
        acts={**HEADERS, "request_headers": Act(sets=("host", ""), forgives=True)}
    ),
    # --- answers ---
    "a reply to request headers": Scene(
        acts=doing("request_headers", Act(reply=403)), request=POST, both_protocols=True
    ),
    "a reply to a request body": Scene(acts=doing("request_body", Act(reply=403)), request=POST),
    "a reply to request trailers": Scene(
        acts=doing("request_trailers", Act(reply=403)), request=POST
    ),
    "a reply to response headers": Scene(
        acts=doing("response_headers", Act(reply=502)), answer=MUCH, both_protocols=True
    ),
    "buffered: a reply to a response body": Scene(
        buffered=True, acts={**NO_TRAILERS, "response_body": Act(reply=502)}, answer=MUCH
    ),
    "a reply to a response body": Scene(acts=doing("response_body", Act(reply=502)), answer=MUCH),
    "a reply to response trailers": Scene(
        acts=doing("response_trailers", Act(reply=502)), answer=FULL
    ),
    # --- failures ---
    **_failures(),
    **{
        f"{what} answer to {phase}, {'allowed' if allow else 'denied'}": Scene(
            acts={**HEADERS, phase: act}, native=native, allow=allow
        )
        for what, act, native in (
            ("an odd", Act(odd=True), {}),
            ("a late", Act(late=True), {"message_timeout": "0.4s"}),
        )
        for phase in HEADERS
        for allow in (False, True)
    },
    # --- others ---
    "a prefix": Scene(acts=HEADERS, stat_prefix="inner"),
    "a prefix with a dot": Scene(acts=HEADERS, stat_prefix="in.ner."),
    "disabled on the route": Scene(disabled=True),
    "an internal redirect": Scene(
        acts={**HEADERS, "request_body": PASS},
        request=Request(method=b"POST", body=[b"one"]),
        answer=Answer(status=307, headers=[(b"location", b"http://e2e.test/bytes/5")], body=()),
        lines=2,
    ),
    "Envoy answers": Scene(path=b"/direct", reaches_upstream=False),
    "the upstream refuses": Scene(path=b"/refused", reaches_upstream=False, both_protocols=True),
    "the upstream resets": Scene(answer=Answer(reset="before_headers")),
    "the upstream stops amid the body": Scene(
        answer=Answer(reset="in_body", body=[b"one", b"two"])
    ),
    "the client leaves the upstream waiting": Scene(
        request=POST, gone_after_sending=3, both_protocols=True
    ),
    "the client leaves amid its body": Scene(request=MANY, gone_after_sending=3),
    "the client leaves amid the response": Scene(answer=MUCH, gone_after_answering=2),
    "the client leaves amid a call": Scene(
        acts=doing("request_headers", Act(holds=True)), gone_after_sending=1, both_protocols=True
    ),
}
