# SPDX-License-Identifier: Apache-2.0
"""What a filter costs: real Envoys, ours and their own extensions, doing the same work."""
