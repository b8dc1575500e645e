# SPDX-License-Identifier: Apache-2.0
"""What entries tell when the upstream's container is cut off from Envoy's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e import bootstrap as b
from e2e.clients import CLIENTS
from e2e.exchange import Client
from e2e.messages import Request
from e2e.oracle import UNKNOWN, check

from .build import RELEASES
from .config import STDOUT, access, bootstrap, cluster
from .edge import Site
from .engine import Engine

ROUTES = [b.route(route={"cluster": "upstream", "timeout": "30s"})]


def fetch(client: Client, name: str) -> int:
    """Make a request, and give its status."""
    return client.fetch(Request(headers=[(b"x-request-id", name.encode())])).status


@pytest.mark.parametrize("release", RELEASES)
def test_cut_off(engine: Engine, site: Site, built: Callable[[str], str], release: str) -> None:
    """While the upstream is off the network entries tell 503, and the flags why."""
    network = engine.network()
    upstream = site.edge(built(release), bootstrap([]), network=network)
    upstream.container.reload()
    address = upstream.container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    # A request on an old connection would wait for its route's time.
    anew = {"max_requests_per_connection": 1}
    clusters = [cluster(address, common=anew, connect_timeout="0.5s")]
    config = bootstrap([access(STDOUT)], routes=ROUTES, clusters=clusters)
    edge = site.edge(built(release), config, network=network)
    names = ["before", *(f"cut-{number}" for number in range(3))]
    with CLIENTS["HTTP/1.1"](edge.port()) as client:
        assert 200 == fetch(client, names[0])
        network.disconnect(upstream.container)
        assert [503] * 3 == [fetch(client, name) for name in names[1:]]
    lines = {one["request_id"]: one for one in edge.oracle(4)}
    entries = {one["request_id"]: one for one in edge.told(8) if one["kind"] == "response"}
    assert {*names} == {*entries}
    for name in names:
        check(entries[name], lines[name], release)
    for name in names[1:]:
        assert (503, "UF") == (lines[name]["response_code"], lines[name]["response_flags"])
        known = "response_flags" not in UNKNOWN[release]
        assert ("UF" if known else None) == entries[name].get("response_flags")
        assert "connection" in entries[name]["response_code_details"]
