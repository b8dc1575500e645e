# SPDX-License-Identifier: Apache-2.0
"""The numbers that abi/envoy_abi.h declares, read as text."""

from __future__ import annotations

import re
from pathlib import Path

_HEADER = Path(__file__).parents[2] / "abi" / "envoy_abi.h"


def enumerators(enum: str) -> dict[str, int]:
    """Names, without the enum's own, and values of one enum."""
    prefix = f"envoy_dynamic_module_type_{enum}_"
    found = re.findall(rf"\b{prefix}(\w+)\s*=\s*(\d+)", _HEADER.read_text())
    return {name: int(value) for name, value in found}


def snake(name: str) -> str:
    """Turn CamelCase into UPPER_CASE."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
