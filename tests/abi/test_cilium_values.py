# SPDX-License-Identifier: Apache-2.0
"""What packets of the Cilium sink hold beside the stream itself, and what they hide."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from cli.packets import PROTO, log_entry
from e2e.agent import Agent, socket_folder
from google.protobuf import text_format

from .cilium import DENIED, RESPONSE, Life, decoded, pairs_of
from .cilium_wire import Wire, begin, check
from .configs import FILTERS, Stream


def test_constants(wire: Wire) -> None:
    """Constants of each type, numbers in text included."""
    life = Life(request=[(b":path", b"/")])
    sent = {
        "policy_name": "10.0.0.7",
        "cilium_rule_ref": "r\u00fc",
        "proxy_id": 65535,
        "is_ingress": True,
        "source_security_id": 4294967295,
        "destination_security_id": 1,
    }
    check(wire.live(wire.config(sink=sent), life), life, **sent)
    texts = {**sent, "proxy_id": "65535", "is_ingress": "true", "source_security_id": "4294967295"}
    check(wire.live(wire.config(sink=texts), life), life, **sent)


FORMATS = {
    "policy_name": "p %FILTER_STATE(peer.name)%",
    "cilium_rule_ref": "%DYNAMIC_METADATA(peer:rule)%",
    "proxy_id": "%FILTER_STATE(proxy:PLAIN)%",
    "is_ingress": "%DYNAMIC_METADATA(peer:ingress)%",
    "source_security_id": "%DYNAMIC_METADATA(peer:identity)%",
    "destination_security_id": "%REQ(x-identity)%",
}


def test_formats(wire: Wire) -> None:
    """Values from filter state of both sorts, metadata of each type, and a header."""
    life = Life(request=[(b":path", b"/"), (b"x-identity", b"7")])
    config = wire.config(sink=FORMATS)
    stream = begin(config, life)
    stream.put_state(-1, None, "peer.name", "s", b"caf\xe9")
    stream.put_state(-1, None, "proxy", "o", 9)
    stream.put_state(0, "peer", "rule", "s", "r1")
    stream.put_state(0, "peer", "identity", "n", 4294967295)
    stream.put_state(0, "peer", "ingress", "b", 1)
    packets = wire.collect(stream, life)
    sent = {
        "policy_name": "p caf\N{REPLACEMENT CHARACTER}",
        "cilium_rule_ref": "r1",
        "proxy_id": 9,
        "is_ingress": True,
        "source_security_id": 4294967295,
        "destination_security_id": 7,
    }
    check(packets, life, **sent)
    assert 0 == config.counts().get("cilium_bad_values", 0)


@pytest.mark.parametrize(
    ("identity", "proxy"),
    [(b"4294967296", 1), (b"-1", 1), (b"1.5", 1), (b"1 ", 1), (b"7", 65536)],
)
def test_values_that_are_none(wire: Wire, identity: bytes, proxy: int) -> None:
    """0 stands in their place; each is counted, and the first one of a config is logged."""
    sink = {"proxy_id": "%DYNAMIC_METADATA(peer:id)%", "source_security_id": "%REQ(x-identity)%"}
    name = f"bad{identity.hex()}{proxy}"  # a config of its own: it says things once
    config = wire.config(sink=sink, state={name: "x"})
    life = Life(request=[(b":path", b"/"), (b"x-identity", identity)])
    logged = len(wire.host.logged)
    for _ in range(2):
        stream = begin(config, life)
        stream.put_state(0, "peer", "id", "n", proxy)
        good = {"source_security_id": 7} if proxy > 1 else {"proxy_id": 1}
        check(wire.collect(stream, life), life, **good)
    said = [line for line in wire.host.logged[logged:] if "cilium_bad_values" in line]
    assert (1, 4) == (len(said), config.counts()["cilium_bad_values"])
    which = "proxy_id" if proxy > 1 else "source_security_id"
    assert f"{config.name}: {which} of a cilium sink was" in said[0]


def test_values_that_are_not_there(wire: Wire) -> None:
    """0 and false stand for them, nothing is counted, and what is truly wrong is told later."""
    sink = {
        "proxy_id": "%REQ(x-proxy)%",
        "is_ingress": "%REQ(x-in)%",
        "source_security_id": "%FILTER_STATE(none)%",
        "destination_security_id": "%DYNAMIC_METADATA(none:id)%",
    }
    config = wire.config(sink=sink, state={"absent": "x"})  # a config of its own: it says once
    logged = len(wire.host.logged)

    def said() -> list[str]:
        return [line for line in wire.host.logged[logged:] if "cilium_bad_values" in line]

    nothing = Life(request=[(b":path", b"/")])
    empty = Life(request=[(b":path", b"/"), (b"x-proxy", b""), (b"x-in", b"")])
    for life in (nothing, empty):
        check(wire.live(config, life), life)
    assert ([], 0) == (said(), config.counts().get("cilium_bad_values", 0))

    wrong = Life(request=[(b":path", b"/"), (b"x-proxy", b"65536"), (b"x-in", b"yes")])
    for _ in range(2):
        check(wire.live(config, wrong), wrong)
    ingress, proxy = said()  # once each, in the order of the fields
    assert f'{config.name}: is_ingress of a cilium sink was "yes", which is none; false' in ingress
    assert f'{config.name}: proxy_id of a cilium sink was "65536", which is none; 0' in proxy
    assert 8 == config.counts()["cilium_bad_values"]


def test_long_texts_of_formats(wire: Wire) -> None:
    """A policy's name is cut to 256 bytes, between characters."""
    life = Life(request=[(b":path", b"/"), (b"x-name", "\u00fc".encode() * 300 + b"a")])
    config = wire.config(sink={"policy_name": "a%REQ(x-name)%"})
    check(wire.live(config, life), life, policy_name="a" + "\u00fc" * 127)


