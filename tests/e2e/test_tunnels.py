# SPDX-License-Identifier: Apache-2.0
"""When a tunnel's entry is written: as it begins, or when it has ended."""

from __future__ import annotations

import itertools
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import bootstrap as b
from .envoy import Envoy
from .exchange import TIMEOUT
from .oracle import check
from .site import Site, whole_lines
from .upstream import Upstream

SWITCHES = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nhost: e2e.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT e2e.test:80 HTTP/1.1\r\nhost: e2e.test:80\r\n\r\n"
TO_TCP = {"cluster": "raw", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
REFUSED = {**TO_TCP, "cluster": "refused"}


def connects(to: b.Dict) -> b.Dict:
    """Give a route for CONNECT."""
    return {"match": {"connect_matcher": {}}, "route": to}


# The request, the route, and the status that the client gets.
TUNNELS: dict[str, tuple[bytes, b.Dict, int]] = {
    "websocket": (UPGRADE, b.route(route={"cluster": "raw"}), 101),
    "CONNECT": (CONNECT, connects(TO_TCP), 200),
}
NO_TUNNELS: list[tuple[bytes, b.Dict, int]] = [
    (UPGRADE, b.route(route={"cluster": "refused"}), 503),
    (CONNECT, connects(REFUSED), 503),
    (UPGRADE, b.direct(status=200), 200),
]
WHEN = {
    "default": ({}, False),
    "handshake": ({"tunnel_at": "handshake"}, True),
    "cilium": ({"compat": "cilium"}, True),
    "cilium, at the end": ({"compat": "cilium", "tunnel_at": "stream_complete"}, False),
}


class _Switch(socketserver.BaseRequestHandler):
    """Says 101 to a request, and gives back whatever else comes."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(SWITCHES if b"\r\n\r\n" in data else data)


@pytest.fixture
def raw() -> Iterator[int]:
    """Give the port of an upstream that speaks what it is spoken to."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Switch) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def site(
    own_envoy: Callable[..., Envoy], upstream: Upstream, raw: int, tmp_path: Path
) -> Callable[[b.Dict, b.Dict], Site]:
    """Make a site of an Envoy that knows that upstream: ``site(route, log)``."""
    refused = b.cluster("refused", pipe=tmp_path / "nobody-listens")
    envoy = own_envoy(clusters=[b.cluster("raw", raw), refused]).start()
    upgrades = [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]
    numbers = itertools.count()

    def make(route: b.Dict, log: b.Dict) -> Site:
        one = Site(envoy, upstream, tmp_path, f"tunnel{next(numbers)}")
        access = one.filter(access={"log": log})
        return one.open([access], routes=[route], http={"upgrade_configs": upgrades})

    return make


def shake_hands(port: int, request: bytes) -> tuple[socket.socket, bytes]:
    """Give the connection and its first line."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    connection.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1)
        assert more, head
        head += more
    return connection, head.partition(b"\r\n")[0]


@pytest.mark.parametrize("kind", TUNNELS)
def test_tunnels(site: Callable[[b.Dict, b.Dict], Site], kind: str) -> None:
    """One entry of the response, while the tunnel is there or when it has gone."""
    request, route, status = TUNNELS[kind]
    for log, at_handshake in WHEN.values():
        here = site(route, log)
        connection, line = shake_hands(here.port, request)
        with connection:
            assert line.startswith(b"HTTP/1.1 %d " % status)
            connection.sendall(b"ping")
            assert b"ping" == connection.recv(4)
            here.entries(1 + at_handshake)
            assert [] == whole_lines(here.oracle_path)
        (told,) = here.oracle()
        first, second = here.entries(2)
        assert ["request", "response"] == [first["kind"], second["kind"]]
        assert status == told["response_code"] == second["response_code"]
        if not at_handshake:
            check(second, told, here.envoy.release)


def test_no_tunnels(site: Callable[[b.Dict, b.Dict], Site]) -> None:
    """What is refused, or answered without an upgrade, has its entry at the end."""
    for request, route, status in NO_TUNNELS:
        here = site(route, {"tunnel_at": "handshake"})
        connection, line = shake_hands(here.port, request)
        connection.close()
        assert line.startswith(b"HTTP/1.1 %d " % status)
        (told,) = here.oracle()
        (entry,) = here.responses(1)
        check(entry, told, here.envoy.release)
