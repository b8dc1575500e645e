# SPDX-License-Identifier: Apache-2.0
"""Header maps: what is read, and what set, add and remove do on the wire."""

from __future__ import annotations

import pytest

from .conftest import SiteMaker
from .messages import Answer, Pairs, Request
from .site import Site

OLD = [(b"x-one", b"1"), (b"x-two", b"first"), (b"x-two", b"second"), (b"x-raw", b"\xff\x80 \xe9")]
CHANGES: dict[str, tuple[str, dict[bytes, list[bytes]]]] = {
    "set": ("headers.set('x-one', b'new')", {b"x-one": [b"new"]}),
    "set text": ("headers.set(b'X-One', 'n\\xe9w')", {b"x-one": [b"n\xe9w"]}),
    "set one for many": ("headers.set('x-two', b'only')", {b"x-two": [b"only"]}),
    "set a new one": ("headers.set('x-new', b'born')", {b"x-new": [b"born"]}),
    "add": ("headers.add('x-two', b'third')", {b"x-two": [b"first", b"second", b"third"]}),
    "add a new one": ("headers.add('x-new', b'born')", {b"x-new": [b"born"]}),
    "remove": ("headers.remove('x-two')", {b"x-two": []}),
    "remove what is not there": ("headers.remove('x-none')", {}),
    "raw bytes": ("headers.set('x-raw', b'\\xfe\\x01\\xff'[:1])", {b"x-raw": [b"\xfe"]}),
}


def exchange(site: Site, protocol: str) -> tuple[Pairs, Pairs]:
    """Send and answer with the old headers; give what the upstream and the client got."""
    path = site.upstream.serve(Answer(headers=OLD))
    got = site.fetch(protocol, Request(path=path, headers=OLD))
    (came,) = site.upstream.received(path)
    assert 200 == got.status
    return came.headers, got.headers


def values(headers: Pairs) -> dict[bytes, list[bytes]]:
    """Values by name, for the names of these tests."""
    found: dict[bytes, list[bytes]] = {name: [] for name, _ in [*OLD, (b"x-new", b"")]}
    for name, value in headers:
        if name in found:
            found[name].append(value)
    return found


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", ["request", "response"])
def test_changes(site: SiteMaker, protocol: str, side: str, change: str) -> None:
    """A change is on the wire behind us, and nothing else is."""
    code, expected = CHANGES[change]
    here = site({f"on_{side}_headers": f"headers = stream.{side}_headers; {code}"})
    came, got = exchange(here, protocol)
    changed, untouched = (came, got) if side == "request" else (got, came)

    assert {**values(OLD), **expected} == values(changed)
    assert values(OLD) == values(untouched)


@pytest.mark.parametrize("side", ["request", "response"])
def test_reading(site: SiteMaker, protocol: str, side: str) -> None:
    """Every way of reading gives bytes, in order, repeated names included."""
    here = site(
        {
            f"on_{side}_headers": f"""
                headers = stream.{side}_headers
                saw(headers.get('X-One'), headers.get(b'x-two'), headers.get('x-none'),
                    headers.get('x-none', b'else'))
                saw(headers.get_all('x-two'), headers.get_all('x-none'), headers.get('x-raw'))
                saw('x-one' in headers, b'X-ONE' in headers, 'x-none' in headers)
                saw([pair for pair in headers if pair[0] in (b'x-one', b'x-two')])
                saw(list(headers) == list(headers.items()), len(headers) == len(list(headers)))
            """
        }
    )
    exchange(here, protocol)
    assert [
        (b"1", b"first", None, b"else"),
        ([b"first", b"second"], [], b"\xff\x80 \xe9"),
        (True, True, False),
        [(b"x-one", b"1"), (b"x-two", b"first"), (b"x-two", b"second")],
        (True, True),
    ] == here.seen(5)


def test_changes_are_read_back(site: SiteMaker, protocol: str) -> None:
    """Within a hook and in later ones a filter reads what it wrote."""
    here = site(
        {
            "on_request_headers": """
                headers = stream.request_headers
                before = headers.get('x-one')
                headers.set('x-one', b'changed'); headers.add('x-two', b'third')
                headers.remove('x-raw')
                saw(before, headers.get('x-one'), headers.get_all('x-two'), 'x-raw' in headers)
            """,
            "on_response_headers": """
                stream.response_headers.set('x-one', b'late')
                saw(stream.request_headers.get('x-one'))
            """,
            "on_stream_complete": """
                saw(stream.request_headers.get('x-one'), stream.response_headers.get('x-one'))
            """,
        }
    )
    exchange(here, protocol)
    assert [
        (b"1", b"changed", [b"first", b"second", b"third"], False),
        b"changed",
        (b"changed", b"late"),
    ] == here.seen(3)


def test_pseudo_headers(site: SiteMaker, protocol: str) -> None:
    """Pseudo headers are read and changed like others; so a filter can rewrite the path."""
    here = site(
        {
            "on_request_headers": """
                headers = stream.request_headers
                saw(headers.get(':method'), headers.get(':authority'), headers.get(':scheme'))
                headers.set(':path', stream.request_headers.get('x-to'))
            """,
            "on_response_headers": "saw(stream.response_headers.get(':status'))",
        }
    )
    path = here.upstream.serve(Answer(status=299))
    got = here.fetch(protocol, path=b"/elsewhere", headers=[(b"x-to", path)])

    assert 299 == got.status
    assert [(b"GET", b"e2e.test", b"http"), b"299"] == here.seen(2)


@pytest.mark.parametrize("name", [":path", ":method", ":authority", "host"])
def test_no_forged_request_line(site: SiteMaker, protocol: str, name: str) -> None:
    """A value that would read as more than one part of a request line does not get there."""
    here = site(
        {
            "on_request_headers": f"""
                headers = stream.request_headers
                for value in (b'/a HTTP/1.1', b'/a\\tb', b' ', b'/a\\x7f'):
                    saw(refusal(lambda: headers.set('{name}', value)))
            """
        }
    )
    path = here.upstream.serve(Answer())
    assert 200 == here.fetch(protocol, path=path).status
    (came,) = here.upstream.received(path)
    assert (b"GET", b"e2e.test") == (came.method, came.authority)
    assert ["ValueError"] * 4 == here.seen(4)


def test_status_changed(site: SiteMaker, protocol: str) -> None:
    """A filter can change the response's status."""
    here = site({"on_response_headers": "stream.response_headers.set(':status', b'418')"})
    assert 418 == here.fetch(protocol).status


def test_maps_that_are_not_there(site: SiteMaker, protocol: str) -> None:
    """Maps of what did not come yet, or never comes, are empty."""
    here = site(
        {
            "on_request_headers": """
                for found in (stream.request_trailers, stream.response_headers,
                              stream.response_trailers):
                    saw(found.get('x'), list(found), len(found), 'x' in found)
            """
        }
    )
    here.fetch(protocol)
    assert [(None, [], 0, False)] * 3 == here.seen(3)


def test_empty_value(site: SiteMaker) -> None:
    """A header may be empty: it is read as such."""
    here = site({"on_request_headers": "saw(stream.request_headers.get('x-empty'))"})
    here.fetch(headers=[(b"x-empty", b"")])
    assert [b""] == here.seen(1)


def test_many_headers(site: SiteMaker, protocol: str) -> None:
    """Ninety headers come through whole and in order."""
    many = [(b"x-h%d" % number, b"v%d" % number) for number in range(90)]
    here = site(
        {"on_request_headers": "saw([p for p in stream.request_headers if p[0][:3] == b'x-h'])"}
    )
    here.fetch(protocol, headers=many)
    assert [many] == here.seen(1)
