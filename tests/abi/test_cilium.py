# SPDX-License-Identifier: Apache-2.0
"""Packets of any streams, against an encoder that is built on the protobuf runtime."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from cli.packets import log_entry
from hypothesis import given, settings
from hypothesis import strategies as st

from .cilium import REQUEST, RESPONSE, Header, Life, decoded, expected, pairs_of
from .cilium_wire import Wire, begin, check
from .configs import REQUEST_HEADERS

SETTINGS = settings(max_examples=60)

token = st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-_")
names = st.one_of(
    st.text(token, min_size=1, max_size=40),
    st.sampled_from(
        [
            "x-request-id",
            "x-forwarded-proto",
            "x-envoy-original-path",
            "x-tokens",
            ":scheme",
            ":protocol",
        ]
    ),
).map(str.encode)
values = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=20).map(str.encode),
    st.integers(100, 5000).map(lambda length: b"v" * length),
)
headers = st.lists(st.tuples(names, values), max_size=12)
many = st.lists(st.tuples(names, st.binary(max_size=12)), min_size=1, max_size=200)
lives = st.builds(
    Life,
    request=st.tuples(
        values,
        st.lists(st.tuples(st.sampled_from([b":path", b":method", b":authority"]), values)),
        headers | many,
    ).map(lambda parts: [(b":method", parts[0]), *parts[1], *parts[2]]),
    response=st.tuples(st.integers(200, 599), headers | many).map(
        lambda parts: [(b":status", b"%d" % parts[0]), *parts[1]]
    ),
    protocol=st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"]),
    source=st.sampled_from(["10.0.0.1:1", "[2001:db8::1]:65535"]),
)


@SETTINGS
@given(life=lives)
def test_packets(wire: Wire, life: Life) -> None:
    """Any stream's packets are, byte for byte, those of the protobuf runtime."""
    config = wire.config(sink={"max_packet": 131072, "ring_bytes": 1 << 22})
    check(wire.live(config, life), life)


ORIGINAL = (b"x-envoy-original-path", b"/innocent")


@pytest.mark.parametrize("request_entry", [True, False])
@pytest.mark.parametrize("sent", [[], [ORIGINAL], [(ORIGINAL[0], b"")]])
def test_path_that_was_rewritten(wire: Wire, sent: list[Header], *, request_entry: bool) -> None:
    """What a route put aside is told; what the client put there is not."""
    config = wire.config(log={"request": request_entry})
    stream = begin(config, Life())

    def run() -> None:
        stream.request_headers([(b":path", b"/asked"), *sent], end=False)
        stream.map(REQUEST_HEADERS, [(b":path", b"/rewritten"), *(sent or [ORIGINAL])])
        stream.request_body(b"x")
        stream.response_headers()
        stream.finish()

    *first, response = (
        decoded(packet).http.path for packet in wire.packets(1 + request_entry, run)
    )
    assert ["/asked"] * request_entry == first
    assert ("/rewritten" if sent else "/innocent") == response


# --- packets that do not fit ---


NOTES = ("missing_headers", "rejected_headers")
MARKER_ROOM = 40  # bytes that are kept for the header that says what was trimmed
Pieces: TypeAlias = "list[tuple[str, tuple[str, str]]]"  # with the list that each stands in


def is_count(header: tuple[str, str]) -> bool:
    """Tell whether a header goes after the others."""
    return "token" in header[0] and len(header[1].encode()) <= 32


def kept_id(headers_of: list[tuple[str, str]]) -> int:
    """Return the place of the header that always stays, or -1."""
    for index, (name, value) in enumerate(headers_of):
        if name == "x-request-id" and len(value.encode()) <= 128:
            return index
    return -1


def pairs_by_rank(entry: Any) -> Pieces:
    """Give all that may be left out with the list it stands in, what goes last at first."""
    headers_of = [("headers", pair) for pair in pairs_of(entry)]
    ident = kept_id([pair for _, pair in headers_of])
    if ident >= 0:
        del headers_of[ident]
    notes = [(name, pair) for name in NOTES for pair in pairs_of(entry, name)]
    return notes + sorted(headers_of, key=lambda one: not is_count(one[1]))


def size_of(name: str, pair: tuple[str, str]) -> int:
    """Give the bytes that a pair takes in a packet."""
    http = log_entry()().http
    getattr(http, name).add(key=pair[0], value=pair[1])
    return int(http.ByteSize())


def check_left_out(some: Pieces, whole: Pieces, room: int) -> int:
    """
    Check that nothing that was left out would have fit in the place of what goes before it.

    *room* is what is left in the packet, in bytes. Returns how many pieces were left out.
    """
    there = []  # whether each piece is; *some* has to be in the order of *whole*
    rest = list(reversed(some))
    for piece in whole:
        there.append(bool(rest) and rest[-1] == piece)
        if there[-1]:
            rest.pop()
    assert not rest
    for piece, is_there in zip(reversed(whole), reversed(there), strict=True):
        assert is_there or size_of(*piece) > room
        room += is_there * size_of(*piece)
    return there.count(False)


def check_cut(message: Any, whole: Any) -> int:
    """Check what is left of the texts; how many were cut."""
    names = ("host", "path", "method", "scheme")
    left = {name: getattr(message.http, name) for name in names}
    cut = {name: text != getattr(whole.http, name) for name, text in left.items()}
    assert all(getattr(whole.http, name).startswith(text) for name, text in left.items())
    long = {name: len(text.encode()) for name, text in left.items()}
    character = 4
    assert not cut["path"] or long["path"] + character >= long["host"]
    assert not cut["host"] or long["host"] + character >= long["path"]
    assert not cut["method"] or not left["host"] + left["path"]
    assert not cut["scheme"] or not left["method"]
    return sum(cut.values())


