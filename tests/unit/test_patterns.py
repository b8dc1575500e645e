# SPDX-License-Identifier: Apache-2.0
"""Header patterns: what fnmatch(3) can take, and the exact words for the rest."""

from __future__ import annotations

import fnmatch

import pytest
from envoy_pyfilter._patterns import compiled
from envoy_pyfilter.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

_SET = "a glob that cannot be compiled (a set [...] is empty, nested or not closed)"
_PSEUDO = "pseudo headers have fields of their own (method, path, authority, response_code)"
BAD = [
    ("", "empty pattern"),
    ("x-[ab", _SET),
    ("x-[", _SET),
    ("x-ab]", _SET),
    ("x-[]", _SET),
    ("x-[!]", _SET),
    ("x-[[a]]", _SET),
    ("x-[z-a]", "a glob that cannot be compiled (the range z-a is empty)"),
    ("x-[Z-a]", "a glob that cannot be compiled (the range z-a is empty)"),
    ("a b", "a character that no header name has"),
    ("a\\*", "a character that no header name has"),
    ("caf\u00e9", "a character that no header name has"),
    ("a:b", "a character that no header name has"),
    (":path", _PSEUDO),
    ("a" * 257, "pattern longer than 256 characters"),
]


@pytest.mark.parametrize(("pattern", "why"), BAD)
def test_bad_patterns(pattern: str, why: str) -> None:
    """What cannot be a pattern is refused with its place in the list."""
    got = f'"{pattern}"' if len(pattern) < 60 else f'"{pattern[:59]}...'
    got = got.replace("\\", "\\\\")
    with pytest.raises(ConfigError) as caught:
        compiled("log.request_headers.include", ["x", pattern])
    assert (
        f"log.request_headers.include[1]: {why}, got {got}; "
        "expected a header name or a glob of * ? [a-z] [!a]"
    ) == str(caught.value)


def test_good_patterns() -> None:
    """Names and globs come out in lower case, in order, each once."""
    given_patterns = [
        "*",
        "X-*",
        "x-*",
        "x-[a-f0-9]?",
        "[!a]*",
        "content-type",
        "x-[^-]",
        "Content-Type",
    ]
    expected = ("*", "x-*", "x-[a-f0-9]?", "[!a]*", "content-type", "x-[^-]")
    assert expected == compiled("p", given_patterns)


@given(st.lists(st.text(alphabet="ab-[]!^*?Z:", max_size=12)))
def test_nothing_but_config_errors(patterns: list[str]) -> None:
    """Whatever the pattern, it is refused or can be matched with."""
    try:
        result = compiled("p", patterns)
    except ConfigError:
        return
    for pattern in result:
        fnmatch.fnmatchcase("x", pattern)
