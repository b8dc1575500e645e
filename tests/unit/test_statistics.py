# SPDX-License-Identifier: Apache-2.0
"""The config of statistics, the codes of failures, and the page that has both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from envoy_pyfilter import BUFFER, Filter, Stream, _config
from envoy_pyfilter._flow.codes import NoVerdictError, code_of, refused
from envoy_pyfilter._flow.steps import PAUSED
from envoy_pyfilter._host import REQUEST_BODY, RESPONSE_BODY, HeaderMap
from envoy_pyfilter._operator.aliases import EXT_PROC_FIELDS
from envoy_pyfilter._statistics import COUNTED, FIELDS, UNCOUNTED, StatisticsConfig
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.testing import FakeStream, run_stream

from .helpers import filter_with, returns

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text("utf-8")
SERVICES = (ROOT / "abi" / "services.h").read_text("utf-8")
WRITE = (ROOT / "abi" / "statistics_write.c").read_text("utf-8")
PREFIX = "expected letters, digits, underscores, dashes, and dots between them"
NAME = "expected printable text without spaces, colons and percent signs"


def loaded(statistics: Any, name: str = "access") -> _config.Loaded:
    """Load a filter with these statistics."""
    return _config.load(name, json.dumps({"statistics": statistics}).encode(), validating=False)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading of the page."""
    part = PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# --- config ---


def test_all_of_it() -> None:
    """Keys, fields with keys of their own, and counters with their prefix."""
    spec = loaded(
        {"key": "k", "metadata_namespace": "n.s", "fields": ["bytes_sent"], "stat_prefix": "a.b"}
    ).statistics
    assert spec is not None
    assert ("k", "n.s") == (spec.key, spec.metadata_namespace)
    assert (("bytes_sent", "k.bytes_sent"),) == spec.fields
    assert "envoy_pyfilter.access:AccessFilter" == spec.destination
    assert tuple(f"a.b.{name}" for name in COUNTED) == spec.counted
    assert tuple(f"a.b.{name}" for name in UNCOUNTED) == spec.uncounted


@pytest.mark.parametrize("prefix", ["a", "a."])
def test_dot_of_the_prefix(prefix: str) -> None:
    """One is put there if it is missing, as ext_proc does."""
    spec = loaded({"stat_prefix": prefix}).statistics
    assert spec is not None
    assert "a.streams_started" == spec.counted[0]


def test_nothing_to_write() -> None:
    """Counters alone; without the key there is nothing at all."""
    spec = loaded({}).statistics
    assert spec is not None
    assert ("", "", (), COUNTED) == (spec.key, spec.metadata_namespace, spec.fields, spec.counted)
    assert loaded(None).statistics is None


