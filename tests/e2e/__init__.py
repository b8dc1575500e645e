# SPDX-License-Identifier: Apache-2.0
"""The wheel in real Envoys, between real clients and real upstreams on loopback."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(f"{__name__}.oracle", f"{__name__}.site")
