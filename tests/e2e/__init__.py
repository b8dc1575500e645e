# SPDX-License-Identifier: Apache-2.0
"""The wheel in real Envoys, between real clients and real upstreams on loopback."""

from __future__ import annotations

import pytest

_HELPERS = ("oracle", "site", "statistics_compare", "statistics_lines")
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in _HELPERS))
