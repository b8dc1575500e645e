# SPDX-License-Identifier: Apache-2.0
"""Numbers, labels and sets of ``metrics`` by themselves, against what Python makes of them."""

from __future__ import annotations

import ctypes
import json
import re
from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from .test_parts import VALUES

LARGEST = 2**53
CONTEXT = Context(prec=5000)
NUMBER = re.compile(rb"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
NUMBERS = st.one_of(
    st.integers(-5, 2 * LARGEST).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.floats(0, 1e17).map(json.dumps),
    st.from_regex(r"[0-9]{0,20}\.?[0-9]{0,5}[eE]?[+-]?[0-9]{0,4}", fullmatch=True),
).map(str.encode)
LABELS = ("model", "code")
DOTTED = st.lists(st.sampled_from(["model", "code", "a", "b1", "", "mode", "xcode"])).map(".".join)
CODES = (*range(0x21), *range(0x7F, 0xA1), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
UNFIT = {*map(chr, CODES), *",;|"}


@given(text=NUMBERS)
@example(text=b"0.5")
@example(text=b"9007199254740992.4")
@example(text=b"9007199254740992.5")
@example(text=b"1e-9999999999999999999")
@example(text=b"1e9999999999999999999")
@example(text=b"00012")
@example(text=b"0e9999")
def test_numbers(parts: ctypes.CDLL, text: bytes) -> None:
    """What JSON calls a number is rounded as decimals are; nothing else is one."""
    found = ctypes.c_uint64()
    taken = parts.part_decimal(text, ctypes.c_size_t(len(text)), ctypes.byref(found))
    match = NUMBER.fullmatch(text)
    if match is None:
        assert not taken
        return
    exponent = int((match[2] or b"e0")[1:])
    if abs(exponent) > 1000:  # as far as any text goes
        assert taken == (exponent < 0 or not text.lower().split(b"e")[0].strip(b"0."))
        return
    expected = int(Decimal(text.decode()).quantize(Decimal(1), ROUND_HALF_UP, CONTEXT))
    assert (expected <= LARGEST) == taken
    assert not taken or expected == found.value


def label(library: ctypes.CDLL, value: bytes) -> bytes:
    """Return the label's value that C makes."""
    names = (ctypes.c_char_p * len(LABELS))(*(name.encode() for name in LABELS))
    out = ctypes.create_string_buffer(1024)
    size = library.part_label(
        value, ctypes.c_size_t(len(value)), names, ctypes.c_size_t(len(LABELS)), out
    )
    return out.raw[:size]


@given(value=st.one_of(VALUES, DOTTED.map(str.encode), st.text().map(str.encode)))
@example(value=b"\x80" * 300)
@example(value=b"\xff" * 300)
@example(value="é".encode() * 100)
@example(value=b"x" * 127 + "é".encode())
@example(value="".join(sorted(UNFIT, reverse=True)).encode())
def test_labels(parts: ctypes.CDLL, value: bytes) -> None:
    """UTF-8 of bounded length, without what ends a line, a tag or a name."""
    found = label(parts, value)
    text = found.decode()
    assert 1 <= len(found) <= 128
    assert not UNFIT & set(text)
    pieces = text.split(".")
    assert len(pieces) == 1 or not set(LABELS) & set(pieces)
    assert found == label(parts, found)


@pytest.mark.parametrize(
    "value", ["gpt-4.1-mini", "ft:gpt-4o:org::Ab", "a/b", 'a"b', "a\\b", "été", "other", "x" * 128]
)
def test_what_stays(parts: ctypes.CDLL, value: str) -> None:
    """What is harmless is left as it is."""
    assert value.encode() == label(parts, value.encode())


@given(texts=st.lists(st.binary(max_size=20), max_size=60), most=st.integers(1, 20))
def test_sets(parts: ctypes.CDLL, texts: list[bytes], most: int) -> None:
    """The first texts have a place each, and keep it; later ones have none."""
    made = ctypes.c_void_p(parts.part_seen_new(ctypes.c_size_t(most)))
    places: dict[bytes, int | None] = {}
    for text in texts * 2:
        size = ctypes.c_size_t(len(text))
        place = parts.part_seen_get(made, text, size)
        if text not in places:
            assert (len({one for one in places.values() if one}) < most) == (place is not None)
            places[text] = place
        assert places[text] == place
    kept = [one for one in places.values() if one is not None]
    assert len(set(kept)) == len(kept) == min(most, len(places))
    parts.part_seen_free(made)
