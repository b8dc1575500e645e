# SPDX-License-Identifier: Apache-2.0
"""Envoy's Prometheus page, read by the official library."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from .envoy import Envoy

Labels = tuple[tuple[str, str], ...]


def samples(envoy: Envoy, instance: str, name: str) -> dict[Labels, float]:
    """Give the samples of ``<instance>.<name>`` by their labels; the whole page has to be sound."""
    wanted = f"{instance}_{name}".replace(".", "_")
    found: dict[Labels, float] = {}
    for family in text_string_to_metric_families(envoy.get("/stats/prometheus")):
        for sample in family.samples:
            if sample.name.endswith(wanted):
                labels = tuple(sorted(sample.labels.items()))
                assert labels not in found, f"{sample.name} twice: {labels}"
                found[labels] = sample.value
    return found
