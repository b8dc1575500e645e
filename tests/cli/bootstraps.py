# SPDX-License-Identifier: Apache-2.0
"""A bootstrap of the user's own, and a client."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import yaml

from .command import command


def fetch(
    url: str, path: str = "/", body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    """Make one request on a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET" if body is None else "POST", path, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def given_bootstrap(tmp_path: Path, *, admin: bool = True, **access: Any) -> Path:
    """Write a bootstrap as a user's own, on free ports, the access filter with this config."""
    ports = ["--port", "0", "--admin-port", "0"]
    done = command("config", "--bootstrap", "--upstream", "127.0.0.1:1", *ports)
    value = yaml.safe_load(done.stdout)
    listener = value["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"]["filter_config"]["value"] = access
    if not admin:
        del value["admin"]
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(value))
    return file
