# SPDX-License-Identifier: Apache-2.0
"""What a hook reads for the first time, though other reads of it come with its crossing."""

from __future__ import annotations

import pytest

from .configs import request
from .conftest import MakeConfig
from .host import Host

METHOD = 4  # the ABI's number of the attribute request.method

# How a value is read, and what it is.
READS = {
    "header": ("stream.request_headers.get('x-late')", b"here"),
    "item": ("stream.request_headers['x-late']", b"here"),
    "attribute": ("stream.attribute('request.method')", "GET"),
}


@pytest.mark.parametrize("before", ["x-there", "x-absent"])
@pytest.mark.parametrize("read", READS)
def test_learned_amid_a_hook(host: Host, scripted: MakeConfig, read: str, before: str) -> None:
    """
    A name that is learned in a hook did not come with that hook: it is no absent value.

    *before* is what did come with it, whether the stream has it or not.
    """
    code, value = READS[read]
    config = scripted(
        host,
        on_request_headers=f"""
            stream.request_headers.get({before!r})
            if stream.request_headers['x-request-id'] == b'late':
                saw({code}, {code})
        """,
    )
    for name in ("early", "late", "late"):
        stream = config.stream()
        stream.attribute(METHOD, "GET")
        stream.request_headers(request(name, ("x-there", "1"), ("x-late", "here")))
        stream.finish()
    assert [(value, value)] * 2 == config.seen()
