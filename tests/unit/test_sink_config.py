# SPDX-License-Identifier: Apache-2.0
"""The config of Cilium sinks: what it becomes, and the exact words for what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter import _config
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.formats import parse
from envoy_pyfilter.plan_spec import CiliumSpec, Part, SinkSpec

NO_PATH = "expected a path, or @name for an abstract one"
LONG = "/" + "\u00e9" * 54  # 109 bytes
IDENTITY = "expected 0 to 4294967295, or a format with commands"
PORT = "expected 0 to 65535, or a format with commands"


def literal(text: bytes) -> tuple[Part, ...]:
    """Make the parts of a constant."""
    return (Part(op="literal", text=text),)


def load(*sinks: dict[str, Any]) -> tuple[SinkSpec, ...]:
    """Load an access filter with these sinks, Cilium's unless they say otherwise."""
    cilium = {"type": "cilium", "socket": "@agent"}
    whole = [sink if "type" in sink else {**cilium, **sink} for sink in sinks]
    config = json.dumps({"sinks": whole}).encode()
    plan = _config.load("access", config, validating=True).plan
    assert plan is not None
    return plan.sinks


DEFAULT = CiliumSpec(
    max_packet=4096,
    queue_entries=8192,
    queue_bytes=8388608,
    drop_oldest=False,
    policy_name=(),
    cilium_rule_ref=(),
    proxy_id=literal(b"0"),
    is_ingress=literal(b"false"),
    source_security_id=literal(b"0"),
    destination_security_id=literal(b"0"),
)


def test_defaults() -> None:
    """Nothing but the socket is needed."""
    sink = SinkSpec(type="cilium", path="@agent", ring_bytes=4194304, name="@agent", cilium=DEFAULT)
    assert (sink,) == load({})


def test_everything_set() -> None:
    """Constants of each type and formats arrive as parts."""
    (sink,) = load(
        {
            "socket": "/run/agent.sock",
            "max_packet": 65536,
            "policy_name": "10.0.0.7",
            "cilium_rule_ref": "%REQ(x-rule)%",
            "proxy_id": 65535,
            "is_ingress": True,
            "source_security_id": 4294967295,
            "destination_security_id": "%DYNAMIC_METADATA(peer:identity)%",
            "queue": {"entries": 1, "bytes": 65536, "drop": "oldest"},
            "ring_bytes": 131072,
        }
    )
    expected = CiliumSpec(
        max_packet=65536,
        queue_entries=1,
        queue_bytes=65536,
        drop_oldest=True,
        policy_name=literal(b"10.0.0.7"),
        cilium_rule_ref=parse("%REQ(x-rule)%"),
        proxy_id=literal(b"65535"),
        is_ingress=literal(b"true"),
        source_security_id=literal(b"4294967295"),
        destination_security_id=parse("%DYNAMIC_METADATA(peer:identity)%"),
    )
    assert ("/run/agent.sock", 131072, expected) == (sink.path, sink.ring_bytes, sink.cilium)


def test_constants_in_text() -> None:
    """A text without commands is a constant, and checked as one."""
    (sink,) = load({"proxy_id": "15001", "is_ingress": "false", "source_security_id": "007"})
    assert sink.cilium is not None
    assert (literal(b"15001"), literal(b"false"), literal(b"007")) == (
        sink.cilium.proxy_id, sink.cilium.is_ingress, sink.cilium.source_security_id
    )  # fmt: skip


