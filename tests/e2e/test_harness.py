# SPDX-License-Identifier: Apache-2.0
"""The harness itself, on Envoys without our filter: what the other tests lean on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .http3 import Certificate
from .messages import Answer, Gate, Request
from .site import Site


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2", "HTTP/3"])
def test_whole_exchange(
    new_site: Callable[[], Site], certificate: Certificate, protocol: str
) -> None:
    """Headers, bodies in pieces and trailers go both ways, byte by byte."""
    here = new_site().open([], quic=certificate if protocol == "HTTP/3" else None)
    path = here.upstream.serve(
        Answer(
            status=201,
            headers=[(b"x-many", b"one"), (b"x-many", b"two"), (b"x-odd", b"\xff\xfe")],
            body=[b"first ", b"second"],
            trailers=[(b"x-end", b"yes")],
        )
    )
    sent = Request(
        method=b"POST",
        path=path,
        headers=[(b"x-request-id", b"r1"), (b"te", b"trailers")],
        body=[b"a" * 70_000, b"b"],
        trailers=[(b"x-last", b"z")],
    )
    got = here.fetch(protocol, sent)
    (came,) = here.upstream.received(path)
    (told,) = here.oracle()

    assert (201, b"first second", True) == (got.status, got.body, got.whole)
    assert [b"one", b"two"] == got.get_all(b"x-many")
    assert b"\xff\xfe" == got.get(b"x-odd")
    assert [(b"x-end", b"yes")] == list(got.trailers)
    assert b"a" * 70_000 + b"b" == b"".join(came.body)
    assert [(b"x-last", b"z")] == list(came.trailers)
    assert (protocol, "r1", 201) == (told["protocol"], told["request_id"], told["response_code"])


def test_gates_and_aborts(new_site: Callable[[], Site], protocol: str) -> None:
    """A client can go away in the middle of a response that the upstream holds back."""
    here = new_site().open([])
    gate = Gate()
    path = here.upstream.serve(Answer(body=[b"one", b"two"], wait_in_body=gate))
    with here.client(protocol) as client:
        client.open(Request(path=path), ends=True)
        assert 200 == client.read_head().status
        client.abort()
    (told,) = here.oracle()
    gate.open()

    assert "downstream_remote_disconnect" == told["response_code_details"] or protocol == "HTTP/2"
    assert "DC" == told["response_flags"] or protocol == "HTTP/2"


def test_upstream_resets(new_site: Callable[[], Site], protocol: str) -> None:
    """An upstream that resets is told by Envoy as such."""
    here = new_site().open([])
    got = here.fetch(protocol, answer=Answer(reset="before_headers"))
    cut = here.fetch(protocol, answer=Answer(reset="in_body", body=[b"one", b"two"]))
    first, second = here.oracle(2)

    assert (503, True) == (got.status, got.whole)
    assert (200, False) == (cut.status, cut.whole)
    assert (503, "UC") == (first["response_code"], first["response_flags"]) or protocol == "HTTP/2"
    assert 200 == second["response_code"]


def test_grpc(new_site: Callable[[], Site]) -> None:
    """The gRPC library gets its messages back, and an error's status and message."""
    here = new_site().open([])
    error = [(b"grpc-status", b"7"), (b"grpc-message", b"no%20entry")]
    grpc_type = (b"content-type", b"application/grpc")
    denied = here.upstream.serve(Answer(headers=[grpc_type, *error], body=()))
    fine = here.grpc(messages=[b"one", b"two"])
    refused = here.grpc(denied.decode())
    first, second = here.oracle(2)

    assert (0, [b"one", b"two"]) == (fine.code, fine.answers)
    assert (7, "no entry") == (refused.code, refused.message)
    assert (0, 7) == (first["grpc_status"], second["grpc_status"])
