# SPDX-License-Identifier: Apache-2.0
"""Bodies: what a filter holds, and what of it can be changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from envoy_pyfilter import Body
from envoy_pyfilter._host import BodyKind
from envoy_pyfilter.testing import FakeHost


class Holder:
    """Says whether the filter holds the body, and whether its hook had to wait for it."""

    def __init__(self, *, holds: bool, replays: bool = False) -> None:
        self.holds = holds
        self.replays = replays

    def _check_changeable(self, *, request: bool) -> None:
        assert request

    def _replays(self, *, request: bool) -> bool:
        assert request
        return self.replays

    def _holds(self, *, request: bool) -> bool:
        assert request
        return self.holds


def body(
    *, received: bytes | None, buffered: bytes | None, holds: bool, same: bool = False
) -> tuple[FakeHost, Body]:
    """Make a request's body; *same*: the received bytes are the buffered ones."""
    host = FakeHost()
    if received is not None:
        host.bodies[BodyKind.RECEIVED_REQUEST] = bytearray(received)
    if buffered is not None:
        host.bodies[BodyKind.BUFFERED_REQUEST] = bytearray(buffered)
    if same:
        host.bodies[BodyKind.BUFFERED_REQUEST] = host.bodies[BodyKind.RECEIVED_REQUEST]
        host.buffered_received.add(True)
    return host, Body(host, Holder(holds=holds), request=True)


def state(host: FakeHost) -> tuple[bytes, bytes]:
    """Received and buffered bytes."""
    return (
        host.read_body(BodyKind.RECEIVED_REQUEST),
        host.read_body(BodyKind.BUFFERED_REQUEST),
    )


def test_reading_while_it_streams() -> None:
    """A chunk that passes is all that the filter holds; others' bytes are not."""
    _, chunk = body(received=b"cd", buffered=b"ab", holds=False)
    assert (b"cd", b"ab", b"cd") == (chunk.read(), chunk.read_buffered(), chunk.complete)
    assert (2, 2) == (chunk.size, chunk.buffered_size)


def test_reading_while_it_is_held() -> None:
    """What is buffered and what was just received is all of it."""
    _, whole = body(received=b"cd", buffered=b"ab", holds=True)
    assert b"abcd" == whole.complete


def test_received_bytes_that_are_the_buffer_count_once() -> None:
    """After a pause at the headers Envoy hands the buffer itself over."""
    _, whole = body(received=b"abcd", buffered=None, holds=True, same=True)
    assert b"abcd" == whole.complete


def test_body_that_waited() -> None:
    """A hook that had to wait finds its chunk in the buffer, and changes it there."""
    host = FakeHost()
    host.bodies[BodyKind.BUFFERED_REQUEST] = bytearray(b"abcd")
    own = Body(host, Holder(holds=False, replays=True), request=True)
    assert (b"abcd", 4, b"abcd") == (own.read(), own.size, own.complete)
    own.drain(1)
    own.append(b"e")
    assert (b"", b"bcde") == state(host)
    own.replace(b"x")
    assert (b"", b"x") == state(host)


def test_nothing_there() -> None:
    """Without a body everything is empty."""
    for holds in (True, False):
        _, nothing = body(received=None, buffered=None, holds=holds)
        assert (b"", b"", b"", 0, 0) == (
            nothing.read(),
            nothing.read_buffered(),
            nothing.complete,
            nothing.size,
            nothing.buffered_size,
        )


Change = Callable[[Body], None]
CHANGES: list[tuple[Change, tuple[bytes, bytes], tuple[bytes, bytes]]] = [
    # change, (received, buffered) while it streams, and while it is held; from b"cd", b"ab"
    (lambda b: b.drain(0), (b"cd", b"ab"), (b"cd", b"ab")),
    (lambda b: b.drain(1), (b"d", b"ab"), (b"cd", b"b")),
    (lambda b: b.drain(2), (b"", b"ab"), (b"cd", b"")),
    (lambda b: b.append(b"x"), (b"cdx", b"ab"), (b"cdx", b"ab")),
    (lambda b: b.append(b""), (b"cd", b"ab"), (b"cd", b"ab")),
    (lambda b: b.replace(b"x"), (b"x", b"ab"), (b"x", b"")),
    (lambda b: b.replace(b""), (b"", b"ab"), (b"", b"")),
]


@pytest.mark.parametrize(("change", "streaming", "held"), CHANGES)
def test_changes(change: Change, streaming: tuple[bytes, bytes], held: tuple[bytes, bytes]) -> None:
    """A change is made to what the filter holds, and to nothing else."""
    for holds, expected in ((False, streaming), (True, held)):
        host, own = body(received=b"cd", buffered=b"ab", holds=holds)
        change(own)
        assert expected == state(host)


def test_drain_across_both() -> None:
    """A drain goes on from the buffered bytes into the received ones."""
    host, own = body(received=b"cd", buffered=b"ab", holds=True)
    own.drain(3)
    assert (b"d", b"") == state(host)


def test_changes_of_the_buffer_itself() -> None:
    """Received bytes that are the buffer are changed once."""
    host, own = body(received=b"abcd", buffered=None, holds=True, same=True)
    own.drain(1)
    own.append(b"e")
    assert (b"bcde", b"bcde") == state(host)
    own.replace(b"x")
    assert (b"x", b"x") == state(host)


@pytest.mark.parametrize("size", [-1, 3])
def test_drain_what_is_not_there(size: int) -> None:
    """More than there is cannot be drained."""
    host, own = body(received=b"cd", buffered=b"ab", holds=False)
    with pytest.raises(ValueError, match=f"cannot drain {size} of 2 bytes"):
        own.drain(size)
    assert (b"cd", b"ab") == state(host)


@pytest.mark.parametrize("holds", [True, False])
def test_append_where_there_is_no_body(holds: bool) -> None:
    """Outside of a body there is nothing to add to."""
    _, own = body(received=None, buffered=None, holds=holds)
    with pytest.raises(LookupError, match="there is no body to change here"):
        own.append(b"x")


def test_repr() -> None:
    """A body does not show its bytes."""
    _, own = body(received=b"secret", buffered=None, holds=False)
    assert "<Body: request>" == repr(own)
