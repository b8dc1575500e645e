# SPDX-License-Identifier: Apache-2.0
"""The agent's messages: the table says what ``cilium.proto`` says, and entries come of them."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter import _cilium
from envoy_pyfilter._cilium import Decoder, Unreadable
from envoy_pyfilter._console import Refusal
from envoy_pyfilter._follow import as_json
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

PROTO = Path(_cilium.__file__).with_name("cilium.proto")
NUMBERS = st.integers(0, 2**32 - 1)


def compiled(folder: Path) -> descriptor_pb2.FileDescriptorProto:
    """Give what protoc makes of ``cilium.proto``."""
    out = folder / "set"
    code = import_module("grpc_tools.protoc").main(
        ["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={out}", PROTO.name]
    )
    assert 0 == code
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return file


@pytest.fixture(scope="session")
def log_entry(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give the class of ``cilium.LogEntry`` that protoc makes of the file."""
    file = compiled(tmp_path_factory.mktemp("proto"))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cilium.LogEntry"))


@pytest.fixture(scope="session")
def decode() -> Decoder:
    """Give the decoder."""
    return Decoder()


def test_descriptor(tmp_path: Path) -> None:
    """The table says what the file says: numbers, types, labels, names."""
    expected = compiled(tmp_path)
    for message in expected.message_type:
        for inner in (message, *message.nested_type):
            for field in inner.field:
                field.ClearField("json_name")  # protoc adds it, made from the name

    assert expected == _cilium.file_descriptor()


def request(log_entry: Any, **fields: Any) -> Any:
    """Make the packet of a request."""
    message = log_entry(
        timestamp=1_700_000_000_123_456_789,
        policy_name="10.0.0.7",
        source_security_id=1,
        source_address="10.0.0.1:1234",
        destination_address="10.0.0.7:80",
        is_ingress=True,
        destination_security_id=173,
        proxy_id=42,
        **fields,
    )
    http = message.http
    http.http_protocol, http.scheme, http.host = 2, "https", "example.com"
    http.path, http.method = "/a?b=1", "GET"
    http.headers.add(key="x-request-id", value="id-1")
    http.headers.add(key="x-many", value="1")
    http.headers.add(key="x-many", value="2")
    return message


ENTRY = {
    "kind": "request",
    "time_unix_nano": 1_700_000_000_123_456_789,
    "request_id": "id-1",
    "protocol": "HTTP/2",
    "method": "GET",
    "scheme": "https",
    "authority": "example.com",
    "path": "/a?b=1",
    "downstream_remote_address": "10.0.0.1:1234",
    "downstream_local_address": "10.0.0.7:80",
    "request_headers": {"x-request-id": "id-1", "x-many": ["1", "2"]},
    "cilium": {
        "policy_name": "10.0.0.7",
        "cilium_rule_ref": "",
        "source_security_id": 1,
        "destination_security_id": 173,
        "is_ingress": True,
        "proxy_id": 42,
    },
}


def test_request(log_entry: Any, decode: Decoder) -> None:
    """A request's packet has the fields of our JSON lines, under their names."""
    assert ENTRY == decode(request(log_entry).SerializeToString())


def test_response(log_entry: Any, decode: Decoder) -> None:
    """A response's packet has its status; its headers are the response's."""
    message = request(log_entry, entry_type=1)
    message.http.status = 503
    entry = decode(message.SerializeToString())

    assert ("response", 503) == (entry["kind"], entry["response_code"])
    assert ENTRY["request_headers"] == entry["response_headers"]
    assert "request_headers" not in entry


def test_denied(log_entry: Any, decode: Decoder) -> None:
    """What the policy found is told as our entries do."""
    message = request(log_entry, entry_type=2)
    message.http.rejected_headers.add(key="user-agent", value="test")
    message.http.missing_headers.add(key="x-token", value="[redacted]")
    entry = decode(message.SerializeToString())

    assert "denied" == entry["kind"]
    assert [["user-agent", "test"]] == entry["rejected"]
    assert [["x-token", "[redacted]"]] == entry["missing"]


