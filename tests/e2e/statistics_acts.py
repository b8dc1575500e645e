# SPDX-License-Identifier: Apache-2.0
"""What is done with a message, said once: a processor and a Python filter do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PHASES = (
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
)
BODIES = ("request_body", "response_body")


@dataclass(frozen=True, kw_only=True)
class Act:
    """What is done with one message."""

    sets: tuple[str, str] | None = None  # a header, or a trailer
    removes: str = ""  # the same
    body: bytes | None = None  # what takes the body's place
    reply: int = 0  # the status of an answer in the upstream's place
    reply_body: bytes = b"no"
    fails: bool = False
    late: bool = False  # until native's timeout is over; a hook says so by TimeoutError
    odd: bool = False  # an answer that is none
    holds: bool = False  # for ever
    forgives: bool = False  # the hook catches that a header is refused


PASS = Act()


def hooks(acts: Mapping[str, Act], *, buffered: bool) -> dict[str, str]:
    """Give the hooks' texts, for ``filters.py``."""
    return {f"on_{phase}": _hook(phase, acts, buffered=buffered) for phase in acts}


def _hook(phase: str, acts: Mapping[str, Act], *, buffered: bool) -> str:
    side, _, part = phase.partition("_")
    act = acts[phase]
    lines = []
    if buffered and part == "body":
        lines.append("if not end_of_stream:\n    return BUFFER")
    lines += [*_failure(act), *_changes(side, part, act)]
    if act.reply:
        lines.append(f"return Reply({act.reply}, {act.reply_body!r})")
    if act.holds:
        lines.append("return PAUSE")
    if buffered and part == "headers" and f"{side}_body" in acts:
        lines.append("return PASS if end_of_stream else BUFFER")
    return "\n".join(lines)


def _failure(act: Act) -> list[str]:
    ways = {"raise RuntimeError": act.fails, "raise TimeoutError": act.late, "return 7": act.odd}
    return [way for way, wanted in ways.items() if wanted]


def _changes(side: str, part: str, act: Act) -> list[str]:
    names = f"stream.{side}_{'trailers' if part == 'trailers' else 'headers'}"
    lines = []
    if act.sets is not None:
        change = f"{names}.set({act.sets[0]!r}, {act.sets[1]!r})"
        lines.append(_forgiven(change) if act.forgives else change)
    if act.removes:
        lines.append(f"{names}.remove({act.removes!r})")
    if act.body is not None:
        lines.append(f"stream.{side}_body.replace({act.body!r})")
    return lines


def _forgiven(change: str) -> str:
    return f"try:\n    {change}\nexcept ValueError:\n    pass"
