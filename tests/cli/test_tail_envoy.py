# SPDX-License-Identifier: Apache-2.0
"""What a real Envoy's sink ``cilium`` sends, ``tail`` shows: the same as Envoy's own access log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from envoy_pyfilter._demo_upstream import demo_upstream

from .bootstraps import fetch, given_bootstrap
from .command import Running, until

FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
OPERATORS = {
    "request_id": "%REQ(X-REQUEST-ID)%",
    "protocol": "%PROTOCOL%",
    "method": "%REQ(:METHOD)%",
    "scheme": "%REQ(X-FORWARDED-PROTO)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "response_code": "%RESPONSE_CODE%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
}
HEADERS = {"content-type": "%RESP(CONTENT-TYPE)%", "x-ai-model": "%RESP(X-AI-MODEL)%"}


def with_access_log(file: Path, log: Path, upstream: int) -> None:
    """Give the bootstrap in *file* an access log of Envoy's own, and an upstream."""
    value = yaml.safe_load(file.read_text())
    resources = value["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"] = [
        {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": FILE_LOG,
                "path": str(log),
                "log_format": {"json_format": {**OPERATORS, "headers": HEADERS}},
            },
        }
    ]
    endpoints = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoints[0]["endpoint"]["address"]["socket_address"]["port_value"] = upstream
    file.write_text(yaml.safe_dump(value))


def by_id(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give entries by the id of their request; none twice."""
    found = {one["request_id"]: one for one in entries}
    assert len(found) == len(entries)
    return found


def test_the_same_as_envoy(start: Callable[..., Running], release: str, folder: Path) -> None:
    """Each stream has a request's and a response's line, with what Envoy's log has."""
    path, log = folder / "s", folder / "access.log"
    tail = start("tail", "--socket", path)
    until(lambda: f"Listening on {path}." in tail.err, tail.told)
    sink = {"type": "cilium", "socket": str(path), "policy_name": "10.0.0.7", "proxy_id": 42}
    file = given_bootstrap(folder, sinks=[sink])
    with demo_upstream() as upstream:
        with_access_log(file, log, upstream)
        envoy = start("run", "--config", file, "--envoy", release)
        url = envoy.url()
        for number in range(5):
            fetch(url, f"/items/{number}?q=1")
            fetch(url, f"/v1/chat/{number}", body="hello you", host=f"llm{number}.example.com")
        shown = [json.loads(line) for line in tail.lines(20)]
        assert 0 == envoy.end()

    expected = by_id([json.loads(line) for line in log.read_text().splitlines()])
    assert 10 == len(expected)
    requests = by_id([one for one in shown if one["kind"] == "request"])
    responses = by_id([one for one in shown if one["kind"] == "response"])
    for name, line in expected.items():
        headers = line.pop("headers")
        assert line == {key: responses[name].get(key) for key in OPERATORS}
        del line["response_code"]
        assert line == {key: requests[name].get(key) for key in line}
        assert headers == {key: responses[name]["response_headers"].get(key) for key in headers}
        assert ("10.0.0.7", 42) == (
            requests[name]["cilium"]["policy_name"],
            responses[name]["cilium"]["proxy_id"],
        )
        assert responses[name]["start_time_unix_nano"] == requests[name]["time_unix_nano"]
        assert responses[name]["duration_us"] >= 0
    assert 0 == tail.end()
    assert "20 received, 20 shown, 0 truncated, 0 unreadable" in tail.err
