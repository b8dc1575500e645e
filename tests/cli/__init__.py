# SPDX-License-Identifier: Apache-2.0
"""The command, its parts by themselves and the whole with a real Envoy."""
