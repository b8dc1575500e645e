# SPDX-License-Identifier: Apache-2.0
"""Bodies and trailers: read, drained, appended to and replaced, and what the other side gets."""

from __future__ import annotations

import pytest

from .conftest import SiteMaker
from .messages import Answer, Gate, Request
from .site import Site

CHANGES = {
    "drain": ("body.drain(2)", b"cdef"),
    "drain all": ("body.drain(len(body.complete))", b""),
    "append": ("body.append(b'-end')", b"abcdef-end"),
    "replace": ("body.replace(b'other')", b"other"),
    "replace by more": ("body.replace(b'x' * 100_000)", b"x" * 100_000),
    "replace by nothing": ("body.replace(b'')", b""),
    "bytes of each value": ("body.replace(bytes(range(256)))", bytes(range(256))),
}


def exchange(site: Site, protocol: str) -> tuple[bytes, bytes]:
    """Send and answer "abcdef" in one piece; give what the upstream and the client got."""
    path = site.upstream.serve(Answer(body=[b"abcdef"]))
    got = site.fetch(protocol, Request(method=b"POST", path=path, body=[b"abcdef"]))
    (came,) = site.upstream.received(path)
    assert (200, True) == (got.status, got.whole)
    return b"".join(came.body), got.body


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", ["request", "response"])
def test_change_of_received_bytes(site: SiteMaker, protocol: str, side: str, change: str) -> None:
    """A piece can be changed as it passes, also to another length."""
    code, expected = CHANGES[change]
    here = site(
        {
            f"on_{side}_headers": f"stream.{side}_headers.remove('content-length')",
            f"on_{side}_body": f"""
                body = stream.{side}_body
                if body.size:
                    {code}
            """,
        }
    )
    came, got = exchange(here, protocol)
    assert expected == (came if side == "request" else got)
    assert b"abcdef" == (got if side == "request" else came)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", ["request", "response"])
def test_change_of_buffered_bytes(site: SiteMaker, protocol: str, side: str, change: str) -> None:
    """A buffered body can be changed as a whole, when all of it is there."""
    code, expected = CHANGES[change]
    here = site(
        {
            f"on_{side}_headers": f"""
                stream.{side}_headers.remove('content-length')
                return BUFFER
            """,
            f"on_{side}_body": f"""
                body = stream.{side}_body
                if not end_of_stream:
                    return BUFFER
                saw(body.complete)
                {code}
            """,
        }
    )
    came, got = exchange(here, protocol)
    assert [b"abcdef"] == here.seen(1)
    assert expected == (came if side == "request" else got)


@pytest.mark.parametrize("side", ["request", "response"])
def test_sizes(site: SiteMaker, protocol: str, side: str) -> None:
    """Sizes are those of what is received, and of what is buffered already."""
    here = site(
        {
            f"on_{side}_headers": "return BUFFER",
            f"on_{side}_body": f"""
                body = stream.{side}_body
                old = stream.data.get('old', 0)
                stream.data['old'] = old + body.size
                saw(body.size == len(body.read()), body.buffered_size == len(body.read_buffered()),
                    len(body.complete) - old - body.size)
                return PASS if end_of_stream else BUFFER
            """,
        }
    )
    path = here.upstream.serve(Answer(body=[b"x" * 50_000, b"y" * 50_000]))
    request = Request(method=b"POST", path=path, body=[b"a" * 50_000, b"b" * 50_000])
    assert 200 == here.fetch(protocol, request).status
    assert {(True, True, 0)} == set(here.seen())


@pytest.mark.parametrize("side", ["request", "response"])
def test_body_added_to_headers_alone(site: SiteMaker, protocol: str, side: str) -> None:
    """Without a body there is nothing to read, and reading says so."""
    here = site({f"on_{side}_headers": f"saw(stream.{side}_body.read(), stream.{side}_body.size)"})
    path = here.upstream.serve(Answer(status=204, body=()))
    assert 204 == here.fetch(protocol, path=path).status
    assert [(b"", 0)] == here.seen(1)


@pytest.mark.parametrize("side", ["request", "response"])
def test_trailers(site: SiteMaker, protocol: str, side: str) -> None:
    """Trailers are read, changed, added and removed like headers."""
    here = site(
        {
            f"on_{side}_trailers": f"""
                trailers = stream.{side}_trailers
                saw(sorted(trailers.items()))
                trailers.set('x-one', b'changed')
                trailers.add('x-three', b'new')
                trailers.remove('x-two')
            """
        }
    )
    old = [(b"x-one", b"1"), (b"x-two", b"2")]
    path = here.upstream.serve(Answer(trailers=old))
    request = Request(
        method=b"POST", path=path, headers=[(b"te", b"trailers")], body=[b"a"], trailers=old
    )
    got = here.fetch(protocol, request)
    (came,) = here.upstream.received(path)

    new = [(b"x-one", b"changed"), (b"x-three", b"new")]
    assert [old] == here.seen(1)
    assert (new, old) == (
        (sorted(came.trailers), sorted(got.trailers))
        if side == "request"
        else (sorted(got.trailers), sorted(came.trailers))
    )


def test_large_bodies_whole(site: SiteMaker, protocol: str) -> None:
    """Megabytes in many pieces come through a filter that reads each piece."""
    count = """
        seen = len(stream.{side}_body.read())
        stream.data['{name}'] = stream.data.get('{name}', 0) + seen
    """
    here = site(
        {
            "on_request_body": count.format(name="n", side="request"),
            "on_response_body": count.format(name="m", side="response"),
            "on_stream_complete": "saw(stream.data['n'], stream.data['m'])",
        }
    )
    path = here.upstream.serve(Answer(body=[b"y" * 100_000] * 30))
    got = here.fetch(protocol, method=b"POST", path=path, body=[b"x" * 100_000] * 20)
    (came,) = here.upstream.received(path)

    assert 3_000_000 == len(got.body)
    assert 2_000_000 == sum(map(len, came.body))
    assert [(2_000_000, 3_000_000)] == here.seen(1)


@pytest.mark.parametrize(
    ("policy", "then"), [("deny", "return PASS"), ("deny", "1 / 0"), ("allow", "1 / 0")]
)
def test_held_response_that_is_too_large_to_let_go(
    site: SiteMaker, protocol: str, policy: str, then: str
) -> None:
    """A response whose headers have gone on is cut off, however the hook ends; Envoy goes on."""
    hooks = {
        "on_response_headers": "stream.buffer_limit = 2000",
        "on_response_body": f"""
            saw(stream.response_body.size, stream.response_body.buffered_size)
            if not stream.response_body.buffered_size:
                return BUFFER
            {then}
        """,
    }
    here = site(hooks, config={"on_error": policy})
    gate = Gate()
    path = here.upstream.serve(Answer(body=(b"a" * 1000, b"b" * 5000), wait_in_body=gate))
    with here.client(protocol) as client:
        client.open(Request(path=path), ends=True)
        assert [(1000, 0)] == here.seen(1)
        gate.open()
        got = client.finish()
    assert (200, False) == (got.status, got.whole)
    assert here.seen()[1][0] > 1000
    assert 200 == here.fetch(protocol, path=b"/bytes/10").status
