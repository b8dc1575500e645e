# SPDX-License-Identifier: Apache-2.0
"""Which entries are shown, and what a response learns from its request's entry."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_pyfilter._console import WrongUse
from envoy_pyfilter._match import Pairs, wanted

REQUEST: dict[str, Any] = {
    "kind": "request",
    "time_unix_nano": 1_000_000_000,
    "request_id": "a",
    "method": "POST",
    "authority": "LLM.example.com:8080",
    "path": "/v1/chat?stream=1",
}
RESPONSE = {
    **REQUEST,
    "kind": "response",
    "time_unix_nano": 1_001_500_999,
    "response_code": 404,
}
BOTH, NONE = ["request", "response"], list[str]()

CASES: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "nothing": ({}, BOTH),
    "status": ({"status": ["404"]}, ["response"]),
    "hundred": ({"status": ["4xx"]}, ["response"]),
    "hundred in capitals": ({"status": ["4XX"]}, ["response"]),
    "range": ({"status": ["400-404"]}, ["response"]),
    "range below": ({"status": ["400-403"]}, NONE),
    "several": ({"status": ["5xx,404"]}, ["response"]),
    "several options": ({"status": ["5xx", "404"]}, ["response"]),
    "other status": ({"status": ["5xx"]}, NONE),
    "kind": ({"kind": ["request"]}, ["request"]),
    "kinds": ({"kind": ["denied,response"]}, ["response"]),
    "method": ({"method": ["post"]}, BOTH),
    "other method": ({"method": ["GET,PUT"]}, NONE),
    "host": ({"host": ["llm.example.com"]}, BOTH),
    "host and port": ({"host": ["*.example.com:8080"]}, BOTH),
    "other host": ({"host": ["example.com"]}, NONE),
    "path": ({"path": ["/v1/chat"]}, BOTH),
    "path and query": ({"path": ["*stream=1"]}, BOTH),
    "glob": ({"path": ["/v1/*"]}, BOTH),
    "globs": ({"path": ["/v2/*", "/v1/*"]}, BOTH),
    "other path": ({"path": ["/V1/*"]}, NONE),
    "all of it": ({"path": ["/v1/*"], "status": ["404"], "method": ["GET"]}, NONE),
}


@pytest.mark.parametrize("case", CASES)
def test_wanted(case: str) -> None:
    """Each filter takes what it names; all of them have to agree."""
    filters, kinds = CASES[case]
    given: dict[str, list[str]] = {"status": [], "kind": [], "method": [], "host": [], "path": []}
    asked = wanted(**{**given, **filters})

    assert kinds == [entry["kind"] for entry in (REQUEST, RESPONSE) if asked.takes(entry)]


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("status", "6xx", "--status 6xx: expected 404, 5xx, 400-499, or several with commas"),
        (
            "status",
            "600-700",
            "--status 600-700: expected 404, 5xx, 400-499, or several with commas",
        ),
        ("status", "ok", "--status ok: expected 404, 5xx, 400-499, or several with commas"),
        ("status", "", "--status : expected 404, 5xx, 400-499, or several with commas"),
        ("status", "499-400", "--status 499-400: the range ends before it begins"),
        ("kind", "respons", "--kind respons: no such kind; did you mean response?"),
        ("kind", "x", "--kind x: no such kind; known: request, denied, response"),
    ],
)
def test_unreadable_filter(key: str, text: str, told: str) -> None:
    """What cannot be read is told with what was expected."""
    given: dict[str, list[str]] = {"status": [], "kind": [], "method": [], "host": [], "path": []}
    with pytest.raises(WrongUse) as wrong:
        wanted(**{**given, key: [text]})

    assert told == str(wrong.value)


def test_latency() -> None:
    """A response's time is that since its request's entry, in whole microseconds."""
    pairs, response = Pairs(), dict(RESPONSE)
    pairs.add_times(dict(REQUEST))
    pairs.add_times(response)

    assert 1_000_000_000 == response["start_time_unix_nano"]
    assert 1500 == response["duration_us"]


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        ({}, {"request_id": "b"}),
        ({"request_id": "[redacted]"}, {"request_id": "[redacted]"}),
        ({"request_id": None}, {"request_id": None}),
        ({"time_unix_nano": 2_000_000_000}, {}),
        ({"time_unix_nano": "1"}, {}),
    ],
    ids=["another id", "hidden ids", "no ids", "a clock that jumped", "no time"],
)
def test_no_latency(request_: dict[str, Any], response: dict[str, Any]) -> None:
    """Without a request that fits there is no time."""
    pairs, entry = Pairs(), {**RESPONSE, **response}
    pairs.add_times({**REQUEST, **request_})
    pairs.add_times(entry)

    assert "duration_us" not in entry


def test_known_latency() -> None:
    """A time that the entry has stays."""
    pairs, entry = Pairs(), {**RESPONSE, "duration_us": 7}
    pairs.add_times(dict(REQUEST))
    pairs.add_times(entry)

    assert 7 == entry["duration_us"]


def test_bounded_memory() -> None:
    """The oldest requests are forgotten; one that is seen again counts as seen last."""
    pairs = Pairs(remembered=2)
    for name in ("a", "b", "a", "c"):
        pairs.add_times({**REQUEST, "request_id": name})
    responses = [{**RESPONSE, "request_id": name} for name in ("a", "b", "c")]
    for one in responses:
        pairs.add_times(one)

    assert ["a", "c"] == [one["request_id"] for one in responses if "duration_us" in one]
