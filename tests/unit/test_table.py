# SPDX-License-Identifier: Apache-2.0
"""Entries as rows of a table: what stands in them, how they fit, and what cannot get out."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from envoy_pyfilter._cells import fit, safe, width
from envoy_pyfilter._follow import as_json, entry_of
from envoy_pyfilter._table import Table, layout, model, tokens
from hypothesis import given
from hypothesis import strategies as st

REQUEST: dict[str, Any] = {
    "kind": "request",
    "time_unix_nano": 1_700_000_000_123_456_789,
    "method": "GET",
    "authority": "example.com",
    "path": "/a",
    "request_headers": {"accept": "*/*", "x-many": ["1", "2"]},
}
RESPONSE: dict[str, Any] = {
    **REQUEST,
    "kind": "response",
    "response_code": 503,
    "response_flags": "UF",
    "duration_us": 1500,
    "response_headers": {"x-demo": "late"},
    "notes": {"team": "blue"},
}
TOKENS = {"x-ai-total-tokens": "17", "x-ai-input-tokens": "11", "x-ai-output-tokens": "6"}
PAINT = re.compile(r"\x1b\[\d*m")


def rows(*entries: dict[str, Any], columns: int = 80, headers: bool = False) -> list[str]:
    """Give the lines of a table without colours."""
    table = Table(colour=False, headers=headers)
    return [line for entry in entries for line in table.rows(entry, columns, 1000)]


def test_rows() -> None:
    """A header, and a row for each entry, columns under each other."""
    head, request, denied, response = rows(REQUEST, {**REQUEST, "kind": "denied"}, RESPONSE)

    assert "TIME VERDICT METHOD HOST PATH STATUS LATENCY" == " ".join(head.split())
    for row, cells in (
        (request, ["FORWARDED", "GET", "example.com", "/a"]),
        (denied, ["DENIED", "GET", "example.com", "/a"]),
        (response, ["response", "GET", "example.com", "/a", "503", "1.5", "ms"]),
    ):
        assert re.match(r"\d\d:\d\d:20\.123 ", row)
        assert cells == row.split()[1:]
        for name, cell in zip(head.split()[1:-1], cells, strict=False):
            assert head.index(name) == row.index(cell)
    assert len(head) == len(response)  # times stand at the right of their column


def test_tokens_column() -> None:
    """The column of tokens comes, with a header row, once an entry has some."""
    lines = rows(RESPONSE, {**RESPONSE, "response_headers": TOKENS}, RESPONSE, columns=120)

    assert "TOKENS" not in lines[0]
    assert lines[2].endswith("TOKENS")
    assert lines[3].endswith("in 11 out 6 total 17")
    assert 5 == len(lines)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (TOKENS, "in 11 out 6 total 17"),
        ({"x-prompt-tokens": "3", "completion_tokens": "4"}, "in 3 out 4"),
        ({"X-Cached-Tokens": "5"}, "cached 5"),
        ({"tokens": ["7", "8"]}, "7"),
        ({"x-token": "secret"}, ""),
        ({"x-total-tokens": "-1", "x-input-tokens": "1.5", "x-output-tokens": ""}, ""),
        ({"x-demo": "17"}, ""),
    ],
)
def test_tokens(headers: dict[str, Any], text: str) -> None:
    """A header is one of tokens by its name and its number."""
    assert text == tokens({"kind": "response", "response_headers": headers})


def test_headers() -> None:
    """Headers stand below the row, packed, one that is too long folded."""
    entry = {**RESPONSE, "response_headers": {"x-demo": "late", "x-long": "a" * 100}}
    _, _, *below = rows(entry, headers=True)

    assert [
        "  x-demo: late",
        "  x-long: " + "a" * 70,
        "  " + "a" * 30 + "  [response_flags: UF]",
        '  [notes: {"team": "blue"}]',
    ] == below


def test_trailers() -> None:
    """Trailers stand behind the headers."""
    entry = {"kind": "response", "response_trailers": {"grpc-status": "0"}}

    assert "  grpc-status: 0" == rows(entry, headers=True)[-1]


@pytest.mark.parametrize(
    ("entry", "colour"),
    [
        (REQUEST, "36"),
        ({**REQUEST, "kind": "denied"}, "31"),
        ({**RESPONSE, "response_code": 200}, "32"),
        ({**RESPONSE, "response_code": 404}, "33"),
        (RESPONSE, "31"),
    ],
)
def test_colour(entry: dict[str, Any], colour: str) -> None:
    """The colour of a verdict is that of its kind and its status."""
    head, row = Table(colour=True, headers=False).rows(entry, 80, 24)

    assert head.startswith("\x1b[1mTIME")
    assert f"\x1b[{colour}m{'response' if 'response_code' in entry else ''}" in row
    assert rows(entry)[1] == PAINT.sub("", row).rstrip()


def test_no_forgery() -> None:
    """What a client sends cannot steer the terminal, nor begin a line of its own."""
    headers = {"x-evil": "\x1b[2J\r\n\x9b31m\u2028\u202e\ud800"}
    _, row, below = rows({**REQUEST, "path": "/\x07", "request_headers": headers}, headers=True)

    assert row.endswith(r" /\x07")
    assert r"  x-evil: \x1b[2J\x0d\x0a\x9b31m\u2028\u202e\ud800" == below


def test_a_new_header_row() -> None:
    """The header row comes again when the terminal has another size, and on each screen."""
    table = Table(colour=False, headers=False)
    sizes = [(80, 4), (80, 4), (80, 4), (80, 4), (60, 4)]

    assert [2, 1, 2, 1, 2] == [len(table.rows(REQUEST, *size)) for size in sizes]


def test_notes_of_a_usage() -> None:
    """What ``llm_usage`` noted is shown, also where no header says it."""
    notes = {
        "model": "gpt-x-1",
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "time_to_first_token_ms": 12,
        "tokens_per_second": 40,
    }
    entry = {**RESPONSE, "notes": notes, "response_headers": {}}
    assert "in 3 out 4 total 7" == tokens(entry)
    assert "gpt-x-1" == model(entry)
    head, row = rows(entry, columns=120)
    assert ["MODEL", "TOKENS"] == head.split()[-2:]
    assert ["gpt-x-1", "in", "3", "out", "4", "total", "7"] == row.split()[-7:]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"kind": "response", "response_headers": {"x-ai-model": "m"}}, "m"),
        ({"kind": "request", "response_headers": {"x-ai-model": "m"}}, ""),
        ({"kind": "response", "notes": {"model": 7}}, ""),
        ({"kind": "response", "notes": []}, ""),
    ],
)
def test_model(entry: dict[str, Any], name: str) -> None:
    """A header tells the model, too."""
    assert name == model(entry)


@pytest.mark.parametrize("columns", [1, 8, 20, 40, 60, 80, 100, 132, 250])
@pytest.mark.parametrize("needed", [(), ("tokens",), ("model", "tokens")])
def test_layout(columns: int, needed: tuple[str, ...]) -> None:
    """The columns fill a terminal of any width; on a narrow one the path is left."""
    widths = layout(columns, needed)

    assert "path" in widths
    assert columns == sum(widths.values()) + len(widths) - 1 or columns < 12
    if columns >= 80:
        assert set(needed) <= widths.keys()
        assert 7 + len(needed) - (columns < 87 and "model" in needed) == len(widths)


@pytest.mark.parametrize(
    ("text", "columns", "fitted"),
    [
        ("abc", 5, "abc  "),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字", 2, "… "),
        ("e\u0301a", 2, "e\u0301a"),
    ],
)
def test_fit(text: str, columns: int, fitted: str) -> None:
    """Text is filled or cut to its column; wide characters count twice, accents not at all."""
    assert fitted == fit(text, columns)
    assert columns == width(fitted)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(
    [
        *["time_unix_nano", "method", "authority", "path", "response_code", "duration_us"],
        *["request_headers", "response_headers", "response_trailers", "notes", "rejected", "l7"],
    ]
)
_anything = st.builds(
    lambda kind, rest: {**rest, "kind": kind},
    st.sampled_from(["request", "response", "denied"]) | _values,
    st.dictionaries(_keys, _values | st.dictionaries(st.text() | st.just("token"), st.text())),
)


@given(entry=_anything, columns=st.integers(1, 200))
def test_any_entry(entry: dict[str, Any], columns: int) -> None:
    """Whatever an entry holds, its lines fit and have nothing but printable text."""
    assert entry == json.loads(as_json(entry)) or "\\ud" in json.dumps(entry)
    for line in rows(entry, columns=columns, headers=True):
        assert width(line) <= max(columns, 4)
        assert line.isprintable()


@given(text=st.text())
def test_json_lines(text: str) -> None:
    """A line of JSON has no control character, and says the same."""
    line = as_json({"kind": text})

    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", line)
    assert {"kind": text} == json.loads(line)


@pytest.mark.parametrize("line", ["no json", '["a list"]', '{"no": "kind"}', "12", "[" * 10_000])
def test_foreign_line(line: str) -> None:
    """What is no entry is told from one."""
    assert entry_of(line) is None


def test_safe_values() -> None:
    """A value that is no text is written as JSON."""
    assert ["a b", "12", '["\\xa0"]', "\\U000e0001"] == [
        safe(one) for one in ("a b", 12, ["\xa0"], "\U000e0001")
    ]
