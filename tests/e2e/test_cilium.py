# SPDX-License-Identifier: Apache-2.0
"""
Packets for Cilium's agent from a real Envoy, decoded by the protobuf runtime.

They are compared with Envoy's own access log of the same stream, and with what the client got.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from cli.packets import DENIED, REQUEST, RESPONSE, log_entry

from . import bootstrap as b
from .agent import Agent
from .bootstrap import Dict
from .conftest import SiteMaker
from .http3 import Certificate
from .messages import Answer, Pairs, Response
from .oracle import CODEC_HEADERS

PROTOCOLS = {"HTTP/1.0": 0, "HTTP/1.1": 1, "HTTP/2": 2}
HTTP3 = {"none": 2, "cilium": 1}  # by log.compat: Cilium's enum has none


def to(agent: Agent, **sink: Any) -> Dict:
    """Give the config of an access filter that sends to the agent."""
    return {"sinks": [{"type": "cilium", "socket": agent.path, **sink}]}


def decoded(packets: list[bytes]) -> list[Any]:
    """Read packets; each has to be as the runtime would have written it."""
    messages = [log_entry().FromString(packet) for packet in packets]
    assert packets == [message.SerializeToString(deterministic=True) for message in messages]
    return messages


def headers(message: Any) -> list[tuple[str, str]]:
    """Return an entry's headers."""
    return [(pair.key, pair.value) for pair in message.http.headers]


def as_text(found: Pairs) -> list[tuple[str, str]]:
    """Write headers from the wire as an entry has them, without those that only the codec made."""
    return [(name.decode(), value.decode()) for name, value in found if name not in CODEC_HEADERS]


def check(message: Any, told: Dict, protocol: int) -> None:
    """Compare what both entries say of the request with Envoy's line."""
    http = message.http
    assert (told["downstream_remote_address"], told["downstream_local_address"]) == (
        message.source_address,
        message.destination_address,
    )
    assert (protocol, told["scheme"], told["authority"], told["path"], told["method"]) == (
        http.http_protocol,
        http.scheme,
        http.host,
        http.path,
        http.method,
    )
    start, end = int(told["start_time_unix_nano"]), int(told["emit_time_unix_nano"])
    assert start <= message.timestamp <= end


def check_response(message: Any, told: Dict, got: Response, *, request_id: str) -> None:
    """Compare a response's entry with what the client got, after the request's id."""
    assert (RESPONSE, told["response_code"], got.status) == (
        message.entry_type,
        message.http.status,
        message.http.status,
    )
    first, *rest = headers(message)
    assert ("x-request-id", request_id) == first
    assert sorted(as_text(got.headers)) == sorted(rest)


def test_request_and_response(site: SiteMaker, protocol: str, agent: Agent) -> None:
    """Both entries say what Envoy's own log says, with the headers of the wire."""
    here = site(access=to(agent), before=[b.header_mutation(response={"x-late": "mutated"})])
    answer = Answer(status=201, headers=[(b"x-up", b"1"), (b"x-up", b"2")], body=[b"x" * 100])
    sent = [(b"x-request-id", b"id-1"), (b"x-a", b"1"), (b"x-a", b"2")]
    got = here.fetch(protocol, answer=answer, headers=sent)
    (told,) = here.oracle()
    request, response = decoded(agent.wait_for(2))

    check(request, told, PROTOCOLS[protocol])
    check(response, told, PROTOCOLS[protocol])
    assert request.timestamp <= response.timestamp
    assert (REQUEST, 0) == (request.entry_type, request.http.status)
    assert [("x-a", "1"), ("x-a", "2")] == [h for h in headers(request) if h[0] == "x-a"]
    assert (":scheme", "http") in headers(request)
    assert (
        not {":path", ":method", ":authority", "x-forwarded-proto"} & dict(headers(request)).keys()
    )
    check_response(response, told, got, request_id="id-1")
    assert ("x-late", "mutated") in headers(response)


def test_path_behind_a_rewrite(site: SiteMaker, protocol: str, agent: Agent) -> None:
    """Both entries have the path that the client asked for."""
    here = site(
        access=to(agent),
        routes=[b.route("/old", route={"cluster": "upstream", "prefix_rewrite": "/new"})],
    )
    here.fetch(protocol, path=b"/old/page?x=1")
    (told,) = here.oracle()
    for message in decoded(agent.wait_for(2)):
        assert "/old/page?x=1" == message.http.path == told["path"]


