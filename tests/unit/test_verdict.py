# SPDX-License-Identifier: Apache-2.0
"""Verdicts, replies, and their numbers in the ABI."""

from __future__ import annotations

import re
import urllib.parse
from enum import IntEnum
from typing import Any

import pytest
from envoy_pyfilter import Reply, ResetReason
from envoy_pyfilter._host import BodyKind, HeaderMap, MetadataSource
from envoy_pyfilter.verdict import (
    BodyStatus,
    HeadersStatus,
    LocalReplyStatus,
    TrailersStatus,
    grpc_headers,
    percent_encoded,
)
from hypothesis import given
from hypothesis import strategies as st

from .abi import enumerators, snake


@pytest.mark.parametrize(
    ("own", "enum"),
    [
        (HeadersStatus, "on_http_filter_request_headers_status"),
        (HeadersStatus, "on_http_filter_response_headers_status"),
        (BodyStatus, "on_http_filter_request_body_status"),
        (BodyStatus, "on_http_filter_response_body_status"),
        (TrailersStatus, "on_http_filter_request_trailers_status"),
        (TrailersStatus, "on_http_filter_response_trailers_status"),
        (LocalReplyStatus, "on_http_filter_local_reply_status"),
    ],
)
def test_statuses_are_the_abis(own: type[IntEnum], enum: str) -> None:
    """Each status has the ABI's name and number."""
    expected = {snake(name): value for name, value in enumerators(enum).items()}
    assert expected == {member.name: member.value for member in own}


@pytest.mark.parametrize(
    ("own", "enum"),
    [
        (HeaderMap, "http_header_type"),
        (BodyKind, "http_body_type"),
        (MetadataSource, "metadata_source"),
        (ResetReason, "http_filter_stream_reset_reason"),
    ],
)
def test_numbers_are_the_abis(own: type[IntEnum], enum: str) -> None:
    """Each number has the ABI's value, in its order."""
    assert sorted(enumerators(enum).values()) == [member.value for member in own]


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"status": 199}, ValueError, "status of a reply must be 200 to 599, got 199"),
        ({"status": 600}, ValueError, "status of a reply must be 200 to 599, got 600"),
        ({"status": "403"}, ValueError, "status of a reply must be 200 to 599, got '403'"),
        ({"status": 403.0}, ValueError, "status of a reply must be 200 to 599, got 403.0"),
        ({"status": 403, "grpc_status": 7.0}, ValueError, "gRPC status must be 0 to 16, got 7.0"),
        (
            {"status": 403, "grpc_message": 1.5},
            TypeError,
            "grpc_message of a reply must be str, got float",
        ),
        ({"status": 403, "grpc_message": ["x"]}, TypeError, "must be str, got list"),
        ({"status": 403, "details": b"x"}, TypeError, "details of a reply must be str, got bytes"),
        ({"status": 403, "details": None}, TypeError, "must be str, got NoneType"),
        ({"status": 403, "headers": {"a": 5}}, TypeError, "must be str or bytes, got int"),
        ({"status": 403, "headers": {5: "a"}}, TypeError, "must be str or bytes, got int"),
        ({"status": 403, "grpc_status": 17}, ValueError, "gRPC status must be 0 to 16, got 17"),
        ({"status": 204, "body": "x"}, ValueError, "a reply with status 204 has no body"),
        ({"status": 304, "body": b"x"}, ValueError, "a reply with status 304 has no body"),
        ({"status": 403, "body": 5}, TypeError, "body of a reply must be bytes or str, got int"),
        ({"status": 403, "headers": {"a b": "c"}}, ValueError, "not a header name: b'a b'"),
        (
            {"status": 403, "headers": {"a": "c\n"}},
            ValueError,
            "control character in a header value",
        ),
        ({"status": 403, "headers": {":status": "200"}}, ValueError, "pseudo header"),
    ],
)
def test_impossible_replies(
    arguments: dict[str, Any], error: type[Exception], problem: str
) -> None:
    """What Envoy or a client could not take is refused where it is written."""
    with pytest.raises(error, match=re.escape(problem)):
        Reply(**arguments)


def test_replies_are_values() -> None:
    """Equal replies are equal, and none can be changed."""
    assert Reply(403, b"no") == Reply(403, body=b"no")
    with pytest.raises(AttributeError):
        Reply(403).status = 200  # type: ignore[misc]


def test_headers_of_a_reply_are_its_own() -> None:
    """An iterator gives its pairs to every use, and a list that changes later changes nothing."""
    pairs = [("A", "1")]
    once, listed = Reply(403, headers=iter(pairs)), Reply(403, headers=pairs)
    pairs.append(("b\r\n", "2"))
    assert ((b"a", b"1"),) == once.headers == listed.headers


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, 2),
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (429, 14),
        (500, 2),
        (502, 14),
        (503, 14),
        (504, 14),
    ],
)
def test_grpc_status_of_http(status: int, expected: int) -> None:
    """A reply without a gRPC status gets the one that its HTTP status means."""
    assert [(b"grpc-status", b"%d" % expected)] == grpc_headers(Reply(status))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(403, grpc_status=0), [(b"grpc-status", b"0")]),
        (Reply(403, "no"), [(b"grpc-status", b"7"), (b"grpc-message", b"no")]),
        (
            Reply(403, "no", grpc_message="é"),
            [(b"grpc-status", b"7"), (b"grpc-message", b"%C3%A9")],
        ),
        (Reply(403, "no", grpc_message=""), [(b"grpc-status", b"7")]),
        (Reply(403, b"50%\n"), [(b"grpc-status", b"7"), (b"grpc-message", b"50%25%0A")]),
    ],
)
def test_grpc_headers(reply: Reply, expected: list[tuple[bytes, bytes]]) -> None:
    """A gRPC client gets a status and a message as its protocol writes them."""
    assert expected == grpc_headers(reply)


@given(st.binary())
def test_percent_encoding_comes_back(message: bytes) -> None:
    """Any message survives, as printable ASCII."""
    encoded = percent_encoded(message)
    assert message == urllib.parse.unquote_to_bytes(encoded)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
