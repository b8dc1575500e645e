# SPDX-License-Identifier: Apache-2.0
"""The HTTP/3 client and listener, and our filter behind them."""

from __future__ import annotations

from collections.abc import Callable

from .conftest import SiteMaker
from .http3 import Certificate
from .messages import Answer, Gate, Request
from .oracle import check, check_request, wire_headers
from .site import Site


def test_many_exchanges(new_site: Callable[[], Site], certificate: Certificate) -> None:
    """One connection serves one stream after the other, whatever their size."""
    here = new_site().open([], quic=certificate)
    with here.client("HTTP/3") as client:
        for size in (0, 5, 300_000):
            got = client.fetch(Request(path=b"/bytes/%d" % size))
            assert (200, size, True) == (got.status, len(got.body), got.whole)
    # Envoy writes the last line when its client has acknowledged everything, or has left.
    assert {client.address} == {line["downstream_remote_address"] for line in here.oracle(3)}


def test_gates_and_aborts(site: SiteMaker, certificate: Certificate) -> None:
    """A client can give up a stream that the upstream holds back, and go on with another."""
    here = site(access={}, quic=certificate)
    gate = Gate()
    path = here.upstream.serve(Answer(body=[b"one", b"two"], wait_in_body=gate))
    with here.client("HTTP/3") as client:
        client.open(Request(path=path, headers=[(b"x-request-id", b"r")]), ends=True)
        assert 200 == client.read_head().status
        client.abort()
        (told,) = here.oracle()
        assert 200 == client.fetch(Request()).status
    gate.open()
    assert 200 == told["response_code"]
    entry = here.responses(2)[0]
    check(entry, told, here.envoy.release)


def test_entries(site: SiteMaker, certificate: Certificate) -> None:
    """Both entries say what Envoy says, and have the headers of the wire."""
    here = site(access={}, quic=certificate)
    got = here.fetch("HTTP/3", answer=Answer(headers=[(b"x-a", b"1"), (b"x-a", b"2")]))
    (told,) = here.oracle()
    first, second = here.entries(2)
    check_request(first, told)
    check(second, told, here.envoy.release)
    assert "HTTP/3" == second["protocol"]
    assert wire_headers(got) == second["response_headers"]
