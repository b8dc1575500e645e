# SPDX-License-Identifier: Apache-2.0
"""Header maps."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from envoy_pyfilter import Headers
from envoy_pyfilter._host import HeaderMap
from envoy_pyfilter.testing import FakeHost

PAIRS = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"empty", b"")]


class CountingHost(FakeHost):
    """Counts how often a map is read."""

    reads = 0

    def headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """Count, and answer."""
        self.reads += 1
        return super().headers(header_map)


@pytest.fixture
def host() -> CountingHost:
    """Give a host with request headers."""
    host = CountingHost()
    host.maps[HeaderMap.REQUEST_HEADERS] = list(PAIRS)
    return host


@pytest.fixture
def headers(host: CountingHost) -> Headers:
    """Give the host's request headers."""
    return Headers(host, HeaderMap.REQUEST_HEADERS)


@pytest.fixture
def absent(host: CountingHost) -> Headers:
    """Give a map that is not there."""
    return Headers(host, HeaderMap.RESPONSE_TRAILERS)


def test_get(headers: Headers) -> None:
    """The first value, by a name in any case; a default for what is not there."""
    found = [headers.get("a"), headers.get(b"A"), headers.get("empty"), headers.get("c")]
    assert [b"1", b"1", b"", None] == found
    assert (b"x", 0) == (headers.get("c", b"x"), headers.get("c", 0))


def test_get_all(headers: Headers) -> None:
    """All values of a name, in order; changing the list changes nothing."""
    headers.get_all("a").clear()
    assert ([b"1", b"3"], []) == (headers.get_all("a"), headers.get_all("c"))


def test_item(headers: Headers) -> None:
    """A value that must be there is an item."""
    assert b"1" == headers["A"]
    with pytest.raises(KeyError, match="c"):
        headers["c"]


def test_whole(headers: Headers) -> None:
    """Pairs are iterated and counted in Envoy's order."""
    assert PAIRS == list(headers)
    assert PAIRS == headers.items()
    assert len(PAIRS) == len(headers)


def test_contains(headers: Headers) -> None:
    """Names are in the map; what is no name is not."""
    assert [True, True, True, False, False] == [
        name in headers for name in ("a", b"A", "empty", "c", 5)
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda h: h.set("A", "x"), [(b"b", b"2"), (b"empty", b""), (b"a", b"x")]),
        (lambda h: h.set("c", b"x"), [*PAIRS, (b"c", b"x")]),
        (lambda h: h.set("b", ""), [(b"a", b"1"), (b"a", b"3"), (b"empty", b"")]),
        (lambda h: h.add("b", "x"), [*PAIRS, (b"b", b"x")]),
        (lambda h: h.remove("A"), [(b"b", b"2"), (b"empty", b"")]),
        (lambda h: h.remove("c"), PAIRS),
    ],
)
def test_changes(
    headers: Headers, change: Callable[[Headers], None], expected: list[tuple[bytes, bytes]]
) -> None:
    """What is changed is what is read next."""
    assert PAIRS == list(headers)
    change(headers)
    assert expected == list(headers)
    assert dict(reversed(expected)) == {name: headers[name] for name, _ in expected}


def test_change_while_iterating(headers: Headers) -> None:
    """An iteration sees the map as it was when it began."""
    for name, _ in headers:
        headers.remove(name)
    assert [] == list(headers)


def test_one_read(host: CountingHost, headers: Headers) -> None:
    """A map is read once, until it is changed or forgotten."""
    headers.get("a")
    headers.get("b")
    assert (list(headers), 1) == (PAIRS, host.reads)
    headers.set("c", "d")
    headers.get("a")
    assert 2 == host.reads
    headers._forget()
    headers.get("a")
    assert 3 == host.reads


def test_absent_map_is_empty(absent: Headers) -> None:
    """A map that the stream does not have can be read and is empty."""
    absent.remove("a")
    assert (None, [], [], 0) == (absent.get("a"), absent.get_all("a"), list(absent), len(absent))


@pytest.mark.parametrize("name", ["set", "add"])
def test_absent_map_cannot_be_changed(absent: Headers, name: str) -> None:
    """A change that would go nowhere is an error."""
    with pytest.raises(LookupError, match="the stream has no response trailers to change"):
        getattr(absent, name)("a", "b")


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda h: h.set("a b", "c"), "not a header name: b'a b'"),
        (lambda h: h.set("a", "c\r\nd: e"), "control character in a header value: b'c\\r\\nd: e'"),
        (lambda h: h.add("a", "c\n"), "control character in a header value: b'c\\n'"),
        (lambda h: h.add("a", ""), "cannot add an empty value to 'a'"),
        (lambda h: h.get("a b"), "not a header name: b'a b'"),
    ],
)
def test_bad_arguments(headers: Headers, call: Callable[[Headers], object], problem: str) -> None:
    """What is no header does not get to Envoy."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        call(headers)
    assert PAIRS == list(headers)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda h: h.set(":path", ""), "Envoy cannot do without b':path'"),
        (lambda h: h.remove(":Path"), "Envoy cannot do without b':path'"),
        (lambda h: h.remove("host"), "Envoy cannot do without b'host'"),
        (lambda h: h.add(":path", "/b"), "':path' has one value: set it"),
        (lambda h: h.set(":status", "200"), "request headers cannot hold b':status'"),
        (lambda h: h.set(":other", "x"), "request headers cannot hold b':other'"),
        (lambda h: h.set(":path", "/a b"), "blank or control character in b':path': b'/a b'"),
        (lambda h: h.set(":path", "/\x7f"), "control character in a header value: b'/\\x7f'"),
        (lambda h: h.set(":method", "A\tB"), "blank or control character in b':method': b'A\\tB'"),
        (lambda h: h.set("host", "a b"), "blank or control character in b'host': b'a b'"),
    ],
)
def test_pseudo_headers_stay(
    headers: Headers, call: Callable[[Headers], object], problem: str
) -> None:
    """Envoy trusts its filters with the headers that it needs; others would end it or its peer."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        call(headers)
    assert PAIRS == list(headers)


def test_pseudo_headers_change(headers: Headers) -> None:
    """A pseudo header can be changed; bytes that are no ASCII pass Envoy, too."""
    headers.set(":path", b"/b\xff#%20")
    assert b"/b\xff#%20" == headers[":path"]


@pytest.mark.parametrize("status", ["", "abc", "100", "600", "2000", "20"])
def test_bad_status(host: CountingHost, status: str) -> None:
    """A status that is none would end Envoy, too."""
    host.maps[HeaderMap.RESPONSE_HEADERS] = [(b":status", b"200")]
    answer = Headers(host, HeaderMap.RESPONSE_HEADERS)
    with pytest.raises(ValueError, match="status"):
        answer.set(":status", status)
    answer.set(":status", "404")
    assert b"404" == answer[":status"]


def test_repr_keeps_secrets(headers: Headers) -> None:
    """Headers hold secrets, and tracebacks are logged."""
    assert "<Headers: request headers>" == repr(headers)
