# SPDX-License-Identifier: Apache-2.0
"""The times in our entries, between readings of the client's clock, which is the same one."""

from __future__ import annotations

import time

from . import bootstrap as b
from .conftest import SiteMaker

DELAY_NS = 250_000_000
AT_LEAST_NS = 200_000_000  # a timer of Envoy's may be early by its resolution


def test_a_request_that_takes_its_time(site: SiteMaker, protocol: str) -> None:
    """Envoy's fault filter behind ours holds the request back: all times have that in them."""
    here = site(access={}, after=[b.fault(delay={"fixed_delay": f"{DELAY_NS / 1e9}s"})])
    before = time.time_ns()
    assert 200 == here.fetch(protocol).status
    request, response = here.entries(2)
    after = time.time_ns()

    start, end = response["start_time_unix_nano"], response["time_unix_nano"]
    assert request["time_unix_nano"] == start
    assert before <= start <= end - AT_LEAST_NS
    assert end <= after
    assert AT_LEAST_NS <= response["duration_us"] * 1000 <= after - before