def test_two_agents() -> None:
    """Several sockets, each with values of its own."""
    first, second = load({"proxy_id": 1}, {"socket": "@other", "proxy_id": 2})
    assert first.cilium is not None
    assert second.cilium is not None
    assert (literal(b"1"), literal(b"2")) == (first.cilium.proxy_id, second.cilium.proxy_id)


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"socket": ""},
        'socket: not a socket\'s path, got ""; ' + NO_PATH,
    ),
    (
        {"socket": "@"},
        'socket: not a socket\'s path, got "@"; ' + NO_PATH,
    ),
    (
        {"socket": "a\0b"},
        'socket: not a socket\'s path, got "a\\u0000b"; ' + NO_PATH,
    ),
    (
        {"socket": LONG},
        f'socket: too long for a socket (109 bytes), got "{LONG}"; expected at most 107 bytes',
    ),
    ({"sockets": "@a"}, "sockets: unknown key; did you mean socket?"),
    (
        {"max_packet": 511},
        "max_packet: too small to hold any entry, got 511; expected at least 512",
    ),
    ({"max_packet": 0}, "max_packet: too small to hold any entry, got 0; expected at least 512"),
    (
        {"max_packet": 515, "policy_name": "abcd"},
        "max_packet: too small to hold any entry, got 515; expected at least 516",
    ),
    (
        {"max_packet": 700, "policy_name": "%REQ(a)%"},
        "max_packet: too small to hold any entry, got 700; expected at least 768",
    ),
    ({"max_packet": 131073}, "max_packet: not allowed, got 131073; expected an integer <= 131072"),
    ({"max_packet": "4k"}, 'max_packet: wrong type, got "4k"; expected an integer'),
    (
        {"max_packet": 65536, "ring_bytes": 65536},
        "max_packet: larger than ring_bytes allows, got 65536; expected at most 65472",
    ),
    (
        {"queue": {"entries": 0}},
        "queue.entries: no entry could ever wait, got 0; expected at least 1",
    ),
    (
        {"queue": {"bytes": 0}},
        "queue.bytes: too small for one entry, got 0; expected at least max_packet (4096)",
    ),
    ({"queue": {"drop": "all"}}, 'queue.drop: unknown value, got "all"; expected oldest or newest'),
    ({"queue": {"size": 1}}, "queue.size: unknown key; known: entries, bytes, drop"),
    ({"source_security_id": "web"}, f'source_security_id: not a number, got "web"; {IDENTITY}'),
    ({"source_security_id": ""}, f'source_security_id: not a number, got ""; {IDENTITY}'),
    ({"source_security_id": "-1"}, f'source_security_id: not a number, got "-1"; {IDENTITY}'),
    (
        {"source_security_id": "\u0663"},
        f'source_security_id: not a number, got "\u0663"; {IDENTITY}',
    ),
    ({"source_security_id": -1}, f"source_security_id: out of range, got -1; {IDENTITY}"),
    (
        {"destination_security_id": 4294967296},
        f"destination_security_id: out of range, got 4294967296; {IDENTITY}",
    ),
    (
        {"destination_security_id": "99999999999"},
        f'destination_security_id: out of range, got "99999999999"; {IDENTITY}',
    ),
    (
        {"source_security_id": 1.5},
        "source_security_id: wrong type, got 1.5; expected an integer or a string",
    ),
    ({"proxy_id": 65536}, f"proxy_id: out of range, got 65536; {PORT}"),
    ({"proxy_id": "65536"}, f'proxy_id: out of range, got "65536"; {PORT}'),
    ({"proxy_id": True}, "proxy_id: wrong type, got true; expected an integer or a string"),
    (
        {"proxy_id": "%REQ%"},
        "proxy_id: at character 1: %REQ% needs an argument: %REQ(name)%",
    ),
    (
        {"is_ingress": "yes"},
        (
            'is_ingress: neither true nor false, got "yes";'
            " expected true, false, or a format with commands"
        ),
    ),
    ({"is_ingress": 1}, "is_ingress: wrong type, got 1; expected true or false or a string"),
    (
        {"policy_name": "a" * 257},
        f'policy_name: too long, got "{"a" * 59}...; expected at most 256 bytes',
    ),
    (
        {"policy_name": "100%"},
        (
            "policy_name: at character 4: not a command: expected %NAME% or "
            "%NAME(argument)%, and %% for a percent sign"
        ),
    ),
]


@pytest.mark.parametrize(("sink", "message"), BAD)
def test_bad_sinks(sink: dict[str, Any], message: str) -> None:
    """The message names the key, what is wrong with it and what was expected."""
    with pytest.raises(ConfigError) as caught:
        load(sink)
    assert f"access: sinks[0].{message}" == str(caught.value)


def test_the_same_socket_twice() -> None:
    """One sink for each socket."""
    with pytest.raises(ConfigError) as caught:
        load({}, {"proxy_id": 2})
    assert "access: sinks[1].socket: the same sink as sinks[0]" == str(caught.value)


def test_the_same_path_in_two_spellings(tmp_path: Path) -> None:
    """Doubled slashes and a folder's link are seen through; the last part may be a link itself."""
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "one")
    for other in (f"{tmp_path}//one", f"{tmp_path}/./one", f"{tmp_path}/link/one"):
        for key, kind in (("socket", "cilium"), ("path", "file")):
            with pytest.raises(ConfigError) as caught:
                load(*[{"type": kind, key: where} for where in (f"{tmp_path}/one", other)])
            assert f"access: sinks[1].{key}: the same sink as sinks[0]" == str(caught.value)
    assert 2 == len(load({"socket": f"{tmp_path}/one"}, {"socket": f"{tmp_path}/linked"}))
    assert 2 == len(load({"socket": "@/x/one"}, {"socket": "@/x//one"}))
