# SPDX-License-Identifier: Apache-2.0
"""``python -m envoy_pyfilter`` is the command ``envoy-pyfilter``."""

from __future__ import annotations

import sys

from envoy_pyfilter.cli import main

sys.exit(main())