# --- what else differs from stream to stream ---


@pytest.mark.parametrize(
    "address",
    ["", "/run/envoy.sock", "@abstract", "10.0.0.1", "[::1]", "10.0.0.1:", "::1:80", "a.b:80",
     "envoy://internal/x", "1.2.3.4:123456"],
)  # fmt: skip
def test_addresses_that_the_agent_cannot_read(wire: Wire, address: str) -> None:
    """Nothing but IP and port is sent; what Envoy has beside that is told as 0.0.0.0:0."""
    life = Life(request=[(b":path", b"/")], source=address, destination=address)
    read = Life(request=life.request, source="0.0.0.0:0", destination="0.0.0.0:0")
    check(wire.live(wire.config(), life), read)


def test_http3_under_compat(wire: Wire) -> None:
    """Cilium's filter tells HTTP/3 as HTTP/1.1."""
    life = Life(request=[(b":path", b"/")], protocol="HTTP/3")
    told = Life(request=[(b":path", b"/")], protocol="HTTP/1.1")
    check(wire.live(wire.config(log={"compat": "cilium"}), life), told)


def test_header_rules(wire: Wire) -> None:
    """The rules of ``log`` hold, and the request's id is always there."""
    request_rules = {"include": ["x-*"], "exclude": ["x-no", "x-request-id"], "redact": ["x-key"]}
    response_rules = {"exclude": ["x-no"], "reveal": ["set-cookie"]}
    config = wire.config(log={"request_headers": request_rules, "response_headers": response_rules})
    shown = [(b"x-a", b"1"), (b"x-request-id", b"id")]
    kept = [(b"set-cookie", b"s=1"), (b"x-request-id", b"other")]
    life = Life(
        request=[
            (b":path", b"/"), (b":scheme", b"https"), *shown, (b"x-no", b"2"),
            (b"user-agent", b"u"), (b"x-key", b"secret"),
        ],
        response=[(b":status", b"200"), *kept, (b"x-no", b"1"), (b"authorization", b"secret")],
    )  # fmt: skip
    request, response = map(decoded, wire.live(config, life))
    assert [("x-a", "1"), ("x-request-id", "id"), ("x-key", "[redacted]")] == pairs_of(request)
    expected_response = [
        ("x-request-id", "id"), ("set-cookie", "s=1"), ("x-request-id", "other"),
        ("authorization", "[redacted]"),
    ]  # fmt: skip
    assert expected_response == pairs_of(response)
    assert "https" == response.http.scheme


def test_redacted_id(wire: Wire) -> None:
    """An id that is hidden does not come out of the response either."""
    config = wire.config(log={"request_headers": {"redact": ["x-request-id"]}})
    life = Life(
        request=[(b"x-request-id", b"id")],
        response=[(b":status", b"200"), (b"x-request-id", b"id")],
    )
    for packet in wire.live(config, life):
        assert [("x-request-id", "[redacted]")] == pairs_of(decoded(packet))


def test_a_stream_without_anything(wire: Wire) -> None:
    """An entry says what it can, and is never empty."""
    config = wire.config()
    (packet,) = wire.packets(1, config.stream().finish)
    message = decoded(packet)
    assert (RESPONSE, "http", 0, []) == (
        message.entry_type, message.http.scheme, message.http.status, pairs_of(message)
    )  # fmt: skip
    assert "0.0.0.0:0" == message.source_address == message.destination_address


