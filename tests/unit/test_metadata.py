# SPDX-License-Identifier: Apache-2.0
"""Metadata and filter state."""

from __future__ import annotations

import re
from typing import Any

import pytest
from envoy_pyfilter.testing import FakeHost, FakeStream

from .helpers import filter_with


@pytest.fixture
def fake() -> FakeStream:
    """Give a stream with metadata of each source."""
    return FakeStream(
        filter_with(),
        metadata={"own": {"a": "dynamic"}},
        route_metadata={"own": {"a": "route", "b": 2.0}},
        cluster_metadata={"own": {"a": "cluster"}},
        host_metadata={"own": {"a": "host"}},
        filter_state={"key": "value"},
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("metadata", "dynamic"),
        ("route_metadata", "route"),
        ("cluster_metadata", "cluster"),
        ("host_metadata", "host"),
    ],
)
def test_each_source(fake: FakeStream, source: str, expected: str) -> None:
    """Each source has its own values; what is not there is None."""
    metadata = getattr(fake.stream, source)
    assert [expected, None, None] == [
        metadata.get("own", "a"),
        metadata.get("own", "none"),
        metadata.get("none", "a"),
    ]
    assert ["own"] == metadata.namespaces()


def test_keys(fake: FakeStream) -> None:
    """The keys of a namespace; none where it is not there."""
    metadata = fake.stream.route_metadata
    assert (["a", "b"], []) == (metadata.keys("own"), metadata.keys("none"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (1, 1.0),
        (1.5, 1.5),
        (True, True),
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ([1, 2.5], [1.0, 2.5]),
        ([True, False], [True, False]),
        ([], []),
    ],
)
def test_set(fake: FakeStream, value: Any, expected: object) -> None:
    """What is set comes back, of the type that Envoy keeps."""
    fake.stream.metadata.set("new", "key", value)
    found = fake.stream.metadata.get("new", "key")
    assert (expected, type(expected)) == (found, type(found))
    if isinstance(expected, list) and expected:
        assert isinstance(found, list)
        assert type(expected[0]) is type(found[0])


def test_lists_are_appended_to(fake: FakeStream) -> None:
    """A second list adds to the first."""
    fake.stream.metadata.set("new", "key", ["a"])
    fake.stream.metadata.set("new", "key", ["b"])
    assert ["a", "b"] == fake.stream.metadata.get("new", "key")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "metadata must be str, number, bool or a list of these, got NoneType"),
        (b"bytes", "metadata must be str, number, bool or a list of these, got bytes"),
        ({"a": 1}, "metadata must be str, number, bool or a list of these, got dict"),
        (["a", 1], "the items of a metadata list must be of one type"),
        ([True, 1.0], "the items of a metadata list must be of one type"),
        ([["a"]], "metadata must be str, number, bool or a list of these, got list"),
    ],
)
def test_values_that_metadata_cannot_hold(fake: FakeStream, value: Any, problem: str) -> None:
    """What Envoy's metadata cannot hold is refused by name."""
    with pytest.raises(TypeError, match=re.escape(problem)):
        fake.stream.metadata.set("new", "key", value)


def test_list_over_a_scalar(fake: FakeStream) -> None:
    """A list cannot be appended to what is no list."""
    with pytest.raises(LookupError, match=re.escape("Envoy refused the metadata own.a")):
        fake.stream.metadata.set("own", "a", ["x"])


def test_filter_state(fake: FakeStream) -> None:
    """State is bytes under a name."""
    state = fake.stream.filter_state
    state["new"] = "é"
    state.set(b"raw", b"\xff")
    assert [b"value", b"\xc3\xa9", b"\xff", None, b"else"] == [
        state["key"],
        state["new"],
        state.get("raw"),
        state.get("none"),
        state.get("none", b"else"),
    ]
    assert [True, False, False] == ["key" in state, "none" in state, 5 in state]
    with pytest.raises(KeyError, match="none"):
        state["none"]


def test_filter_state_is_written_once(fake: FakeStream) -> None:
    """The first value stays, as in Envoy, which would log a bug of its own."""
    with pytest.raises(LookupError, match="the filter state 'key' is written already"):
        fake.stream.filter_state["key"] = "other"
    assert b"value" == fake.stream.filter_state["key"]


def test_filter_state_refused(monkeypatch: pytest.MonkeyPatch, fake: FakeStream) -> None:
    """When Envoy refuses a key, the filter is told."""
    monkeypatch.setattr(FakeHost, "set_filter_state", lambda *_: False)
    with pytest.raises(LookupError, match="Envoy refused the filter state 'new'"):
        fake.stream.filter_state["new"] = "other"
