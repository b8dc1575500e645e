# SPDX-License-Identifier: Apache-2.0
"""Python to Envoy: the only place, beside ``_hooks``, that calls C."""