def test_denied(wire: Wire) -> None:
    """A filter's own answer makes the request's entry a denied one; notes go with both."""
    notes: list[tuple[str, str | bytes, object]] = [
        ("missing", "x-user", "alice"),
        ("missing", "x-user", "alice"),
        ("missing", "x-any", None),
        ("rejected", b"x-\xff", b"\xff"),
        ("rejected", "x-user", "alice"),
        ("rejected", "x-secret", "s"),
    ]
    hook = "".join(
        f"stream.record.{kind.replace('rejected', 'reject')}({name!r}, {value!r})\n"
        for kind, name, value in notes
    )
    config = wire.config(
        "filters:ScriptedAccess__on_request_headers",
        python_path=[str(FILTERS)],
        hooks={"on_request_headers": f"{hook}return Reply(403, headers={{'x-why': 'no'}})"},
        log={"request_headers": {"redact": ["x-secret"]}},
    )
    life = Life(request=[(b":path", b"/"), (b"x-request-id", b"id")])
    stream = begin(config, life)
    denied, response = map(decoded, wire.packets(2, lambda: denied_life(stream, life)))
    assert (DENIED, RESPONSE) == (denied.entry_type, response.entry_type)
    assert (0, 403) == (denied.http.status, response.http.status)
    assert ("x-why", "no") in pairs_of(response)
    for message in (denied, response):
        assert [("x-user", "alice"), ("x-any", "")] == pairs_of(message, "missing_headers")
        bad = "\N{REPLACEMENT CHARACTER}"
        rejected = [(f"x-{bad}", bad), ("x-user", "alice"), ("x-secret", "[redacted]")]
        assert rejected == pairs_of(message, "rejected_headers")


def denied_life(stream: Stream, life: Life) -> None:
    """Let a stream be answered by its own filter."""
    stream.request_headers(life.request)
    stream.finish()


def test_fields_do_not_matter(wire: Wire) -> None:
    """Packets hold all they can, whatever fields the lines of JSON have."""
    path = wire.host.folder / "fields.log"
    file = {"type": "file", "path": str(path)}
    config = wire.config(log={"fields": ["kind"]}, more=[file])
    life = Life(
        request=[(b":path", b"/p"), (b"x-request-id", b"id")], response=[(b":status", b"204")]
    )
    check(wire.live(config, life), life)
    config.end()
    assert ['{"kind":"request"}', '{"kind":"response"}'] == path.read_text().splitlines()


# --- a witness in another language ---


def test_two_agents(wire: Wire) -> None:
    """Each sink has values and a limit of its own; one that trims changes nothing for the other."""
    life = Life(request=[(b":path", b"/"), *((b"x-%d" % n, b"v" * 60) for n in range(20))])
    with socket_folder() as folder, Agent(folder / "second", buffer=1 << 18) as second:
        other = {"type": "cilium", "socket": second.path, "proxy_id": 2, "max_packet": 8192}
        config = wire.config(sink={"proxy_id": 1, "max_packet": 512}, more=[other])
        trimmed = wire.live(config, life)
        check(second.wait_for(2), life, proxy_id=2)
        config.end()
    assert [1, 1] == [decoded(packet).proxy_id for packet in trimmed]
    assert "x-envoy-pyfilter-trimmed" == pairs_of(decoded(trimmed[0]))[-1][0]


@pytest.mark.skipif(shutil.which("protoc") is None, reason="no protoc (protobuf-compiler)")
def test_protoc_reads_the_same(wire: Wire) -> None:
    """``protoc --decode`` prints what the protobuf runtime prints of the same packet."""
    life = Life(
        request=[
            (b":path", b"/\xc3\xa9"),
            (b":authority", b"example.org"),
            (b"x-request-id", b"1"),
        ],
        response=[(b":status", b"503"), (b"x-bin", b"\xff\"'\n")],
    )
    config = wire.config(sink={"proxy_id": 7, "is_ingress": True, "policy_name": "10.0.0.7"})
    for packet in wire.live(config, life):
        command = ["protoc", f"--proto_path={PROTO.parent}", "--decode=cilium.LogEntry", PROTO.name]
        done = subprocess.run(command, input=packet, capture_output=True, check=True)
        assert text_format.Parse(done.stdout, log_entry()()) == decoded(packet)
        assert 'destination_address: "10.0.0.7:80"' in done.stdout.decode()