def test_other_protocols(log_entry: Any, decode: Decoder) -> None:
    """Packets of Cilium's other filters are entries, too."""
    kafka = log_entry(timestamp=1, kafka={"api_key": 3, "topics": ["a", "b"]})
    other = log_entry(timestamp=1, generic_l7={"proto": "cassandra", "fields": {"q": "x"}})

    entry = decode(kafka.SerializeToString())
    assert (3, ["a", "b"]) == (entry["kafka"]["api_key"], entry["kafka"]["topics"])
    entry = decode(other.SerializeToString())
    assert {"proto": "cassandra", "fields": {"q": "x"}} == entry["l7"]


def test_a_newer_protocol(log_entry: Any, decode: Decoder) -> None:
    """A protocol that has no name here is left out."""
    message = request(log_entry)
    message.http.http_protocol = 9

    assert "protocol" not in decode(message.SerializeToString())


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff\xff",  # no message
        b"\x22\x02\xff\xfe",  # a policy_name that is not UTF-8
        b"\x18\x09",  # an entry_type that is none
        b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a negative one
    ],
)
def test_unreadable(packet: bytes, decode: Decoder) -> None:
    """What is no LogEntry is told from one."""
    with pytest.raises(Unreadable):
        decode(packet)


_pairs = st.lists(st.fixed_dictionaries({"key": st.text(), "value": st.text()}), max_size=5)
_http = st.fixed_dictionaries(
    {
        "http_protocol": st.integers(0, 2),
        "scheme": st.text(),
        "host": st.text(),
        "path": st.text(),
        "method": st.text(),
        "headers": _pairs,
        "status": NUMBERS,
        "missing_headers": _pairs,
        "rejected_headers": _pairs,
    }
)
_entries = st.fixed_dictionaries(
    {
        "timestamp": st.integers(0, 2**64 - 1),
        "entry_type": st.integers(0, 2),
        "policy_name": st.text(),
        "cilium_rule_ref": st.text(),
        "source_security_id": NUMBERS,
        "source_address": st.text(),
        "destination_address": st.text(),
        "is_ingress": st.booleans(),
        "destination_security_id": NUMBERS,
        "proxy_id": NUMBERS,
    },
    optional={"http": _http},
)


@given(fields=_entries)
def test_any_entry(log_entry: Any, decode: Decoder, fields: dict[str, Any]) -> None:
    """Whatever a packet holds comes back, through JSON as well."""
    entry = decode(log_entry(**fields).SerializeToString())
    http = fields.get("http", {})
    side = "response" if fields["entry_type"] == 1 else "request"
    headers: dict[str, list[str]] = {}
    for one in http.get("headers", []):
        headers.setdefault(one["key"], []).append(one["value"])

    assert entry == json.loads(as_json(entry))
    assert fields["timestamp"] == entry["time_unix_nano"]
    assert fields["policy_name"] == entry["cilium"]["policy_name"]
    assert http.get("path", "") == entry.get("path", "")
    assert headers == {
        name: value if isinstance(value, list) else [value]
        for name, value in entry.get(f"{side}_headers", {}).items()
    }


@given(packet=st.binary(max_size=100))
def test_any_packet(decode: Decoder, packet: bytes) -> None:
    """Any bytes are an entry or are told to be none."""
    try:
        entry = decode(packet)
    except Unreadable:
        return
    assert entry["kind"] in ("request", "response", "denied")


def test_no_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the protobuf runtime one sentence says how to get it."""
    names = [name for name in sys.modules if name.startswith("google.protobuf")]
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)  # so that importing it fails
    text = (
        "tail --socket reads protobuf messages, and the Python package protobuf is not here: "
        "pip install 'envoy-pyfilter[tail]'"
    )
    with pytest.raises(Refusal) as refused:
        Decoder()

    assert text == str(refused.value)
