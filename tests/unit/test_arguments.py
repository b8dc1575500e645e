# SPDX-License-Identifier: Apache-2.0
"""Arguments of a type that nobody meant are refused by name, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from envoy_pyfilter import Counter, Filter, PyFilterError, Stream
from envoy_pyfilter._host import BodyKind, HeaderMap
from envoy_pyfilter.testing import FakeStream, run_stream

WRONG_LABEL: Any = 5


class Counting(Filter):
    """Has a metric with a label."""

    hits = Counter("hits", ("of",))


WRONG: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "state's value": (
        lambda s: s.filter_state.set("user", 5),
        TypeError,
        "value of filter state must be str or bytes, got int",
    ),
    "state's list": (lambda s: s.filter_state.set("l", [65]), TypeError, "got list"),
    "state's truth": (lambda s: s.filter_state.set("t", True), TypeError, "got bool"),
    "state's key": (
        lambda s: s.filter_state.get(5),
        TypeError,
        "key of filter state must be str or bytes, got int",
    ),
    "note": (
        lambda s: s.record.note(5, "v"),
        TypeError,
        "key of a note must be str or bytes, got int",
    ),
    "rejected header": (lambda s: s.record.reject(2, "x"), TypeError, "got int"),
    "label": (
        lambda s: Counting.hits.add(s, 1, WRONG_LABEL),
        TypeError,
        "metric hits: label must be str or bytes, got int",
    ),
    "flag": (lambda s: s.add_custom_flag(3), TypeError, "response flag must be str or bytes"),
    "header": (
        lambda s: s.request_headers.set("a", 5),
        TypeError,
        "header value must be str or bytes, got int",
    ),
    "header's name": (
        lambda s: s.request_headers.get(5),
        TypeError,
        "header name must be str or bytes, got int",
    ),
    "metadata's namespace": (
        lambda s: s.metadata.set(5, "a", "b"),
        TypeError,
        "namespace of metadata must be str, got int",
    ),
    "metadata's key": (
        lambda s: s.metadata.get("a", b"b"),
        TypeError,
        "key of metadata must be str, got bytes",
    ),
    "metadata's keys": (lambda s: s.metadata.keys(5), TypeError, "namespace of metadata must be"),
    "attribute": (
        lambda s: s.attribute(5),
        TypeError,
        "name of an attribute must be str, got int",
    ),
    "body": (
        lambda s: s.request_body.append("\u00e9"),
        TypeError,
        "data of a body must be bytes, got str",
    ),
    "body's end": (lambda s: s.request_body.replace(5), TypeError, "data of a body must be bytes"),
    "drained": (lambda s: s.request_body.drain(1.5), TypeError, "must be int, got float"),
    "limit": (
        lambda s: setattr(s, "buffer_limit", -1),
        ValueError,
        "buffer_limit must be 0 to 2**64 - 1, got -1",
    ),
    "limit's type": (
        lambda s: setattr(s, "buffer_limit", "1"),
        TypeError,
        "buffer_limit must be int, got str",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    """Each is told by name."""
    call, kind, problem = WRONG[name]
    fake = FakeStream(Counting(Counting.Config()))
    fake.maps[HeaderMap.REQUEST_HEADERS] = [(b":path", b"/")]
    fake.bodies[BodyKind.RECEIVED_REQUEST] = bytearray(b"body")
    with pytest.raises(kind) as found:
        call(fake.stream)
    assert problem in str(found.value)
    assert b"body" == bytes(fake.bodies[BodyKind.RECEIVED_REQUEST])
    assert not fake.state
    assert not fake.notes


@pytest.mark.parametrize("data", [bytearray(b"ab"), memoryview(b"ab"), b"ab"])
def test_bytes_of_other_kinds(data: Any) -> None:
    """What holds bytes counts as bytes."""
    fake = FakeStream(Counting(Counting.Config()))
    fake.bodies[BodyKind.RECEIVED_REQUEST] = bytearray()
    fake.stream.request_body.append(data)
    fake.stream.filter_state.set("a", data)
    assert (b"ab", b"ab") == (fake.stream.request_body.read(), fake.stream.filter_state["a"])


@pytest.mark.parametrize("given", [Counting, None, Stream, PyFilterError()])
def test_a_stream_needs_a_filter(given: Any) -> None:
    """A class is no filter: it has no config."""
    with pytest.raises(TypeError, match="a stream needs an instance of a Filter, got "):
        run_stream(given)
