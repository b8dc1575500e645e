# SPDX-License-Identifier: Apache-2.0
"""The exceptions' tree."""

from __future__ import annotations

import pytest
from envoy_pyfilter import ConfigError, PyFilterError, StreamGone, WrongThread


@pytest.mark.parametrize("error", [ConfigError, StreamGone, WrongThread])
def test_one_base(error: type[Exception]) -> None:
    """All of ours can be caught by one name."""
    assert issubclass(error, PyFilterError)
