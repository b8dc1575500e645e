# SPDX-License-Identifier: Apache-2.0
"""The image by itself: what is in it, what it serves, and how it is run."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

from . import base
from .build import ROOT, TAG, build
from .engine import HTTP, Box, Engine, until


def get(box: Box, path: str) -> tuple[int, dict[str, str], bytes]:
    """Ask an Envoy, and give the status, the headers and the body."""
    connection = HTTPConnection("127.0.0.1", box.port(HTTP), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def served(box: Box, path: str) -> dict[str, Any]:
    """Ask for *path*; give the response's entry, which the image's own bootstrap writes."""
    status, headers, body = get(box, path)
    assert (200, b"hello from the demo upstream\n") == (status, body)
    assert "changed after the access filter's response hook" == headers["x-demo"]
    until(lambda: len(box.entries(path)) == 2, box.stdout)
    entries = box.entries(path)
    assert ["request", "response"] == [one["kind"] for one in entries]
    return entries[1]


def test_demo(engine: Engine, each_image: str) -> None:
    """Without a bootstrap it serves the demo: the entry has the headers that the client got."""
    entry = served(engine.envoy(each_image), "/demo")

    assert 200 == entry["response_code"]
    assert "changed after the access filter's response hook" == entry["response_headers"]["x-demo"]
    assert "x-demo-internal" not in entry["response_headers"]


def test_release(engine: Engine, each_image: str) -> None:
    """Envoy is the one that was asked for, and labels say so."""
    release = each_image.partition(":")[2].partition("-")[0]
    box = engine.run(each_image, ["envoy", "--version"])

    assert 0 == box.ended()
    assert f"/{release}/" in box.stdout()
    labels = engine.client.images.get(each_image).labels
    project = dict(
        re.findall(r'^(\w+) = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    )
    assert release == labels["envoy-pyfilter.envoy"]
    assert project["version"] == labels["org.opencontainers.image.version"]
    assert project["license"] == labels["org.opencontainers.image.licenses"]


def test_no_extras(engine: Engine) -> None:
    """An empty EXTRAS is none: what ``tail`` needs is not there, and the package is."""
    arguments = {"BASE": base.ensure(engine.client), "EXTRAS": ""}
    options = {"dockerfile": "envoy/Dockerfile", "target": "package", "buildargs": arguments}
    box = engine.run(build(engine.client, f"{TAG}:no-extras", ROOT, **options), ["pip", "list"])

    assert 0 == box.ended()
    names = [line.split()[0] for line in box.stdout().splitlines()]
    assert "envoy-pyfilter" in names
    assert "protobuf" not in names


def test_size(engine: Engine, each_image: str, show: Callable[[str], None]) -> None:
    """No compiler and no caches are in it; the size of each layer is shown."""
    layers = engine.client.images.get(each_image).history()
    noise = re.compile(r"/bin/sh -c |#\(nop\) |(file|dir):[0-9a-f]+ in |\s+(?=\s)")
    made = [(one["Size"], noise.sub("", one["CreatedBy"])) for one in layers if one["Size"] > 1e5]
    rows = [f"{size / 1e6:8.1f} MB  {how[:80] or 'the base'}" for size, how in made]
    total = sum(one["Size"] for one in layers)
    show("\n".join([f"{each_image}: {total / 1e6:.1f} MB", *rows]))

    look = "for name in cc gcc make; do command -v $name; done; ls ~root/.cache /var/lib/apt/lists"
    box = engine.run(each_image, ["sh", "-c", look], user="root")
    box.ended()
    assert "" == box.stdout().replace("/var/lib/apt/lists:", "").strip()
    assert total < 400e6


def test_health(engine: Engine, image: str) -> None:
    """The engine learns that Envoy is ready; its check fails when Envoy is not any more."""
    box = engine.envoy(image)

    until(lambda: box.state()["Health"]["Status"] == "healthy", box.state)
    box.admin("/healthcheck/fail", "POST")
    said = box.container.exec_run(["python3", "-I", "/opt/envoy-pyfilter/module/_health.py"])
    assert (1, b"DRAINING\n") == (said.exit_code, said.output)


def test_stop(engine: Engine, image: str) -> None:
    """``docker stop`` ends Envoy at once, and the entries are there."""
    box = engine.envoy(image)
    for number in range(100):
        assert 200 == get(box, f"/stop/{number}")[0]

    assert 0 == box.stop()
    ended = [one for one in box.entries() if one["path"].startswith("/stop/")]
    assert 100 == sum(one["kind"] == "request" for one in ended)
    assert 100 == sum(one["kind"] == "response" for one in ended)


def test_stop_at_once(engine: Engine, image: str) -> None:
    """A container that is only beginning ends, too, and not only by being killed."""
    boxes = [engine.run(image) for _ in range(4)]

    for box in boxes:  # each a little later in its life than the one before
        assert box.stop(30) in (0, 128 + signal.SIGTERM)
