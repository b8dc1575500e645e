# SPDX-License-Identifier: Apache-2.0
"""Hostile formats take time linear in their length: steps are counted, not seconds."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, SupportsIndex

import pytest
from envoy_pyfilter.operators import PROFILES, Alias, Profile, resolve_format

ALIASES = [Alias(name="a", filter="K")]
MANY = 100_000


class Counted(str):
    """A text that counts the characters that searches in it pass, and the searches."""

    __slots__ = ("steps",)

    def __init__(self, _text: str) -> None:
        """Begin with no step."""
        self.steps = 0

    def find(
        self, sub: str, start: SupportsIndex | None = None, end: SupportsIndex | None = None, /
    ) -> int:
        """Find, and count."""
        found = super().find(sub, start, end)
        begin = int(start or 0)
        self.steps += 1 + (len(self) if found < 0 else found) - begin
        return found


def steps(text: str, profile: Profile) -> int:
    """Count the characters that searches pass and the calls that are made."""
    counted, calls = Counted(text), 0

    def call(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(call)
    try:
        resolve_format(counted, ALIASES, profile)
    finally:
        sys.setprofile(before)
    return counted.steps + calls


HOSTILE = {
    "colons": ("%EG_EXT_FILTER_STATE(a", ":", ""),
    "colons, closed": ("%EG_EXT_FILTER_STATE(a", ":", ")%"),
    "colons of the other operator": ("%EG_EXT_PROC_FILTER_STATE(a", ":", ")%"),
    "openings": ("", "%EG_EXT_FILTER_STATE(", ""),
    "openings of the other operator": ("", "%EG_EXT_PROC_FILTER_STATE(", ""),
    "openings with names": ("", "%EG_EXT_FILTER_STATE(a:b", ":"),
    "brackets": ("%EG_EXT_FILTER_STATE(a:b", ")", "%"),
    "lengths": ("%EG_EXT_FILTER_STATE(a:b", "):1", ""),
    "digits": ("%EG_EXT_FILTER_STATE(a:b):", "1", "%"),
    "digits inside": ("%EG_EXT_FILTER_STATE(a:PLAIN:", "1", ")%"),
    "commands without an end": ("%EG_EXT_FILTER_STATE(a:b)%", "%A(", ""),
    "newlines": ("%EG_EXT_FILTER_STATE(a:b)%", "%A(b\n", ")%"),
    "percent signs": ("%EG_EXT_FILTER_STATE(a:b)%", "% ", ""),
    "operators": ("", "%EG_EXT_FILTER_STATE(a:b)%\n", ""),
    "unknown names": ("", "%EG_EXT_FILTER_STATE(b:b)% ", ""),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("case", HOSTILE)
def test_growth(profile: Profile, case: str) -> None:
    """Ten times the text takes at most ten times the steps, and a little."""
    head, unit, tail = HOSTILE[case]
    few, many = (steps(head + unit * count + tail, profile) for count in (200, 2000))

    assert many <= 10 * few + 1000


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("operator", ["EG_EXT_FILTER_STATE", "EG_EXT_PROC_FILTER_STATE"])
@pytest.mark.parametrize("tail", ["", ")%"])
def test_many_colons(profile: Profile, operator: str, tail: str) -> None:
    """A hundred thousand colons are passed a few times each."""
    text = f"%{operator}(a:b{':' * MANY}{tail}"

    assert steps(text, profile) < 8 * len(text)
