# SPDX-License-Identifier: Apache-2.0
"""What unit tests share."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_numbers = itertools.count()


@pytest.fixture
def user_module(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Write a module into *tmp_path* and return its name; it is forgotten after the test."""
    path, known = list(sys.path), set(sys.modules)

    def write(text: str) -> str:
        name = f"user_module_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith("user_module_"):
            del sys.modules[name]
