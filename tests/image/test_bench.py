# SPDX-License-Identifier: Apache-2.0
"""The benchmark's quick scenario against the image: the same variants, traffic and checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.bootstrap import Dict

from bench import bootstrap, checking, h2load, losses, scenarios, tools
from bench.variants import variant

from .config import ADMIN, PORT, everywhere
from .edge import Site
from .engine import until

PLAN = scenarios.read()
QUICK = PLAN.profile("quick")
REQUESTS = 2000
CASES = [(scenario, name) for scenario in QUICK.scenarios for name in ("bare", *QUICK.variants)]


def as_published(config: Dict) -> Dict:
    """Have the benchmark's Envoy listen where a container is reached."""
    (listener,) = config["static_resources"]["listeners"]
    admin = {"address": everywhere(ADMIN)}
    listener = {**listener, "address": everywhere(PORT)}
    resources = {**config["static_resources"], "listeners": [listener]}
    return {**config, "admin": admin, "static_resources": resources}


@pytest.mark.parametrize(("scenario", "name"), CASES)
def test_quick(site: Site, image: str, tmp_path: Path, scenario: str, name: str) -> None:
    """Every request of the load script is answered, and what the variant wrote is right."""
    tools.need("h2load")
    one = PLAN.scenario(scenario)
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)  # the image's user writes there
    setup = variant(name)(folder)
    # At the paths of the host, so that the variant's config holds as it is.
    volumes = {
        str(folder): {"bind": str(folder), "mode": "rw"},
        str(tools.PEERS): {"bind": str(tools.PEERS), "mode": "ro"},
    }
    config = as_published(bootstrap.measured(one, setup, None))
    workers = ["--concurrency", str(one.workers)]
    edge = site.edge(image, config, workers, volumes=volumes)
    h2load.send_all(one, edge.port(), REQUESTS)
    if setup.output is not None:
        output = setup.output
        until(lambda: losses.lines(output) >= REQUESTS, lambda: losses.lines(output))
        checking.compare_output(setup, output, REQUESTS)
    assert not losses.dropped(edge.admin("/stats?filter=dropped"))
    assert 0 == edge.stat(".hook_errors")
    assert 0 == edge.stop()
