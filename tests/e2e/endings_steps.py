# SPDX-License-Identifier: Apache-2.0
"""What clients do in the table of endings; each step gives what the client got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .exchange import Client
from .messages import Answer, Request, Response
from .scene import HELLO, WEBSOCKET, Scene
from .site import whole_lines
from .waiting import until

Step = Callable[[Scene], Response]

GRPC = (b"content-type", b"application/grpc")
# The kernel takes megabytes of HTTP/1.1; the others have windows of their own.
SLOW_BODY = {"HTTP/1.1": 8_000_000, "HTTP/2": 300_000, "HTTP/3": 300_000}
MESSAGE = b"\x00\x00\x00\x00\x03abc"
GRPC_OK = Answer(headers=[GRPC], body=[MESSAGE], trailers=[(b"grpc-status", b"0")])
GRPC_STREAM = Answer(headers=[GRPC], body=[MESSAGE] * 3, trailers=[(b"grpc-status", b"3")])


def asks(answer: Answer | None = None, **fields: Any) -> Step:
    """Make a whole exchange; *fields* are those of a request."""
    return lambda scene: scene.fetch(answer, **fields)


def calls(answer: Answer | None = None, messages: int = 1) -> Step:
    """Make a gRPC call, with so many messages in pieces of their own."""
    fields = {"method": b"POST", "headers": [GRPC, (b"te", b"trailers")]}
    return asks(answer, body=[MESSAGE] * messages, **fields)


def waits(**fields: Any) -> Step:
    """Ask for what the upstream never answers, and wait for what Envoy does about it."""
    return lambda scene: scene.fetch(Answer(wait=scene.gate), **fields)


def halved(scene: Scene) -> Answer:
    """Give an answer that stops in the middle."""
    return Answer(body=[b"one", b"two"], wait_in_body=scene.gate)


def waits_held(scene: Scene) -> Response:
    """Ask for what a filter that looks for ``x-hold`` holds, and wait for what Envoy does then."""
    got = scene.fetch(headers=[(b"x-hold", b"1")])
    until(lambda: "is held" in scene.new_log(), "the line of a filter that holds the stream")
    return got


def waits_in_body(scene: Scene) -> Response:
    """Get half a response, and wait for what Envoy does about it."""
    return scene.fetch(halved(scene))


def sends_half(scene: Scene) -> Response:
    """Send half a request, and wait for what Envoy does about it."""
    with scene.client() as client:
        client.open(scene.request(method=b"POST"), ends=False)
        client.send(b"half")
        return client.finish()


def opens_half(scene: Scene) -> Response:
    """Send half of a request's headers, and wait for what Envoy does about it."""
    with scene.client() as client:
        client.open_half(scene.request())
        return client.finish()


def asks_again(scene: Scene) -> Response:
    """Make an exchange whose first try the upstream resets."""
    request = scene.request(Answer(headers=[(b"x-up", b"second")]))
    scene.site.upstream.fail_once(request.path)
    with scene.client() as client:
        return client.fetch(request)


def is_redirected(scene: Scene) -> Response:
    """Ask for what is elsewhere, which Envoy finds out."""
    target = scene.site.upstream.serve(Answer(status=207))
    location = (b"location", b"http://e2e.test" + target)
    return scene.fetch(Answer(status=302, headers=[location], body=()))


# --- leaving ---


def leaves_before(scene: Scene) -> Response:
    """Leave when the upstream has the request."""
    request = scene.request(Answer(wait=scene.gate))
    with scene.client() as client:
        client.open(request, ends=True)
        scene.wait_for_upstream(client, request)
        client.abort()
    return Response(status=0, whole=False)


def leaves_uploading(scene: Scene) -> Response:
    """Leave amid the request's body."""
    with scene.client() as client:
        client.open(scene.request(method=b"POST"), ends=False)
        client.send(b"half")
        scene.wait_for_entries(client, 1)
        client.abort()
    return Response(status=0, whole=False)


def leaves_held(scene: Scene) -> Response:
    """Leave when a filter that looks for ``x-hold`` has logged that it holds the stream."""
    with scene.client() as client:
        client.open(scene.request(headers=[(b"x-hold", b"1")]), ends=True)
        scene.wait(client, lambda: "is held" in scene.new_log(), "a filter that holds the stream")
        client.abort()
    return Response(status=0, whole=False)


def leaves_in_response(scene: Scene) -> Response:
    """Leave amid the response's body."""
    with scene.client() as client:
        client.open(scene.request(halved(scene)), ends=True)
        client.read_body(3)
        got = client.read_head()
        client.abort()
        return got


def loses_connection(scene: Scene) -> Response:
    """Close the connection amid the response's body."""
    with scene.client() as client:
        client.open(scene.request(halved(scene)), ends=True)
        client.read_body(3)
        return client.read_head()


def leaves_after(scene: Scene) -> Response:
    """Take a whole response that came early, and leave without ending the request."""
    with scene.client() as client:
        client.open(scene.request(Answer(early=True), method=b"POST"), ends=False)
        got = client.finish()
        client.abort()
        return got


def fills_buffers(scene: Scene, client: Client) -> Response:
    """Ask for more than fits into all buffers, and read no further than the headers."""
    before = scene.pauses()
    client.open(scene.request(path=b"/bytes/%d" % SLOW_BODY[scene.protocol]), ends=True)
    got = client.read_head()
    until(lambda: scene.pauses() > before, "Envoy to wait for the client")
    return got


