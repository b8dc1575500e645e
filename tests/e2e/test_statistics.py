# SPDX-License-Identifier: Apache-2.0
"""Statistics of hooks in the words of ext_proc, as Envoy's own log and stats show them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .messages import Answer
from .site import Site

ORACLE = {
    "plain": "%FILTER_STATE(stat.key:PLAIN)%",
    "typed": "%DYNAMIC_METADATA(stat.space)%",
    "latency": "%DYNAMIC_METADATA(stat.space:request_header_latency_us)%",
    "status": "%FILTER_STATE(stat.key.request_header_call_status:PLAIN)%",
    "absent": "%FILTER_STATE(stat.key.request_trailer_call_status:PLAIN)%",
    "open": "%FILTER_STATE(stat.key.failed_open:PLAIN)%",
}
STATISTICS: dict[str, Any] = {
    "key": "stat.key",
    "metadata_namespace": "stat.space",
    "fields": ["request_header_call_status", "request_trailer_call_status", "failed_open"],
}


def open_site(site: Site, hooks: dict[str, str], **config: Any) -> Site:
    """Open a site whose filter keeps statistics, with its counters under native's names."""
    ours = site.filter(hooks, config={"statistics": STATISTICS, **config})
    module = ours["typed_config"]["dynamic_module_config"]
    module["metrics_namespace"] = f"http.{site.name}.ext_proc"
    return site.open([ours], oracle=ORACLE)


def counters(site: Site) -> dict[str, int]:
    """Give the stats below the site's ext_proc names."""
    prefix = f"http.{site.name}.ext_proc."
    found = site.envoy.stats(re.escape(prefix))
    return {name.removeprefix(prefix): value for name, value in found.items()}


def test_line_and_object(new_site: Callable[[], Site]) -> None:
    """The line is native's, and the object has the same numbers, as numbers."""
    hooks = {
        "on_request_headers": "stream.request_headers.set('x-a', 'b')",
        "on_response_body": "pass",
    }
    here = open_site(new_site(), hooks)
    here.fetch(answer=Answer(body=[b"hello"]))
    (told,) = here.oracle()
    typed = told["typed"]
    took, bodies = typed["request_header_latency_us"], typed["response_body_total_latency_us"]
    calls = typed["response_body_call_count"]
    parts = told["plain"].split(",")
    assert [f"rh:{took}:0", f"sb:{calls}:{bodies}:0"] == parts[:2]
    rest = [f"bs:{typed['bytes_sent']}", "br:4", "os:0"]
    if here.envoy.release == "1.40.0":
        rest.append("ds:filters:Scripted__on_request_headers__on_response_body")
    assert rest == parts[2:]
    assert (took, "0", None, "0") == tuple(told[k] for k in ("latency", "status", "absent", "open"))
    counted = counters(here)
    assert (1, 1 + calls, 1 + calls, 1) == tuple(
        counted[name]
        for name in (
            "streams_started", "stream_msgs_sent", "stream_msgs_received", "streams_closed",
        )
    )  # fmt: skip
