# SPDX-License-Identifier: Apache-2.0
"""Answers without a body leave the connection where the client expects its next response."""

from __future__ import annotations

import pytest

from .conftest import SiteMaker

PIECES = """
    stream.start_response({status})
    stream.send_response_data({data})
    stream.send_response_data(b'', end_of_stream=True)
"""
ANSWERS = {
    "HEAD in pieces": (b"HEAD", PIECES.format(status=200, data=b"HTTP/1.1 299 Mine")),
    "HEAD, with trailers": (
        b"HEAD",
        "stream.start_response(200); stream.send_response_trailers([('x-end', '1')])",
    ),
    "HEAD": (b"HEAD", "return Reply(200, b'HTTP/1.1 299 Mine')"),
    "204 in pieces": (b"GET", PIECES.format(status=204, data=b"")),
    "304 in pieces": (b"GET", PIECES.format(status=304, data=b"")),
    "data after 304": (b"GET", PIECES.format(status=304, data=b"HTTP/1.1 299 Mine")),
    "204": (b"GET", "return Reply(204)"),
    "304": (b"GET", "return Reply(304)"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_is_left_over(site: SiteMaker, name: str) -> None:
    """Such an answer and the next one stand in the connection, and nothing between them."""
    method, code = ANSWERS[name]
    here = site(
        {
            "on_request_headers": "if stream.request_headers[':path'] == b'/bare':\n"
            + "\n".join(f"    {line.strip()}" for line in code.strip().splitlines())
            + "\nelse:\n    return Reply(403, 'whole')"
        }
    )
    bare = method + b" /bare HTTP/1.1\r\nhost: a\r\n\r\n"
    got = here.raw(bare + b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")

    heads = got.split(b"\r\n\r\n")
    assert [True, True, False] == [part.startswith(b"HTTP/1.1 ") for part in heads]
    assert b"whole" == heads[2]
    here.oracle(2)