def reads_slowly(scene: Scene) -> Response:
    """Read a large response only when Envoy waits for us."""
    with scene.slow_client() as client:
        fills_buffers(scene, client)
        return client.finish()


def stops_reading(scene: Scene) -> Response:
    """Leave a large response when Envoy waits for us."""
    with scene.slow_client() as client:
        got = fills_buffers(scene, client)
        client.abort()
        return got


def stalls(scene: Scene) -> Response:
    """Read nothing until our entry is there, while Envoy's own log waits for the client."""
    request = scene.request(Answer(wait=scene.gate, body=[b"x" * 50_000]))
    with scene.slow_client() as client:
        client.open(request, ends=True)
        scene.wait_for_upstream(client, request)
        scene.gate.open()
        until(lambda: len(scene.entries()) == 2, "both entries")
        assert not whole_lines(scene.site.oracle_path)
        return client.finish()


# --- tunnels ---


def into_tunnel(scene: Scene, client: Client, request: Request, data: bytes) -> Response:
    """Open a tunnel, send *data* into it, wait for as much to come back, and look at entries."""
    client.open(request, ends=False)
    client.read_head()
    client.send(data)
    client.read_body(len(data))
    scene.amid = [entry["kind"] for entry in scene.entries_now()]
    return client.read_head()


def upgrades(scene: Scene) -> Response:
    """Leave a tunnel for WebSocket, whose other end sends back what comes."""
    with scene.client() as client:
        got = into_tunnel(scene, client, scene.websocket(), b"to and fro")
        client.abort()
        return got


def upgrades_once(scene: Scene) -> Response:
    """Stay in a tunnel for WebSocket until its other end closes it."""
    answer = Answer(headers=WEBSOCKET, echo=2)
    with scene.client() as client:
        into_tunnel(scene, client, scene.websocket(answer), b"to and fro")
        client.send(b"the end")
        return client.finish()


def upgrade_refused(scene: Scene) -> Response:
    """Ask for a tunnel for WebSocket, and get an ordinary answer."""
    with scene.client() as client:
        client.open(scene.websocket(Answer(status=403, body=[b"no"])), ends=False)
        return client.finish()


def connects(scene: Scene) -> Response:
    """Open a tunnel to the upstream, ask it something, and leave."""
    request = scene.request(method=b"CONNECT", authority=b"e2e.test:80")
    with scene.client() as client:
        got = into_tunnel(scene, client, request, HELLO)
        client.abort()
        return got


def says_continue(scene: Scene) -> Response:
    """Ask whether to go on, wait for the 100, and go on."""
    headers = [(b"expect", b"100-continue"), (b"content-length", b"3")]
    with scene.client() as client:
        client.open(
            scene.request(Answer(interim=[100]), method=b"POST", headers=headers), ends=False
        )
        assert (100,) == tuple(client.read_interim().interim)
        client.send(b"abc", ends=True)
        return client.finish()


# --- what Envoy refuses ---


def sends_raw(data: bytes) -> Step:
    """Send these bytes over HTTP/1.1."""

    def send(scene: Scene) -> Response:
        lines = scene.site.raw(data)
        head, _, body = lines.partition(b"\r\n\r\n")
        first, *fields = head.split(b"\r\n")
        found = [field.partition(b": ") for field in fields]
        headers = [(name.lower(), value) for name, _, value in found]
        return Response(status=int(first.split()[1]), headers=headers, body=body)

    return send


def unknown_upgrade(scene: Scene) -> Response:
    """Ask for an upgrade that the listener does not know."""
    if scene.protocol == "HTTP/1.1":
        return scene.fetch(headers=[(b"connection", b"Upgrade"), (b"upgrade", b"gopher")])
    with scene.client() as client:
        client.open(scene.request(method=b"CONNECT", protocol=b"gopher"), ends=False)
        return client.finish()


# --- what ends a connection, a listener or the process ---


def drains(scene: Scene) -> Response:
    """Ask an Envoy that drains all its connections."""
    envoy = scene.site.envoy
    with scene.client() as client:
        client.open(scene.request(Answer(wait=scene.gate)), ends=True)
        scene.wait_for_entries(client, 1)
        envoy.get("/healthcheck/fail", method="POST")
        try:
            scene.gate.open()
            return client.finish()
        finally:
            envoy.get("/healthcheck/ok", method="POST")


def loses_listener(scene: Scene) -> Response:
    """Wait for the rest of a response whose listener is removed."""
    with scene.client() as client:
        client.open(scene.request(halved(scene)), ends=True)
        client.read_body(3)
        kept = scene.site.envoy.listeners[scene.site.name]
        scene.site.close()
        got = client.finish()
        scene.site.reopen(kept)
        return got


def loses_envoy(scene: Scene) -> Response:
    """Wait for the rest of a response whose Envoy is told to end."""
    with scene.client() as client:
        client.open(scene.request(halved(scene)), ends=True)
        client.read_body(3)
        scene.site.envoy.stop()
        return client.finish()


def loses_envoy_before(scene: Scene) -> Response:
    """Wait for a response when Envoy is told to end."""
    request = scene.request(Answer(wait=scene.gate))
    with scene.client() as client:
        client.open(request, ends=True)
        scene.wait_for_upstream(client, request)
        scene.site.envoy.stop()
        return client.finish()
