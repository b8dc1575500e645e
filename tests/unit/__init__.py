# SPDX-License-Identifier: Apache-2.0
"""Tests without the shared object."""
