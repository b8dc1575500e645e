# SPDX-License-Identifier: Apache-2.0
"""The wheel in real Envoys, between real clients and real upstreams on loopback."""