def check_trimmed(packet: bytes, whole: Any, most: int) -> bool:
    """Check what is left of an entry; whether something was lost."""
    message = decoded(packet)
    assert 0 < len(packet) <= most
    if whole.ByteSize() <= most:
        assert whole == message
        return False
    marker, count = pairs_of(message)[-1]
    assert "x-envoy-pyfilter-trimmed" == marker
    del message.http.headers[-1]
    some = pairs_by_rank(message)
    cut = check_cut(message, whole)
    assert not cut or (not some and len(packet) >= most - MARKER_ROOM)
    # A length may take a byte more. Where texts are cut, nothing that can be left out stays.
    room = 0 if cut else most - MARKER_ROOM - message.ByteSize() - 1
    assert int(count) == cut + check_left_out(some, pairs_by_rank(whole), room)
    return True


@SETTINGS
@given(life=lives, most=st.sampled_from([512, 700, 1024, 4096]))
def test_trimmed_packets(wire: Wire, life: Life, most: int) -> None:
    """What does not fit goes in the documented order, is counted, and is marked."""
    config = wire.config(sink={"max_packet": most})
    before = config.counts().get("cilium_trimmed", 0)
    lost = 0
    for kind, packet in zip((REQUEST, RESPONSE), wire.live(config, life), strict=True):
        whole = expected(kind, life, timestamp=decoded(packet).timestamp)
        lost += check_trimmed(packet, whole, most)
    assert before + lost == config.counts().get("cilium_trimmed", 0)


def test_no_more_is_trimmed_than_has_to_be(wire: Wire) -> None:
    """As many headers stay as fit; the marker takes the place of the last ones."""
    fields = [(f"x-{number:03}".encode(), b"v" * 20) for number in range(200)]
    life = Life(request=[(b"x-request-id", b"id"), *fields, (b"x-output-tokens", b"12")])
    config = wire.config(sink={"max_packet": 4096})
    request, _ = map(decoded, wire.live(config, life))
    one = len(b"2\x1d\n\x05x-000\x12\x14") + 20
    assert 4096 - one < request.ByteSize() + 8 <= 4096 + 8
    *left, tokens, marker = pairs_of(request)
    assert ("x-output-tokens", "12") == tokens
    assert ("x-envoy-pyfilter-trimmed", str(201 - len(left))) == marker


def test_the_largest_of_smallest_packets(wire: Wire) -> None:
    """What is never left out fits at its longest, and its most, into the smallest max_packet."""
    longest = {"policy_name": "p" * 256, "cilium_rule_ref": "\u00fc" * 128}
    numbers = {"proxy_id": 65535, "is_ingress": True}
    numbers |= dict.fromkeys(["source_security_id", "destination_security_id"], 4294967295)
    sink = {**numbers, **longest, "policy_name": "%REQ(x-name)%", "max_packet": 512 + 2 * 256}
    address = "[" + ":".join(["ffff"] * 8) + "]:65535"
    many = [(b"x-%d" % number, b"v" * 100) for number in range(200)]
    life = Life(
        request=[
            *((name, b"a" * 2000) for name in (b":method", b":path", b":authority", b":scheme")),
            *((b"x-request-id", b"i" * 128), (b"x-name", b"p" * 256), *many),
        ],
        response=[(b":status", b"599"), *many],
        protocol="HTTP/2",
        source=address,
        destination=address,
    )
    config = wire.config(sink=sink)
    for kind, packet in zip((REQUEST, RESPONSE), wire.live(config, life), strict=True):
        message = decoded(packet)
        whole = expected(kind, life, timestamp=message.timestamp, **numbers, **longest)
        assert check_trimmed(packet, whole, 512 + 2 * 256)
        assert [("x-request-id", "i" * 128)] == pairs_of(message)[:-1]
        for name in ("source_address", "destination_address", *numbers, *longest):
            assert getattr(whole, name) == getattr(message, name)
        assert "" == message.http.host


def test_a_large_header_takes_no_other(wire: Wire) -> None:
    """What is small stays, also behind a header that is too large."""
    small = [(b"a2", b"2"), (b"x-api-token", b"t" * 40), (b"a3", b"3")]
    life = Life(request=[(b":path", b"/"), (b"a1", b"v" * 1000), *small])
    config = wire.config(sink={"max_packet": 1024})
    request, _ = map(decoded, wire.live(config, life))
    expected_left = [(name.decode(), value.decode()) for name, value in small]
    assert [*expected_left, ("x-envoy-pyfilter-trimmed", "1")] == pairs_of(request)


@pytest.mark.parametrize(("host", "path"), [(900, 400), (400, 900), (900, 900), (900, 20)])
def test_host_and_path_share_the_room(wire: Wire, host: int, path: int) -> None:
    """The longer of the two is cut first."""
    life = Life(request=[(b":authority", b"h" * host), (b":path", b"/" * path)])
    config = wire.config(sink={"max_packet": 512})
    request, _ = map(decoded, wire.live(config, life))
    left = {"host": len(request.http.host), "path": len(request.http.path)}
    assert sum(left.values()) > 300
    if path == 20:
        assert 20 == left["path"]
    else:
        assert abs(left["host"] - left["path"]) <= 1
