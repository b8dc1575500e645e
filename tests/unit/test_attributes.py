# SPDX-License-Identifier: Apache-2.0
"""Attributes: names, numbers and types."""

from __future__ import annotations

import re

import pytest
from envoy_pyfilter.attributes import ATTRIBUTES, find
from envoy_pyfilter.testing import FakeStream

from .abi import enumerators
from .helpers import filter_with


def test_numbers_are_the_abis() -> None:
    """Each of the ABI's attributes has its dotted name here, and its number."""
    plain = {name.replace(".", "").replace("_", ""): a.number for name, a in ATTRIBUTES.items()}
    assert {name.lower(): value for name, value in enumerators("attribute_id").items()} == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request.path", "/a"),
        ("source.address", "10.0.0.1:5"),
        ("response.code", 418),
        ("connection.mtls", True),
        ("connection.mtls", False),
    ],
)
def test_values_have_their_type(name: str, value: str | int | bool) -> None:
    """Text is str, numbers are int, flags are bool."""
    stream = FakeStream(filter_with(), attributes={name: value}).stream
    assert (value, type(value)) == (stream.attribute(name), type(stream.attribute(name)))


@pytest.mark.parametrize("name", ["request.path", "response.code", "connection.mtls", "xds.node"])
def test_none_without_a_value(name: str) -> None:
    """What Envoy does not have (yet) is None."""
    assert FakeStream(filter_with()).stream.attribute(name) is None


@pytest.mark.parametrize(
    ("name", "release", "expected"),
    [
        ("xds.route_name", 38, "value"),
        ("response.code_details", 38, None),
        ("response.code_details", 39, "value"),
        ("xds.cluster_name", 39, None),
        ("xds.cluster_name", 40, "value"),
        ("xds.node", 40, None),
    ],
)
def test_releases_are_asked_for_what_they_serve(
    name: str, release: int, expected: str | None
) -> None:
    """Envoy 1.38 would log an error for each question that it cannot answer."""
    fake = FakeStream(filter_with(), attributes={name: "value"})
    fake.minor = release
    assert expected == fake.stream.attribute(name)


def test_text_is_latin_1() -> None:
    """No byte that a client sends can make an attribute fail."""
    fake = FakeStream(filter_with(), attributes={"request.path": "/\xff"})
    assert "/\xff" == fake.stream.attribute("request.path")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("request.pat", "unknown attribute request.pat; did you mean request.path?"),
        ("zzz", "unknown attribute zzz"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    """A name that does not exist is an error that names the nearest."""
    with pytest.raises(KeyError, match=re.escape(message)):
        find(name)
