# SPDX-License-Identifier: Apache-2.0
"""
The image's health check: asks the Envoy of this container whether it is ready.

A file of its own, run by its path, because it is run every few seconds: it imports nothing of us.
"""

import http.client
import sys
from pathlib import Path

ADDRESS = Path("/dev/shm/envoy-admin")  # noqa: S108 (the container's own)


def main() -> int:
    """Print what Envoy's admin interface says; 0 when Envoy is ready."""
    try:
        host, _, port = ADDRESS.read_text().rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104
        connection = http.client.HTTPConnection(host, int(port), timeout=4)
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
