# SPDX-License-Identifier: Apache-2.0
"""What hooks add to the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from envoy_pyfilter._host import NoteKind
from envoy_pyfilter.notes import as_json
from envoy_pyfilter.testing import FakeStream
from hypothesis import given
from hypothesis import strategies as st

from .helpers import filter_with


@pytest.mark.parametrize(
    ("value", "text", "encoded"),
    [
        ("plain", b"plain", b'"plain"'),
        ("é", b"\xc3\xa9", b'"\xc3\xa9"'),
        (b"\xff", b"\xff", b'"\xef\xbf\xbd"'),
        (5, b"5", b"5"),
        (None, b"null", b"null"),
        ({"a": [1, b"b"]}, b'{"a":[1,"b"]}', b'{"a":[1,"b"]}'),
    ],
)
def test_values(value: object, text: bytes, encoded: bytes) -> None:
    """Text is kept as it is and as JSON, other values as JSON."""
    fake = FakeStream(filter_with())
    fake.stream.record.note("key", value)
    fake.stream.record.reject(b"x-name", value)
    fake.stream.record.missing("x-name", value)
    assert [
        (NoteKind.NOTE, b"key", text, encoded),
        (NoteKind.REJECT, b"x-name", text, encoded),
        (NoteKind.MISSING, b"x-name", text, encoded),
    ] == fake.notes


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), {b"a": 1}])
def test_values_that_json_cannot_hold(value: Any) -> None:
    """What has no JSON is an error of the hook, and nothing is noted."""
    fake = FakeStream(filter_with())
    with pytest.raises((TypeError, ValueError)):
        fake.stream.record.note("key", value)
    assert [] == fake.notes


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_can_break_a_line(text: str) -> None:
    """Nothing that ends a line or steers a terminal gets out, and JSON readers read it."""
    encoded = as_json(text).decode("utf-8")
    assert 1 == len(encoded.splitlines())
    assert all(c.isprintable() or ord(c) >= 0xA0 for c in encoded)
    expected = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert expected == json.loads(encoded)