BAD: dict[str, tuple[Any, str]] = {
    "no mapping": ("k", 'statistics: wrong type, got "k"; expected a mapping or null'),
    "another key": ({"kye": "k"}, "statistics.kye: unknown key; did you mean key?"),
    "a number": ({"key": 5}, "statistics.key: wrong type, got 5; expected a string"),
    "no name": ({"key": ""}, f'statistics.key: not allowed, got ""; {NAME}'),
    "a colon": ({"key": "a:b"}, f'statistics.key: not allowed, got "a:b"; {NAME}'),
    "a blank": (
        {"metadata_namespace": "a b"},
        f'statistics.metadata_namespace: not allowed, got "a b"; {NAME}',
    ),
    "a percent sign": (
        {"metadata_namespace": "a%b"},
        f'statistics.metadata_namespace: not allowed, got "a%b"; {NAME}',
    ),
    "an odd prefix": (
        {"stat_prefix": "a..b"},
        f'statistics.stat_prefix: not allowed, got "a..b"; {PREFIX}',
    ),
    "an empty prefix": (
        {"stat_prefix": ""},
        f'statistics.stat_prefix: not allowed, got ""; {PREFIX}',
    ),
    "another field": (
        {"key": "k", "fields": ["bytes_snet"]},
        "statistics.fields[0]: unknown field bytes_snet; did you mean bytes_sent?",
    ),
    "a field twice": (
        {"key": "k", "fields": ["bytes_sent", "bytes_sent"]},
        "statistics.fields[1]: bytes_sent is there twice",
    ),
    "fields without a key": (
        {"fields": ["bytes_sent"]},
        "statistics.fields: there is no statistics.key that their keys could begin with",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad(case: str) -> None:
    """The message names the key, the value and what was expected."""
    statistics, message = BAD[case]
    with pytest.raises(ConfigError) as raised:
        loaded(statistics)
    assert f"access: {message}" == str(raised.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("k", "statistics.key: state.k is written there, too"),
        ("k.bytes_sent", 'statistics.fields: state["k.bytes_sent"] is written there, too'),
    ],
)
def test_key_of_its_own_state(state: str, message: str) -> None:
    """A filter cannot write two things under one key."""
    config = {"statistics": {"key": "k", "fields": ["bytes_sent"]}, "state": {state: "x"}}
    with pytest.raises(ConfigError) as raised:
        _config.load("access", json.dumps(config).encode(), validating=False)
    assert f"access: {message}" == str(raised.value)


def test_fakes_take_it() -> None:
    """A filter with statistics runs on the fakes, which keep none."""
    config = Filter.Config(statistics=StatisticsConfig(key="k"))
    assert {} == run_stream(Filter(config)).state


# --- codes ---

CODES: dict[str, tuple[BaseException, int]] = {
    "anything": (KeyError(1), 2),
    "the end of a program": (SystemExit(), 2),
    "a refused change": (refused(ValueError("x")), 3),
    "a timeout": (TimeoutError(), 4),
    "no memory": (MemoryError(), 8),
    "too deep": (RecursionError(), 8),
    "no verdict": (NoVerdictError(), 9),
}


@pytest.mark.parametrize("case", CODES)
def test_code(case: str) -> None:
    """Each failure has its code, and its row on the page."""
    error, code = CODES[case]
    assert code == code_of(error)
    assert code in {
        int(row[1].split()[0]) for row in rows("### Which failure has which status")[1:]
    }


REFUSED: dict[str, tuple[Callable[[Stream], object], int]] = {
    "set": (lambda s: s.request_headers.set("a b", "c"), HeaderMap.REQUEST_HEADERS),
    "add": (lambda s: s.response_headers.add("a", ""), HeaderMap.RESPONSE_HEADERS),
    "remove": (lambda s: s.request_headers.remove(":path"), HeaderMap.REQUEST_HEADERS),
    "trailers": (lambda s: s.request_trailers.set("a", "\n"), HeaderMap.REQUEST_TRAILERS),
    "drain": (lambda s: s.request_body.drain(-1), REQUEST_BODY),
    "append": (lambda s: s.response_body.append(b"x"), RESPONSE_BODY),
    "replace": (lambda s: s.request_body.replace(cast("bytes", "x")), REQUEST_BODY),
}


@pytest.mark.parametrize("change", REFUSED)
def test_refused_change(change: str) -> None:
    """The proxy is told of what it was not asked for, and the failure is known as such."""
    how, part = REFUSED[change]
    fake = FakeStream(filter_with(on_request_headers=lambda s, _: how(s)))
    fake.request_headers()
    assert [(part, False)] == fake.refused
    assert [3] == fake.failure_codes


def test_outgrown_response() -> None:
    """The proxy is told that it was too large before the stream is reset."""
    seen: list[tuple[int, bool]] = []

    def hook(stream: Stream, _: bool) -> object:
        if stream.response_body.buffered_size:
            seen.extend(fake.refused)
            return None
        return BUFFER

    fake = FakeStream(filter_with(on_response_body=hook), buffer_limit=3)
    fake.request_headers(end_of_stream=True)
    fake.response_headers()
    fake.response_body(b"ab")
    fake.response_body(b"cd")
    assert [] == seen
    assert [(RESPONSE_BODY, True)] == fake.refused
    assert ["reset 0 response_payload_too_large"] == fake.calls


def test_hook_that_returns_no_verdict() -> None:
    """It is no ordinary TypeError."""
    fake = FakeStream(filter_with(on_request_headers=returns("yes")))
    fake.request_headers()
    assert [9] == fake.failure_codes


# --- what stands twice ---


def test_counters_are_c_s() -> None:
    """The first ones have their places in C; with the others they are native's 17."""
    numbers = dict(re.findall(r"STATISTICS_(\w+) = (\d+)", SERVICES))
    assert {name.upper(): str(place) for place, name in enumerate(COUNTED)} == {
        name: number for name, number in numbers.items() if name not in ("COUNTERS", "CONFLICTS")
    }
    assert str(len(COUNTED)) == numbers["COUNTERS"] == numbers["CONFLICTS"]
    assert 17 == len({*COUNTED, *UNCOUNTED})


def test_fields_are_c_s() -> None:
    """C has the same 28 names."""
    named = re.findall(r'NAMED\("(\w+)"\)', WRITE)
    of_calls = re.findall(r'NAMED\(way "(\w+)"\)', WRITE)
    ways = re.findall(r'CALL_FIELDS\("(\w+)"', WRITE)
    found = [*named, *(way + name for way in ways for name in of_calls)]
    assert sorted(FIELDS) == sorted(found) == sorted(EXT_PROC_FIELDS)
    assert 28 == len(found)


def test_numbers_are_c_s() -> None:
    """What is told to C by number."""
    assert f"PAUSED = {PAUSED}" in SERVICES
    assert f"PART_REQUEST_BODY = {REQUEST_BODY}, PART_RESPONSE_BODY = {RESPONSE_BODY}" in SERVICES


def test_page_has_all_keys_and_counters() -> None:
    """Each key and each counter has a row."""
    keys = [row[0].strip("`") for row in rows("# Statistics, as native ext_proc writes them")[1:]]
    known = [field.name for field in msgspec.structs.fields(StatisticsConfig)]
    assert known == keys[: len(known)]
    counters = [name for row in rows("## Counters")[1:] for name in re.findall(r"`(\w+)`", row[0])]
    assert {*COUNTED, *UNCOUNTED} == {*counters}
    assert 17 == len(counters)
