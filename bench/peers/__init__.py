# SPDX-License-Identifier: Apache-2.0
"""Who does the same work as ours: modules in C, Lua, servers beside Envoy; and ours in Python."""
