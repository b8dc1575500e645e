# SPDX-License-Identifier: Apache-2.0
"""What may become a header, and what may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from envoy_pyfilter._text import Text, header_name, header_pairs, header_value, utf8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("X-Name", b"x-name"),
        (b"X-Name", b"x-name"),
        (":path", b":path"),
        ("a!#$%&'*+-.^_`|~9", b"a!#$%&'*+-.^_`|~9"),
    ],
)
def test_names(given: Text, expected: bytes) -> None:
    """Names come out as lower-case bytes."""
    assert expected == header_name(given)


@pytest.mark.parametrize(
    "given", ["", ":", "a b", "a:b", "::path", "a\r\nb", b"\xff", "ü", "a\x00", "a,b"]
)
def test_no_names(given: Text) -> None:
    """What is no name is refused."""
    with pytest.raises(ValueError, match="not a header name"):
        header_name(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text", b"text"),
        ("\xe9", b"\xe9"),
        (b"\x80\xff", b"\x80\xff"),
        ("", b""),
        ("a\tb", b"a\tb"),
    ],
)
def test_values(given: Text, expected: bytes) -> None:
    """Values are bytes, or text of the first 256 characters."""
    assert expected == header_value(given)


@pytest.mark.parametrize(
    "given", ["a\rb", "a\nb", b"a\x00b", "x\r\nset-cookie: a", "\u20ac", "\x01", "\x1f", "\x7f"]
)
def test_no_values(given: Text) -> None:
    """A value cannot end its header, nor hold what is no byte."""
    with pytest.raises(ValueError, match=r"control character|latin-1"):
        header_value(given)


def test_pairs_of_a_mapping() -> None:
    """Headers may be a mapping."""
    assert [(b"a", b"1"), (b"b", b"2")] == header_pairs({"A": "1", "b": "2"})


def test_pairs_of_pairs() -> None:
    """Headers may be pairs, and repeat a name."""
    assert [(b"a", b"1"), (b"a", b"2")] == header_pairs([("a", "1"), (b"A", b"2")])


def test_no_pseudo_headers() -> None:
    """A status has an argument of its own."""
    with pytest.raises(ValueError, match="pseudo header"):
        header_pairs({":status": "200"})


@pytest.mark.parametrize("given", [5, 400_000_000, True, None, [65, 66], 1.5])
@pytest.mark.parametrize("encode", [utf8, header_name, header_value])
def test_no_text(encode: Callable[[Any], bytes], given: object) -> None:
    """A number is not that many NULs, nor is a list of numbers text."""
    with pytest.raises(TypeError, match="must be str or bytes, got "):
        encode(given)


def test_utf8() -> None:
    """Text is UTF-8, bytes stay as they are, and half a character does no harm."""
    assert (b"\xc3\xa9", b"\xff", b"?") == (utf8("é"), utf8(b"\xff"), utf8("\ud800"))
