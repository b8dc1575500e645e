# SPDX-License-Identifier: Apache-2.0
"""What Envoy says of formats: many in one ``--mode validate``, and a bad one found by halving."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .conftest import binary

_TYPE = "type.googleapis.com/envoy.extensions."
_NETWORK = f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager"


def _route(text: str) -> dict[str, Any]:
    """Give a route that adds the format as a header, unless a header cannot have a line end."""
    route: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster": "up"}}
    if "\n" not in text:
        route["request_headers_to_add"] = [{"header": {"key": "x", "value": text}}]
    return route


def _logs(text: str) -> list[dict[str, Any]]:
    """Give access logs with the format in both notations."""
    kinds: list[dict[str, Any]] = [
        {"text_format_source": {"inline_string": text}},
        {"json_format": {"key": text}},
    ]
    log = {"@type": f"{_TYPE}access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}
    return [
        {"name": "envoy.access_loggers.file", "typed_config": {**log, "log_format": kind}}
        for kind in kinds
    ]


def _bootstrap(texts: Sequence[str]) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}filters.http.router.v3.Router"},
    }
    host = {"name": "all", "domains": ["*"], "routes": [_route(text) for text in texts]}
    manager = {
        "@type": _NETWORK,
        "stat_prefix": "judge",
        "route_config": {"virtual_hosts": [host], "validate_clusters": False},
        "http_filters": [router],
        "access_log": [log for text in texts for log in _logs(text)],
    }
    listener = {
        "address": {"pipe": {"path": "/nowhere"}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener]}}


def accepts(release: str, folder: Path, texts: Sequence[str]) -> bool:
    """Tell whether Envoy takes all of these formats."""
    file = folder / "judge.json"
    file.write_text(json.dumps(_bootstrap(texts)))
    command = [str(binary(release)), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 or "error" in done.stderr, done.stderr
    return done.returncode == 0


def refused(release: str, folder: Path, texts: Sequence[str]) -> list[str]:
    """Give the formats that Envoy refuses."""
    if accepts(release, folder, texts):
        return []
    if len(texts) == 1:
        return list(texts)
    half = len(texts) // 2
    return [*refused(release, folder, texts[:half]), *refused(release, folder, texts[half:])]
