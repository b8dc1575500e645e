# SPDX-License-Identifier: Apache-2.0
"""
The image's health check: asks the Envoy of this container whether it is ready.

A file of its own, run by its path, because it is run every few seconds: it imports nothing of us.
"""

import http.client
import socket
import sys
from pathlib import Path

ADDRESS = Path("/dev/shm/envoy-admin")  # noqa: S108 (the container's own)


def _connection(address: str) -> http.client.HTTPConnection:
    """Connect to HOST:PORT, or to the path of a UNIX socket (abstract with ``@``)."""
    if address.startswith(("/", "@")):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(4)
        connection.sock.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        return connection
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
    return http.client.HTTPConnection(host, int(port), timeout=4)


def main() -> int:
    """Print what Envoy's admin interface says; 0 when Envoy is ready."""
    try:
        connection = _connection(ADDRESS.read_text())
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        text = answer.read().decode().strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"Envoy's admin interface does not answer: {error}")
        return 1
    print(text)
    return int(answer.status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