def test_path_that_a_client_makes_up(site: SiteMaker, protocol: str, agent: Agent) -> None:
    """Envoy's own log believes the client's header; packets have the path that was asked for."""
    here = site(access=to(agent))
    made_up = (b"x-envoy-original-path", b"/innocent")
    here.fetch(protocol, path=b"/secret", headers=[made_up])
    (told,) = here.oracle()
    assert "/innocent" == told["path"]
    request, response = decoded(agent.wait_for(2))
    assert ("/secret", "/secret") == (request.http.path, response.http.path)
    assert ("x-envoy-original-path", "/innocent") in headers(request)


@pytest.mark.parametrize("compat", HTTP3)
def test_http3(site: SiteMaker, certificate: Certificate, agent: Agent, compat: str) -> None:
    """HTTP/3 has no number in the message: it is told as HTTP/2, or as Cilium does."""
    here = site(access={**to(agent), "log": {"compat": compat}}, quic=certificate)
    got = here.fetch("HTTP/3", headers=[(b"x-request-id", b"id-3")])
    (told,) = here.oracle()
    request, response = decoded(agent.wait_for(2))
    check(request, told, HTTP3[compat])
    check(response, told, HTTP3[compat])
    check_response(response, told, got, request_id="id-3")


DENY = {
    "on_request_headers": """
        stream.record.reject('x-user', 'eve')
        stream.record.missing('x-token', None)
        return Reply(403, b'no', headers={'x-why': 'no'})
    """
}


def test_denied(site: SiteMaker, protocol: str, agent: Agent) -> None:
    """A request that the filter refuses has a denied entry, and its response's is the refusal."""
    here = site(DENY, access=to(agent))
    got = here.fetch(protocol, headers=[(b"x-request-id", b"id-1")])
    (told,) = here.oracle()
    denied, response = decoded(agent.wait_for(2))
    check(denied, told, PROTOCOLS[protocol])
    check(response, told, PROTOCOLS[protocol])
    assert (DENIED, 0) == (denied.entry_type, denied.http.status)
    check_response(response, told, got, request_id="id-1")
    assert (403, "no") == (response.http.status, dict(headers(response))["x-why"])
    for message in (denied, response):
        (rejected,), (missing,) = message.http.rejected_headers, message.http.missing_headers
        assert ("x-user", "eve", "x-token", "") == (
            rejected.key, rejected.value, missing.key, missing.value
        )  # fmt: skip


def test_denied_grpc(site: SiteMaker, agent: Agent) -> None:
    """A gRPC call that is refused is answered 200 by Envoy; the status of gRPC tells it."""
    here = site(DENY, access=to(agent))
    assert 7 == here.grpc(metadata=[("x-request-id", "id-1")]).code
    (told,) = here.oracle()
    denied, response = decoded(agent.wait_for(2))
    assert (DENIED, RESPONSE) == (denied.entry_type, response.entry_type)
    assert told["response_code"] == response.http.status == 200
    assert "7" == dict(headers(response))["grpc-status"]
    assert ("x-request-id", "id-1") == headers(response)[0]


def test_local_reply_before_our_filter(site: SiteMaker, agent: Agent) -> None:
    """The request's entry is there though our hook never saw the request."""
    here = site(access=to(agent), before=[b.fault(abort={"http_status": 429})])
    got = here.fetch(headers=[(b"x-request-id", b"id-1")])
    (told,) = here.oracle()
    request, response = decoded(agent.wait_for(2))
    check(request, told, PROTOCOLS["HTTP/1.1"])
    check_response(response, told, got, request_id="id-1")
    assert 429 == response.http.status


