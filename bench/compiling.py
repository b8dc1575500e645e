# SPDX-License-Identifier: Apache-2.0
"""The peers in C, compiled as our own C is: against ``abi/envoy_abi.h``, optimized, no warnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import tools

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = ["-std=gnu11", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-pthread"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]


def module(name: str, folder: Path) -> Path:
    """Compile ``peers/NAME.c`` to a dynamic module ``bench_NAME`` in *folder*, and give that."""
    tools.need("cc")
    source = tools.PEERS / f"{name}.c"
    target = folder / f"libbench_{name}.so"
    include = f"-I{tools.ROOT / 'abi'}"
    tools.run(["cc", *FLAGS, *WARNINGS, include, "-o", str(target), str(source)])
    return folder
