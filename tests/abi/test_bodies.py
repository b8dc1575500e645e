# SPDX-License-Identifier: Apache-2.0
"""Bodies as Python reads them: in one call where they fit into what C hands over at once."""

from __future__ import annotations

import re

import pytest

from .configs import request
from .conftest import MakeConfig
from .header import ROOT
from .host import Host

SERVICES = (ROOT / "abi" / "services.h").read_text("utf-8")
AREA = int(re.findall(r"SEAT_AREA = (\d+)", SERVICES)[0])


@pytest.mark.parametrize("size", [1, 2, 1000, AREA - 1, AREA, AREA + 1, 5 * AREA])
def test_every_byte_is_read(host: Host, scripted: MakeConfig, size: int) -> None:
    """The host gives a body in three pieces, of which one is empty; the filter gets all of it."""
    data = "".join(chr(ord("a") + at % 26) for at in range(size))
    config = scripted(
        host, on_request_body="saw(stream.request_body.read(), stream.request_body.read())"
    )
    stream = config.stream()
    stream.request_headers(request(stream.name), end=False)
    stream.request_body(data)
    stream.finish()
    assert [(data.encode(), data.encode())] == config.seen()
