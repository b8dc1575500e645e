# SPDX-License-Identifier: Apache-2.0
"""Formats that read filter state and dynamic metadata: what is there, in each of its types."""

from __future__ import annotations

import pytest

from .conftest import MakeConfig
from .host import Host, Word

STATE = -1  # not metadata
DYNAMIC, ROUTE = 0, 1  # sources of metadata

THERE: dict[str, tuple[str, tuple[int, Word, Word, str, Word], str]] = {
    "bytes": ("%FILTER_STATE(k)%", (STATE, None, "k", "s", "a b"), "a b"),
    "bytes, as Envoy writes it": ("%FILTER_STATE(k:PLAIN)%", (STATE, None, "k", "s", "a"), "a"),
    "cut": ("%FILTER_STATE(k):2%", (STATE, None, "k", "s", "abc"), "ab"),
    "nothing in it": ("<%FILTER_STATE(k)%>", (STATE, None, "k", "s", b""), "<>"),
    "an object": ("%FILTER_STATE(k)%", (STATE, None, "k", "o", "text"), "text"),
    "another key": ("%FILTER_STATE(k)%", (STATE, None, "kk", "s", "a"), "-"),
    "text": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "s", "a"), "a"),
    "number": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "n", 4294967295), "4294967295"),
    "large number": (
        "%DYNAMIC_METADATA(ns:k)%",
        (DYNAMIC, "ns", "k", "n", 9007199254740991),
        "9007199254740991",
    ),
    "fraction": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "n", "0.1"), "0.1"),
    "less than nothing": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "n", -7), "-7"),
    "true": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "b", 1), "true"),
    "false": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "b", 0), "false"),
    "a list": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "ns", "k", "S", "a"), "-"),
    "another namespace": ("%DYNAMIC_METADATA(ns:k)%", (DYNAMIC, "n", "k", "s", "a"), "-"),
    "the route's": ("%DYNAMIC_METADATA(ns:k)%", (ROUTE, "ns", "k", "s", "a"), "-"),
}


@pytest.mark.parametrize("case", THERE)
def test_what_is_there(each_host: Host, access: MakeConfig, case: str) -> None:
    """Its text; "-" for what is not there, or has none."""
    text, put, expected = THERE[case]
    config = access(each_host, state={"made": text})
    stream = config.stream()
    stream.put_state(*put)
    stream.request_headers()
    stream.complete()
    assert expected == stream.state()["made"]


def test_earlier_keys(host: Host, access: MakeConfig) -> None:
    """Keys are written in the order of their names, and a later one can read an earlier one."""
    config = access(host, state={"b": "<%FILTER_STATE(a)%>", "a": "<%FILTER_STATE(b)%>"})
    stream = config.stream()
    stream.request_headers()
    stream.complete()
    state = stream.state()
    assert ("<->", "<<->>") == (state["a"], state["b"])
