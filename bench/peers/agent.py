# SPDX-License-Identifier: Apache-2.0
"""
The reader of the ``cilium`` sink's packets: ``python -m bench.peers.agent SOCKET [FILE]``.

With a file it decodes each packet and writes a JSON line; else it reads and drops.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from importlib import resources
from pathlib import Path
from typing import Any

from bench.peers.messages import message

PACKET = 65536


def line(http: Any) -> str:
    """Give what a response's packet holds of the ten values, as JSON."""
    headers = {header.key: header.value for header in http.headers}
    return json.dumps(
        {
            "method": http.method,
            "path": http.path,
            "authority": http.host,
            "request_id": headers["x-request-id"],
            "response_code": http.status,
            "content_type": headers["content-type"],
            "content_length": headers["content-length"],
            "served_by": headers["x-served-by"],
        }
    )


def serve(connection: socket.socket, kind: Any, file: str | None) -> None:
    """Read one connection to its end."""
    while packet := connection.recv(PACKET):
        if file is not None:
            with Path(file).open("a", encoding="utf-8") as out:
                out.write(line(kind.FromString(packet).http) + "\n")


def main(path: str, file: str | None = None) -> None:
    """Serve until the process is ended."""
    kind = message("cilium.proto", "cilium.LogEntry", Path(str(resources.files("envoy_pyfilter"))))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, kind, file), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
