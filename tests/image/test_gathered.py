# SPDX-License-Identifier: Apache-2.0
"""
The folder of ``envoy/kubernetes/Dockerfile`` beside an Envoy whose image has no Python.

That image has glibc and Envoy, as Envoy's distroless image has, and nothing else. The folder comes
into a volume as the init container of ``gateway-init.yaml`` brings it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from . import build
from .engine import Engine
from .test_image import served

FOLDER = build.ROOT / "envoy" / "kubernetes"
BARE = """\
ARG IMAGE
FROM ${IMAGE} AS image
USER root
RUN mkdir -p /bare/usr/local/bin /bare/etc/envoy \\
  && cp -L /opt/envoy/envoy/_bin/envoy /bare/usr/local/bin/ \\
  && for file in $(ldd /opt/envoy/envoy/_bin/envoy | grep -o '/lib[^ ]*'); do \\
    mkdir -p "/bare$(dirname $file)" && cp -L "$file" "/bare$file"; done
FROM scratch
COPY --from=image /bare /
COPY --from=image /etc/envoy/envoy.yaml /etc/envoy/envoy.yaml
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy", "-c", "/etc/envoy/envoy.yaml"]
"""


@pytest.fixture
def bare(engine: Engine, image: str, tmp_path: Path) -> str:
    """Give an image with an Envoy and glibc."""
    (tmp_path / "Dockerfile").write_text(BARE)
    tag = f"{build.TAG}:bare"
    return build.build(engine.client, tag, tmp_path, buildargs={"IMAGE": image})


@pytest.fixture
def manifest() -> dict[str, Any]:
    """Give what gateway-init.yaml says of the proxies' pods."""
    proxy = yaml.safe_load((FOLDER / "gateway-init.yaml").read_text())
    pod: dict[str, Any] = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]
    (entry,) = proxy["spec"]["dynamicModules"]
    pod["module"] = entry["source"]["local"]["path"]
    return pod


def gathered(engine: Engine, image: str, target: str) -> str:
    """Build a target of envoy/kubernetes/Dockerfile."""
    tag, arguments = f"{build.TAG}:{target}", {"IMAGE": image}
    return build.build(engine.client, tag, FOLDER, target=target, buildargs=arguments)


def test_the_image_volume(engine: Engine, image: str) -> None:
    """The other target has the folder at its root, as gateway-volume.yaml mounts it."""
    proxy = yaml.safe_load((FOLDER / "gateway-volume.yaml").read_text())
    (entry,) = proxy["spec"]["dynamicModules"]
    path = Path(entry["source"]["local"]["path"]).relative_to("/opt/envoy-pyfilter")
    box = engine.create(gathered(engine, image, "volume"), ["nothing"])  # never started
    _, link = box.container.get_archive(f"/{path.parent}")
    assert link is not None
    _, file = box.container.get_archive(f"/{link['linkTarget'].lstrip('/')}/{path.name}")
    assert file is not None
    assert path.name == file["name"]


def test_an_envoy_without_python(
    engine: Engine, image: str, bare: str, manifest: dict[str, Any]
) -> None:
    """It serves with the folder as the manifest mounts it, and does not start without."""
    copy = gathered(engine, image, "copy")
    volume = engine.volume()
    (init,) = manifest["initContainers"]
    (target,) = (mount["mountPath"] for mount in init["volumeMounts"])
    # A new volume belongs to root; an emptyDir is open to all.
    options = {"volumes": {volume.name: {"bind": target}}, "user": "root"}
    assert 0 == engine.run(copy, init["command"], **options).ended()

    (place,) = (
        mount["mountPath"]
        for mount in manifest["container"]["volumeMounts"]
        if mount["name"] == "envoy-pyfilter"
    )
    module = Path(manifest["module"])
    environment = {one["name"]: one["value"] for one in manifest["container"]["env"]}
    environment["ENVOY_DYNAMIC_MODULES_SEARCH_PATH"] = str(module.parent)
    mounts = {volume.name: {"bind": place, "mode": "ro"}}
    box = engine.envoy(bare, environment=environment, volumes=mounts, read_only=True)
    assert 200 == served(box, "/bare")["response_code"]

    without = engine.run(bare, environment=environment)
    assert 0 != without.ended()
    assert f"{module.name} : " in without.log()
