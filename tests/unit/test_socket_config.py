# SPDX-License-Identifier: Apache-2.0
"""The agent's socket and its queue in a config: what is taken, and the words for what is not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from .test_access import plan, refusal


def sink(**fields: Any) -> dict[str, Any]:
    """Give a config with one sink."""
    return {"sinks": [{"type": "cilium", "socket": "/run/agent.sock", **fields}]}


TOO_LONG = "/" + "ä" * 54  # 55 characters are 109 bytes

BAD: list[tuple[dict[str, Any], str]] = [
    (
        sink(queue={"drop": "random"}),
        'sinks[0].queue.drop: unknown value, got "random"; expected oldest or newest',
    ),
    (
        sink(queue={"entries": 0}),
        "sinks[0].queue.entries: no entry could ever wait, got 0; expected at least 1",
    ),
    (
        sink(queue={"bytes": 0}),
        (
            "sinks[0].queue.bytes: too small for one entry, got 0; "
            "expected at least max_packet (4096)"
        ),
    ),
    (
        sink(queue={"size": 5}),
        "sinks[0].queue.size: unknown key; known: entries, bytes, drop",
    ),
    (
        sink(socket=TOO_LONG),
        (
            f'sinks[0].socket: too long for a socket (109 bytes), got "{TOO_LONG}"; '
            "expected at most 107 bytes"
        ),
    ),
    (
        sink(socket=""),
        (
            'sinks[0].socket: not a socket\'s path, got ""; '
            "expected a path, or @name for an abstract one"
        ),
    ),
]


@pytest.mark.parametrize(("config", "message"), BAD)
def test_bad_configs(config: dict[str, Any], message: str) -> None:
    """The message names the key, what is wrong with it and what was expected."""
    assert f"access: {message}" == refusal(config)


def test_what_is_no_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file or a folder will never be the agent's socket by itself."""
    folder = tmp_path_factory.mktemp("s")  # a short name: a message cuts a long value
    file = folder / "file"
    file.touch()
    message = f'access: sinks[0].socket: a file, not a socket, got "{file}"'
    assert message == refusal(sink(socket=str(file)))
    message = f'access: sinks[0].socket: a folder, not a socket, got "{folder}"'
    assert message == refusal(sink(socket=str(folder)))


def test_sockets_that_are_good(tmp_path: Path) -> None:
    """One that is there, one that comes later, with its folder or without, and an abstract one."""
    here = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(here))
        for name in (str(here), str(tmp_path / "x"), "/nowhere/x", "@x", "/" + "x" * 106):
            assert [name] == [one.path for one in plan(sink(socket=name)).sinks]
