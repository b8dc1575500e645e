# SPDX-License-Identifier: Apache-2.0
"""What reads statistics is strict: a line or an object in another form is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .statistics_compare import check_plausible, differences
from .statistics_lines import (
    BOOLS,
    COUNTERS,
    EFFECTS,
    Values,
    as_fields,
    check_typed,
    read_plain,
)
from .statistics_play import Told

# As native ext_proc printed it on 1.40.0.
GET = "rh:563:0,sh:319:0,sb:1:169:0,bs:497,br:100,os:0,ds:proc"
TYPED: Values = {
    "request_header_latency_us": 563,
    "request_header_call_status": 0,
    "response_header_latency_us": 319,
    "response_header_call_status": 0,
    "response_body_call_count": 1,
    "response_body_total_latency_us": 169,
    "response_body_max_latency_us": 169,
    "response_body_last_call_status": 0,
    "bytes_sent": 497,
    "bytes_received": 100,
    "grpc_status_before_first_call": 0,
    **dict.fromkeys(BOOLS, False),
    **dict.fromkeys(EFFECTS, 0),
    "destination": "proc",
}


@pytest.fixture
def told() -> Told:
    """Give what was told of that stream, which took a second."""
    times = {"start_time_unix_nano": "1000000000", "emit_time_unix_nano": "2000000000"}
    line: dict[str, Any] = {"typed": TYPED, "bytes_received": 0, **times}
    return Told(status=200, body=b"hello", line=line, counters=dict.fromkeys(COUNTERS, 0))


def changed(told: Told, **values: object) -> Told:
    """Tell something else."""
    return replace(told, line={**told.line, "typed": {**TYPED, **values}})


def test_a_line_of_native_is_read() -> None:
    """PLAIN tells what TYPED tells, but for maxima, booleans and effects."""
    names = {"response_body_max_latency_us", *BOOLS, *EFFECTS}
    expected = {name: value for name, value in TYPED.items() if name not in names}
    assert expected == read_plain(GET, with_destination=True)


@pytest.mark.parametrize(
    "line",
    [
        GET.replace("rh:563:0,sh:319:0", "sh:319:0,rh:563:0"),  # another order
        GET.replace("sb:1:169:0", "sb:1:169"),  # a value is missing
        GET.replace("sb:1:169:0", "sb:1:169:169:0"),  # one too many
        GET.replace(",", ", "),
        GET.replace("563", "563.0"),
        GET.replace("563", "-1"),
        GET.replace("br:100,", ""),
        GET.replace(",ds:proc", ""),
        f"{GET}\n",
        "",
    ],
)
def test_another_form_is_refused(line: str) -> None:
    """Each token has its place and its values, and the last ones are always there."""
    with pytest.raises(AssertionError):
        read_plain(line, with_destination=True)


def test_a_destination_is_refused_where_native_has_none() -> None:
    """Up to 1.39 there is no such token, and no such name."""
    with pytest.raises(AssertionError):
        read_plain(GET, with_destination=False)
    with pytest.raises(AssertionError):
        check_typed(TYPED, with_destination=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"failed_open": 0},
        {"bytes_sent": "497"},
        {"bytes_sent": 497.0},
        {"destination": None},
        {"request_trailer_call_status": 0},  # without the latency
        {"response_body_min_latency_us": 1},
    ],
)
def test_another_object_is_refused(wrong: Values) -> None:
    """Names and types are those of native."""
    check_typed(TYPED, with_destination=True)
    with pytest.raises(AssertionError):
        check_typed({**TYPED, **wrong}, with_destination=True)


def test_fields_are_text() -> None:
    """A boolean is 1 or 0."""
    fields = as_fields({"failed_open": True, "bytes_sent": 497, "destination": ""})
    assert {"failed_open": "1", "bytes_sent": "497", "destination": ""} == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_header_latency_us", 1_000_002),  # longer than the stream
        ("response_body_max_latency_us", 170),  # longer than the total
        ("request_header_latency_us", -1),
    ],
)
def test_an_implausible_latency_is_refused(told: Told, name: str, value: int) -> None:
    """The stream's own times are the witness."""
    check_plausible(told)
    with pytest.raises(AssertionError):
        check_plausible(changed(told, **{name: value}))


def test_latencies_and_counts_of_bytes_may_differ(told: Told) -> None:
    """They are never the same."""
    other = changed(told, request_header_latency_us=1, bytes_sent=1, response_body_max_latency_us=2)
    assert {} == differences(told, other, {"native": "proc", "ours": "proc"})


@pytest.mark.parametrize(
    ("name", "value", "place", "found"),
    [
        ("request_header_call_status", 2, "request_headers", (0, 2)),
        ("response_body_call_count", 2, "response_body", ((1, 0), (2, 0))),
        ("bytes_received", 0, "bytes_received", (True, False)),
        ("failed_open", True, "failed_open", (False, True)),
        ("response_body_processing_effect", 1, "response_body_processing_effect", (0, 1)),
        ("grpc_status_before_first_call", 14, "grpc_status_before_first_call", (0, 14)),
        ("destination", "", "destination", ("asked", "")),
    ],
)
def test_every_other_value_is_compared(
    told: Told, name: str, value: object, place: str, found: tuple[object, object]
) -> None:
    """One value that differs is one difference."""
    other = changed(told, **{name: value})
    assert {place: found} == differences(told, other, {"native": "proc", "ours": "proc"})


def test_counters_and_answers_are_compared(told: Told) -> None:
    """So are what the client got, and whether there is an object at all."""
    asked = {"native": "proc", "ours": "proc"}
    for name in COUNTERS:
        other = replace(told, counters={**told.counters, name: 1})
        assert {f"counter {name}": (0, 1)} == differences(told, other, asked)
    assert {"status": (200, 500)} == differences(told, replace(told, status=500), asked)
    assert {"body": (b"hello", b"")} == differences(told, replace(told, body=b""), asked)
    bare = replace(told, line={**told.line, "typed": None})
    assert {"object": (True, False)} == differences(told, bare, asked)
