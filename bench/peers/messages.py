# SPDX-License-Identifier: Apache-2.0
"""Protobuf messages of the ``.proto`` files here, without generated code."""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

HERE = Path(__file__).parent


def message(file: str, name: str, beside: Path = HERE) -> Any:
    """Give the class of message *name* (with its package) of *file* in the folder *beside*."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "descriptors")
        own = resources.files("grpc_tools") / "_proto"
        arguments = ["protoc", f"-I{beside}", f"-I{own}", f"--descriptor_set_out={out}"]
        if protoc.main([*arguments, "--include_imports", file]) != 0:
            raise SystemExit(f"protoc does not take {file}")
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
