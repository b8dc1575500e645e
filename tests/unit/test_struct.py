# SPDX-License-Identifier: Apache-2.0
"""A Struct from the wire; the bytes were written by Google's own protobuf library."""

from __future__ import annotations

import pytest
from envoy_pyfilter._struct import from_wire

WRITTEN = bytes.fromhex(
    "0a110a0468616c66120911000000000000e03f0a2e0a05696e6e657212252a230a210a0161121c321a0a0911"
    "000000000000f03f0a051a0374776f0a0232000a022a000a0a0a046e6f6e65120208000a080a026e6f120220"
    "000a130a066e756d62657212091100000000000014400a0f0a047465787412071a056772c3bc6e0a090a0379"
    "6573120220010a060a0012021a00"
)
MEANT = {
    "text": "gr\u00fcn",
    "number": 5,
    "half": 0.5,
    "yes": True,
    "no": False,
    "none": None,
    "inner": {"a": [1, "two", [], {}]},
    "": "",
}


def test_every_kind_of_value() -> None:
    """Whole numbers come as ints, as they do from JSON text."""
    assert MEANT == from_wire(WRITTEN)
    assert {} == from_wire(b"")


@pytest.mark.parametrize("cut", range(1, len(WRITTEN)))
def test_cut_off(cut: int) -> None:
    """A beginning is a smaller Struct or none at all; it never raises."""
    found = from_wire(WRITTEN[:cut])
    assert found is None or found.items() <= MEANT.items()


@pytest.mark.parametrize(
    "other", [b'{"a": 1}', b"\ntext", b"\n\xff\xff", b"\x08\x01", b"\xff" * 20]
)
def test_something_else(other: bytes) -> None:
    """JSON text, a StringValue's text and noise are no Struct."""
    assert from_wire(other) is None
