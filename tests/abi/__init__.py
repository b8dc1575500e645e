# SPDX-License-Identifier: Apache-2.0
"""The real shared object under a stub host written in C: no Envoy, every odd ending."""
