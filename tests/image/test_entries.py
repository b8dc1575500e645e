# SPDX-License-Identifier: Apache-2.0
"""Entries of Envoys in containers: on stdout, and at the agent's container."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from e2e.clients import CLIENTS
from e2e.messages import Request
from e2e.oracle import check, check_request, wire_headers

from .build import RELEASES
from .config import STDOUT, access, bootstrap, cilium_sink
from .edge import Site, both, told
from .engine import until

# What the packets of the agent's socket have, too.
COMMON = ("request_id", "protocol", "method", "authority", "path", "downstream_remote_address")

each_protocol = pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])


@each_protocol
@pytest.mark.parametrize("release", RELEASES)
def test_stdout_and_agent(
    site: Site, built: Callable[[str], str], release: str, protocol: str
) -> None:
    """Each request gives its entries on stdout and at the agent's socket, as Envoy tells them."""
    agent = site.agent(built(release))
    edge = site.edge(built(release), bootstrap([access(STDOUT, cilium_sink())]), agent=True)
    assert f"/{release}/" in edge.admin("/server_info")
    names = [f"r-{number}" for number in range(20)]
    with CLIENTS[protocol](edge.port()) as client:
        for name in names:
            headers = [(b"x-request-id", name.encode())]
            got = client.fetch(Request(path=b"/p/" + name.encode(), headers=headers))
            assert (200, b"direct") == (got.status, got.body)
    entries, packets = edge.told(40), agent.told(40)
    assert both(names) == told(entries)
    assert both(names) == told(packets)
    lines = {one["request_id"]: one for one in edge.oracle(20)}
    for entry in entries:
        if entry["kind"] == "request":
            check_request(entry, lines[entry["request_id"]])
        else:
            check(entry, lines[entry["request_id"]], release)
    for packet in packets:
        line = lines[packet["request_id"]]
        assert [line[key] for key in COMMON] == [packet[key] for key in COMMON]
        status = line["response_code"] if packet["kind"] == "response" else None
        assert status == packet.get("response_code")


@each_protocol
def test_deferral(site: Site, each_image: str, protocol: str) -> None:
    """With the image's own bootstrap the entry has what the client got, after a later mutation."""
    edge = site.edge(each_image)
    with CLIENTS[protocol](edge.port()) as client:
        got = client.fetch(Request(path=b"/deferral"))
    assert 200 == got.status
    assert b"changed after the access filter's response hook" == got.get(b"x-demo")
    until(lambda: len(edge.entries("/deferral")) == 2, edge.stdout)
    _, entry = edge.entries("/deferral")
    assert ("response", 200) == (entry["kind"], entry["response_code"])
    assert wire_headers(got) == entry["response_headers"]
    assert "x-demo-internal" not in entry["response_headers"]
