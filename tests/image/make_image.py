# SPDX-License-Identifier: Apache-2.0
"""
``make image``: builds the image, whose base is made first where no registry gives it.

``python -m image.make_image TAG RELEASE``, in the folder above this one.
"""

from __future__ import annotations

import sys

from . import base, build
from .engine import NoEngine, connect


def main(tag: str, release: str) -> int:
    """Build the image *tag* with an Envoy of *release*."""
    try:
        client = connect()
    except NoEngine as told:
        print(f"missing: {told}", file=sys.stderr)
        return 1
    base.ensure(client)
    print(f"== building {tag} with Envoy {release}")
    build.build(
        client, tag, build.ROOT, dockerfile="envoy/Dockerfile", buildargs={"ENVOY": release}
    )
    print(f"== {tag}: {client.images.get(tag).attrs['Size'] / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
