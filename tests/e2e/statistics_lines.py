# SPDX-License-Identifier: Apache-2.0
"""
The forms in which a stream's statistics are printed, read back strictly.

Names, order and what is left out are those of Envoy's native filter; a line in any other form is
refused.
"""

from __future__ import annotations

import re

from .statistics_acts import BODIES, PHASES

Values = dict[str, object]

_TOKENS = {
    "request_headers": "rh",
    "request_body": "rb",
    "request_trailers": "rt",
    "response_headers": "sh",
    "response_body": "sb",
    "response_trailers": "st",
}


def prefix(phase: str) -> str:
    """Give how the names of a phase's values begin."""
    return phase.removesuffix("s")


def names_of(phase: str) -> tuple[str, ...]:
    """Give the values of a phase that has been called, as TYPED names them."""
    ends: tuple[str, ...] = ("latency_us", "call_status")
    if phase in BODIES:
        ends = ("call_count", "total_latency_us", "max_latency_us", "last_call_status")
    return tuple(f"{prefix(phase)}_{end}" for end in ends)


EFFECTS = tuple(f"{prefix(phase)}_processing_effect" for phase in PHASES)
BOOLS = ("failed_open", "received_immediate_response")
ALWAYS = ("bytes_sent", "bytes_received", "grpc_status_before_first_call", *BOOLS, *EFFECTS)
DESTINATION = "destination"
NAMES = (*(name for phase in PHASES for name in names_of(phase)), *ALWAYS, DESTINATION)
COUNTERS = (
    "streams_started",
    "stream_msgs_sent",
    "stream_msgs_received",
    "spurious_msgs_received",
    "streams_closed",
    "streams_failed",
    "failure_mode_allowed",
    "message_timeouts",
    "rejected_header_mutations",
    "override_message_timeout_received",
    "override_message_timeout_ignored",
    "clear_route_cache_ignored",
    "clear_route_cache_disabled",
    "clear_route_cache_upstream_ignored",
    "http_not_ok_resp_received",
    "immediate_responses_sent",
    "server_half_closed",
)


def _pattern(*, with_destination: bool) -> re.Pattern[str]:
    parts = []
    for phase, token in _TOKENS.items():
        number = r"\d+"
        count = 3 if phase in BODIES else 2
        parts.append(rf"(?:(?P<{phase}>{token}{f':{number}' * count}),)?")
    last = r"bs:(?P<bs>\d+),br:(?P<br>\d+),os:(?P<os>\d+)"
    return re.compile("".join(parts) + last + (r",ds:(?P<ds>.*)" if with_destination else ""))


def read_plain(line: str, *, with_destination: bool) -> Values:
    """Give what a PLAIN line tells, under the names of TYPED."""
    found = _pattern(with_destination=with_destination).fullmatch(line)
    assert found is not None, line
    told: Values = {}
    for phase in PHASES:
        if found[phase] is None:
            continue
        names = [name for name in names_of(phase) if "max_" not in name]
        told |= zip(names, map(int, found[phase].split(":")[1:]), strict=True)
    told["bytes_sent"] = int(found["bs"])
    told["bytes_received"] = int(found["br"])
    told["grpc_status_before_first_call"] = int(found["os"])
    if with_destination:
        told[DESTINATION] = found["ds"]
    return told


def check_typed(typed: Values, *, with_destination: bool) -> None:
    """Insist on TYPED's names and types: a phase has all of its values or none of them."""
    wanted: set[str] = set(ALWAYS) | ({DESTINATION} if with_destination else set())
    for phase in PHASES:
        if typed.keys() & set(names_of(phase)):
            wanted |= set(names_of(phase))
    assert wanted == set(typed)
    kinds: dict[str, type] = {DESTINATION: str, **dict.fromkeys(BOOLS, bool)}
    assert {name: kinds.get(name, int) for name in typed} == {
        name: type(value) for name, value in typed.items()
    }


def read_fields(line: dict[str, object]) -> Values:
    """Give what the FIELD values of a line tell; each of them is text, or null."""
    told: Values = {}
    for name in NAMES:
        value = line[f"field.{name}"]
        if value is not None:
            assert isinstance(value, str), (name, value)
            told[name] = value
    return told


def as_fields(typed: Values) -> Values:
    """Give what FIELD has to say of TYPED's values: truth is 1 or 0, and nothing empty."""
    return {name: str(int(v) if isinstance(v, bool) else v) for name, v in typed.items()}