def ask(listening: socket.socket, *lines: str) -> bytes:
    """Send a request on a socket that is connected, and read until Envoy closes it."""
    with listening as connection:
        request = ["GET / HTTP/1.1", "host: e2e.test", "connection: close", *lines, "", ""]
        connection.sendall("\r\n".join(request).encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_pipe(site: SiteMaker, agent: Agent) -> None:
    """A listener that is no IP address: Envoy tells a path, and packets 0.0.0.0:0."""
    path = str(Path(agent.path).with_name("listener.sock"))
    here = site(access=to(agent), top={"address": {"pipe": {"path": path}}})
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    assert ask(client).startswith(b"HTTP/1.1 200")
    (told,) = here.oracle()
    assert path in told["downstream_local_address"]
    for message in decoded(agent.wait_for(2)):
        assert "0.0.0.0:0" == message.source_address == message.destination_address


def test_ipv6(site: SiteMaker, agent: Agent) -> None:
    """An IPv6 address stands in brackets."""
    address = {"socket_address": {"address": "::1", "port_value": 0}}
    here = site(access=to(agent), top={"address": address})
    assert ask(socket.create_connection(("::1", here.port))).startswith(b"HTTP/1.1 200")
    (told,) = here.oracle()
    for message in decoded(agent.wait_for(2)):
        check(message, told, PROTOCOLS["HTTP/1.1"])
        assert f"[::1]:{here.port}" == message.destination_address


def test_forwarded_for(site: SiteMaker, agent: Agent) -> None:
    """The client's address is Envoy's, as its own log has it; it may be without a port."""
    here = site(access=to(agent))
    ask(socket.create_connection(("127.0.0.1", here.port)), "x-forwarded-for: 192.0.2.7")
    (told,) = here.oracle()
    for message in decoded(agent.wait_for(2)):
        check(message, told, PROTOCOLS["HTTP/1.1"])
        assert "192.0.2.7:0" == message.source_address


STATE_KEY = "envoy.tcp_proxy.cluster"  # an object of Envoy's own that has a text


def test_values_of_the_stream(site: SiteMaker, agent: Agent) -> None:
    """The six values come from metadata, filter state and headers, as Envoy's own log has them."""
    sink = {
        "policy_name": "%DYNAMIC_METADATA(peer:name)%",
        "cilium_rule_ref": f"%FILTER_STATE({STATE_KEY})%",
        "proxy_id": "%REQ(x-proxy)%",
        "is_ingress": "%DYNAMIC_METADATA(peer:ingress)%",
        "source_security_id": "%DYNAMIC_METADATA(peer:identity)%",
        "destination_security_id": 2,
    }
    peer = {"name": "10.0.0.7", "ingress": True, "identity": 4294967295}
    here = site(
        access={**to(agent, **sink), "state": {"e2e.who": "%DYNAMIC_METADATA(peer:identity)%"}},
        before=[b.set_metadata("peer", peer), b.set_filter_state(STATE_KEY, "a-rule")],
        oracle={
            "name": "%DYNAMIC_METADATA(peer:name)%",
            "rule": f"%FILTER_STATE({STATE_KEY}:PLAIN)%",
            "who": "is %FILTER_STATE(e2e.who:PLAIN)%",
        },
    )
    here.fetch(headers=[(b"x-proxy", b"15001")])
    (told,) = here.oracle()
    assert "is 4294967295" == told["who"]
    for message in decoded(agent.wait_for(2)):
        assert (told["name"], told["rule"], 15001) == (
            message.policy_name, message.cilium_rule_ref, message.proxy_id
        )  # fmt: skip
        assert (True, 4294967295, 2) == (
            message.is_ingress, message.source_security_id, message.destination_security_id
        )  # fmt: skip
    assert 0 == here.stat("cilium_bad_values")


def test_values_that_are_wrong_or_not_there(site: SiteMaker, agent: Agent) -> None:
    """0 is sent; what is wrong is counted and said once. Envoy itself complains of nothing."""
    here = site(
        access=to(
            agent,
            policy_name="%FILTER_STATE(e2e.none)%",
            source_security_id="%DYNAMIC_METADATA(none:identity)%",
            is_ingress="%REQ(x-in)%",
        )
    )
    start = here.envoy.log_path.stat().st_size
    for headers in ([], [(b"x-in", b"yes")], [(b"x-in", b"yes")]):
        assert 200 == here.fetch(headers=headers).status
    for message in decoded(agent.wait_for(6)):
        assert ("", 0, False) == (
            message.policy_name, message.source_security_id, message.is_ingress
        )  # fmt: skip
    here.oracle(3)
    lines = [
        line
        for line in here.envoy.log(start).splitlines()
        if any(level in line for level in ("[warning]", "[error]", "[critical]"))
    ]
    (said,) = lines
    assert f'{here.name}: is_ingress of a cilium sink was "yes"' in said
    assert 4 == here.stat("cilium_bad_values")


def test_large_headers(site: SiteMaker, protocol: str, agent: Agent) -> None:
    """What the agent could not take is trimmed; nothing is lost of the ids and the counts."""
    here = site(access=to(agent))
    many = [(b"x-%02d" % number, b"v" * 300) for number in range(20)]
    tokens = (b"x-output-tokens", b"17")
    got = here.fetch(
        protocol, answer=Answer(headers=[*many, tokens]), headers=[(b"x-request-id", b"id"), *many]
    )
    assert 200 == got.status
    here.oracle()
    packets = agent.wait_for(2)
    assert all(len(packet) <= 4096 for packet in packets)
    request, response = decoded(packets)
    for message in (request, response):
        *left, (marker, count) = headers(message)
        assert ("x-envoy-pyfilter-trimmed", "id") == (marker, dict(left)["x-request-id"])
        assert 1 <= int(count) <= 20
    assert ("x-output-tokens", "17") in headers(response)
    assert 2 == here.stat("cilium_trimmed")
    assert 0 == agent.truncated
