# SPDX-License-Identifier: Apache-2.0
"""The switch in the environment by which hooks ask for all that they read."""

from __future__ import annotations

import pytest
from envoy_pyfilter import ConfigError, _reads


@pytest.mark.parametrize(("said", "wanted"), [("", True), ("on", True), ("off", False)])
def test_on_and_off(said: str, *, wanted: bool) -> None:
    """It is on unless it is said to be off."""
    assert wanted == _reads.wanted({"ENVOY_PYFILTER_READS": said})
    assert _reads.wanted({})


@pytest.mark.parametrize("said", ["Off", "0", "no"])
def test_anything_else(said: str) -> None:
    """A value that could be meant as either is refused, with what was expected."""
    expected = f'^ENVOY_PYFILTER_READS: .*, got "{said}"; expected on or off$'
    with pytest.raises(ConfigError, match=expected):
        _reads.wanted({"ENVOY_PYFILTER_READS": said})
