# SPDX-License-Identifier: Apache-2.0
"""Parts of the record lane by themselves, against what Python makes of the same input."""

from __future__ import annotations

import ctypes
import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

STRING, JSON_VALUE, REPAIRED = range(3)
INCLUDE, EXCLUDE, REDACT = range(3)
HIDDEN = 8  # USE_HIDDEN

# Ends of lines, of strings and of characters; overlong, surrogate and too large forms; whole ones.
PIECES = (
    *(b'"', b"\\", b"\n", b"\r", b"\t", b"\0", b"\x1b", b"\x7f", b"a", b"plain text", b"x" * 17),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xe2\x80\xaa", "é".encode(), "😀".encode()),
    *(b"\xff", b"\xc2", b"\xe2\x80", b"\xf1\x80\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\x80"),
    *(b"\xed\xa0\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf4\x8f\xbf\xbf"),
)
VALUES = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES)).map(b"".join))
NAMES = (
    *("a", "ab", "abc", "x-a", "x-b", "x-1", "x-12", "cookie", "set-cookie", "authorization"),
    *("x-a-name-of-more-than-thirty-two-bytes", "x-a-name-of-more-than-thirty-two-bytes2"),
    *("q" * 300, "q" * 300 + "z"),
)
GLOBS = ("*", "x-*", "*-cookie", "[ax]*", "?", "x-?", "[!x]*", "q*z", "a*c", "*e")


def written(parts: ctypes.CDLL, what: int, data: bytes) -> tuple[bytes, bool]:
    """Return what C writes for *data*, and whether it was UTF-8."""
    out = ctypes.create_string_buffer(6 * len(data) + 2)
    valid = ctypes.c_bool()
    size = parts.part_text(what, data, ctypes.c_size_t(len(data)), out, ctypes.byref(valid))
    return out.raw[:size], valid.value


def is_utf8(data: bytes) -> bool:
    """Tell whether Python takes *data* as UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_dangerous(character: str) -> bool:
    """Tell whether a character could end a line or steer a terminal."""
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or code in {0x2028, 0x2029}


@given(data=VALUES)
def test_json_strings(parts: ctypes.CDLL, data: bytes) -> None:
    """A JSON reader gets what Python's UTF-8 decoder makes of the bytes, and it is one line."""
    line, valid = written(parts, STRING, data)
    assert is_utf8(data) == valid
    assert data.decode(errors="replace") == json.loads(line)
    assert not any(map(is_dangerous, line.decode()))


@given(data=VALUES)
def test_repaired_text(parts: ctypes.CDLL, data: bytes) -> None:
    """What is not UTF-8 is replaced just as Python's decoder does; the rest stays."""
    repaired, _ = written(parts, REPAIRED, data)
    assert data.decode(errors="replace").encode() == repaired


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ),
    indent=st.sampled_from([None, 1]),
)
def test_json_from_python(parts: ctypes.CDLL, value: object, indent: int | None) -> None:
    """JSON text of a note keeps its meaning, and becomes one harmless line whatever wrote it."""
    line, _ = written(
        parts, JSON_VALUE, json.dumps(value, ensure_ascii=False, indent=indent).encode()
    )
    assert value == json.loads(line)
    assert not any(map(is_dangerous, line.decode()))


@given(
    patterns=st.lists(
        st.tuples(st.sampled_from([INCLUDE, EXCLUDE, REDACT]), st.sampled_from(NAMES + GLOBS))
    ),
    names=st.lists(st.sampled_from((*NAMES, ":path")), min_size=1, max_size=40),
    keep=st.sampled_from((*NAMES, ":path")),
)
def test_header_tables(
    parts: ctypes.CDLL, patterns: list[tuple[int, str]], names: list[str], keep: str
) -> None:
    """
    Included and not excluded is listed; redacted is hidden: as Python's fnmatch sees it.

    Pseudo headers are no members. A name that comes again is told of; the first one is kept.
    """
    rules = ctypes.c_void_p(parts.part_rules_new())
    for kind, pattern in patterns:
        parts.part_rules_add(rules, kind, pattern.encode())
    given_names = (ctypes.c_char_p * len(names))(*(name.encode() for name in names))
    out = (ctypes.c_size_t * 3 * len(names))()
    repeated, kept = ctypes.c_bool(), ctypes.c_int()
    size = parts.part_look(
        rules,
        given_names,
        ctypes.c_size_t(len(names)),
        keep.encode(),
        out,
        ctypes.byref(repeated),
        ctypes.byref(kept),
    )
    parts.part_rules_free(rules)

    spelled_out = {keep, *(pattern for _, pattern in patterns)}
    expected = []
    for number, name in enumerate(names):
        some = [any(fnmatchcase(name, p) for k, p in patterns if k == kind) for kind in range(3)]
        if name[0] != ":" and some[INCLUDE] and not some[EXCLUDE]:
            key = len(f'"{name}":"') if name in spelled_out else 0
            expected.append([number, HIDDEN if some[REDACT] else 0, key])
    assert expected == [list(found) for found in out[:size]]
    listed = [names[number] for number, *_ in expected]
    assert repeated.value or len(set(listed)) == len(listed)
    assert (names.index(keep) if keep in names else -1) == kept.value


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (0, b"-"),
        (1 << 14, b"DC"),
        (1 << 5 | 1 << 15, b"URX,UF"),
        (1 << 2 | 1 << 8, b"UT,NR"),
        (1 << 60, b"-"),
    ],
)
def test_response_flags(parts: ctypes.CDLL, flags: int, expected: bytes) -> None:
    """Bits become Envoy's short names; bits without a name are left out."""
    out = ctypes.create_string_buffer(192)
    size = parts.part_flags(flags, out, len(out))
    assert expected == out.raw[:size]


def test_all_response_flags_fit(parts: ctypes.CDLL) -> None:
    """The entry's buffer holds every name at once."""
    out = ctypes.create_string_buffer(192)
    size = parts.part_flags((1 << 64) - 1, out, len(out))
    names = out.raw[:size].split(b",")
    assert (30, b"URX", b"UDO") == (len(names), names[0], names[-1])
