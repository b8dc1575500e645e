# SPDX-License-Identifier: Apache-2.0
"""
The differences from native ext_proc that are known, by the keys of the table in docs/statistics.md.

A difference that is not here fails, and so does one that is here and does not occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .statistics_acts import PHASES
from .statistics_scenes import HEADERS, SCENES

ALL = ("1.38.3", "1.39.3", "1.40.0")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What native tells at a place, and what ours tells, in some scenes; None: nothing."""

    key: str
    place: str
    native: object
    ours: object
    scenes: tuple[str, ...]
    releases: tuple[str, ...] = ALL


# Those in which our filter gets nothing from its hooks, though they are called.
_CHANGED = (
    "headers are set",
    "trailers are set",
    "a header is removed",
    "bodies are replaced",
    "buffered: bodies are replaced",
    "buffered: a header is set with the body",
    "a header too large",
)
_REPLIED = tuple(name for name in SCENES if "a reply to" in name)
_UNSAMPLED = "an odd answer to request_headers, allowed"
_NOTHING_CAME = (  # natively
    "nothing asked",
    "the client leaves amid a call",
    "disabled on the route",
    _UNSAMPLED,
    "a late answer to request_headers, denied",
    "a late answer to request_headers, allowed",
)
_UNCHANGED = tuple(name for name in SCENES if name not in (*_CHANGED, *_REPLIED, *_NOTHING_CAME))


def _last_answer() -> Iterator[Difference]:
    ones = ("a response of one chunk", "lengths known", "an empty body", "one chunk")
    many = ("many chunks", "the response alone", "bodies are replaced", "bodies are emptied")
    for seen, scenes in ((1, ones), (3, many)):
        yield Difference(
            key="last-answer",
            place="response_body",
            native=(seen, 0),
            ours=(seen + 1, 0),
            scenes=scenes,
        )


def _half_closed() -> Iterator[Difference]:
    for count, ending in ((1, "denied"), (2, "allowed")):
        yield Difference(
            key="half-closed",
            place="counter server_half_closed",
            native=count,
            ours=0,
            scenes=tuple(f"{phase} fails, {ending}" for phase in PHASES),
        )


def _late_headers() -> Iterator[Difference]:
    """1.39 sends headers on with the first body answer: the client can still get another reply."""
    for scene, status, body in (
        ("response_body fails, denied", 500, b""),
        ("a reply to a response body", 502, b"no"),
    ):
        for place, native, ours in (("status", status, 200), ("body", body, b"")):
            if native != ours:
                yield Difference(
                    key="late-headers",
                    place=place,
                    native=native,
                    ours=ours,
                    scenes=(scene,),
                    releases=("1.39.3",),
                )


def _late_answer() -> Iterator[Difference]:
    counters = {"message_timeouts": (1, 0), "streams_failed": (0, 1)}
    denied = {"counter streams_closed": (1, 0), "status": (504, 500)}
    for ending, more in (("denied", denied), ("allowed", {})):
        places = {f"counter {name}": pair for name, pair in counters.items()} | more
        for place, (native, ours) in places.items():
            yield Difference(
                key="timeout",
                place=place,
                native=native,
                ours=ours,
                scenes=tuple(f"a late answer to {phase}, {ending}" for phase in HEADERS),
            )


def _in(scene: str, key: str, **places: tuple[object, object]) -> Iterator[Difference]:
    for place, (native, ours) in places.items():
        where = place.replace("counter_", "counter ")
        yield Difference(key=key, place=where, native=native, ours=ours, scenes=(scene,))


_CUT = b"upstream connect error or disconnect/reset before headers. reset reason: "

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        key="bytes-received", place="bytes_received", native=True, ours=False, scenes=_UNCHANGED
    ),
    *_last_answer(),
    *_half_closed(),
    *_in("response_trailers fails, allowed", "failed-open-late", failed_open=(False, True)),
    *_late_headers(),
    *_in(
        "a refused header, allowed",
        "refused-allowed",
        status=(500, 200),
        body=(b"", b"hello"),
        failed_open=(False, True),
        counter_failure_mode_allowed=(0, 1),
        counter_immediate_responses_sent=(1, 0),
    ),
    *_in(
        "a header too large",
        "header-limit",
        status=(500, 503),
        body=(b"", _CUT + b"connection termination"),
        request_headers=(3, 0),
        response_headers=(None, 0),
        request_header_processing_effect=(3, 1),
        counter_rejected_header_mutations=(1, 0),
        counter_stream_msgs_sent=(1, 2),
        counter_stream_msgs_received=(1, 2),
        counter_immediate_responses_sent=(1, 0),
    ),
    *_late_answer(),
    *_in(_UNSAMPLED, "dropped-bytes", bytes_sent=(False, True)),
    *_in("an internal redirect", "redirect", request_body=((3, 0), (1, 0))),
    *_in("disabled on the route", "disabled", object=(True, False)),
)


def listed(scene: str, release: str) -> dict[str, tuple[object, object]]:
    """Give the differences of a scene by place; a place has one at most."""
    found = [one for one in DIFFERENCES if scene in one.scenes and release in one.releases]
    places = [one.place for one in found]
    assert len(places) == len(set(places)), found
    return {one.place: (one.native, one.ours) for one in found}
