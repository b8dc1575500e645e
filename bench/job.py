# SPDX-License-Identifier: Apache-2.0
"""
The work that every variant does: ten values of each stream, written down.

The request and the response are the same for all, so what a variant wrote can be compared with
what was sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.scenarios import Scenario

BODY = "hello"
PATH = "/v1/things/17?full=true"
REQUEST = {
    ":authority": "bench.example",
    "user-agent": "bench/1.0",
    "accept": "application/json",
    "x-request-id": "5e8f0c1a-0001",
}
RESPONSE = {"x-served-by": "bench"}
REQUEST_FIELDS = {
    "method": ":method",
    "path": ":path",
    "authority": ":authority",
    "user_agent": "user-agent",
    "accept": "accept",
    "request_id": "x-request-id",
}
RESPONSE_FIELDS = {
    "response_code": ":status",
    "content_type": "content-type",
    "content_length": "content-length",
    "served_by": "x-served-by",
}
EXPECTED = {
    "method": "GET",
    "path": PATH,
    "authority": "bench.example",
    "user_agent": "bench/1.0",
    "accept": "application/json",
    "request_id": "5e8f0c1a-0001",
    "response_code": "200",
    "content_type": "text/plain",
    "content_length": str(len(BODY)),
    "served_by": "bench",
}
LINE = "\t".join(EXPECTED.values())
"""The same ten as the peers that run a user's code write them: tabs between."""
LINE_STATE = ("%FILTER_STATE(bench:PLAIN)%", LINE)
"""What our hook writes, and Lua with filter state, as Envoy's own access log prints it."""
STATE_FORMAT = "%REQ(:METHOD)% %REQ(:PATH)% %REQ(USER-AGENT)%"
STATE_WITNESS = ("%FILTER_STATE(bench:PLAIN)%", f"GET {PATH} bench/1.0")
"""What variants with state write, as Envoy's own access log prints it."""
STATISTICS_LINE_WITNESS = ("%FILTER_STATE(bench:PLAIN):3%", "rh:")
STATISTICS_WITNESS = (
    "%FILTER_STATE(bench:PLAIN):3% %DYNAMIC_METADATA(bench:response_header_call_status)%",
    "rh: 0",
)
"""What variants with statistics write, as far as no clock is in it."""
LLM_PATH = "/v1/chat/completions"
LLM_CHUNKS = 200
LLM_EXPECTED = {"model": "bench-1", "total_tokens": "208", "chunks": str(LLM_CHUNKS)}
"""What the stream of ``peers/llm_server.py`` tells."""
LLM_WITNESS = (
    "%DYNAMIC_METADATA(llm_usage:model)% %DYNAMIC_METADATA(llm_usage:total_tokens)%",
    "bench-1 208",
)
_LARGE = 40


def path(scenario: Scenario) -> str:
    """Give what is asked for."""
    return LLM_PATH if scenario.llm else PATH


def request_headers(scenario: Scenario) -> dict[str, str]:
    """Give what the client sends: 4 headers, or 44."""
    if scenario.headers == "small":
        return REQUEST
    return {**REQUEST, **{f"x-request-filler-{i:02}": f"value-{i:02}" * 4 for i in range(_LARGE)}}


def response_headers(scenario: Scenario) -> dict[str, str]:
    """Give what the upstream adds: 1 header, or 41."""
    if scenario.headers == "small":
        return RESPONSE
    return {**RESPONSE, **{f"x-response-filler-{i:02}": f"value-{i:02}" * 4 for i in range(_LARGE)}}


def of_json(line: str) -> dict[str, str]:
    """Read a JSON line with the ten as flat keys (Envoy's file log, the C module)."""
    return {key: str(value) for key, value in json.loads(line).items()}


def of_entry(line: str) -> dict[str, str]:
    """Read a line of the access filter, where headers are objects."""
    entry: dict[str, Any] = json.loads(line)
    request, response = entry.pop("request_headers"), entry.pop("response_headers")
    names = {**REQUEST_FIELDS, **RESPONSE_FIELDS}
    found = {**entry}
    for headers in (request, response):
        found.update({key: headers[name] for key, name in names.items() if name in headers})
    return {key: str(value) for key, value in found.items()}


def of_usage(line: str) -> dict[str, str]:
    """Read a line of the external processor that reads an LLM's stream."""
    return dict(zip(LLM_EXPECTED, line.split("\t"), strict=True))


def of_tabs(line: str) -> dict[str, str]:
    """Read a line of the peers that run a user's code."""
    return dict(zip(EXPECTED, line.split("\t"), strict=True))
