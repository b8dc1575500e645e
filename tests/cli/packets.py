# SPDX-License-Identifier: Apache-2.0
"""
Packets as Cilium's Envoy sends them, made by the protobuf runtime from ``cilium.proto``.

The message's class comes from protoc, not from the table that ``tail`` uses.
"""

from __future__ import annotations

import socket
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envoy_pyfilter
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from typing_extensions import Self

PROTO = Path(envoy_pyfilter.__file__).with_name("cilium.proto")
REQUEST, RESPONSE, DENIED = 0, 1, 2
START = 1_700_000_000_000_000_000


@cache
def log_entry() -> Any:
    """Give the class of ``cilium.LogEntry``."""
    with tempfile.NamedTemporaryFile() as out:
        arguments = ["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={out.name}"]
        assert 0 == import_module("grpc_tools.protoc").main([*arguments, PROTO.name])
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read()).file
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("cilium.LogEntry"))


def packet(
    kind: int = REQUEST,
    *,
    name: str = "id-1",
    after: int = 0,
    status: int = 0,
    method: str = "GET",
    host: str = "example.com",
    path: str = "/",
    headers: dict[str, str] | None = None,
) -> bytes:
    """Make one; *after*: microseconds from the request's arrival, *name*: the request's id."""
    pairs = {"x-request-id": name, **(headers or {})}
    message = log_entry()(
        timestamp=START + after * 1000,
        entry_type=kind,
        policy_name="10.0.0.7",
        source_address="10.0.0.1:1234",
        destination_address="10.0.0.7:80",
        http={
            "http_protocol": 1,
            "scheme": "http",
            "host": host,
            "path": path,
            "method": method,
            "status": status,
            "headers": [{"key": key, "value": value} for key, value in pairs.items()],
        },
    )
    return bytes(message.SerializeToString())


class Sender:
    """A connection to whoever listens; a context manager that closes it."""

    def __init__(self, path: Path | str) -> None:
        """Connect; ``@`` begins an abstract name."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        name = str(path)
        self.socket.connect("\0" + name[1:] if name.startswith("@") else name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *packets: bytes) -> None:
        """Send packets, one message each."""
        for one in packets:
            assert len(one) == self.socket.send(one)
