# SPDX-License-Identifier: Apache-2.0
"""
The Envoy parts of ``envoy/kubernetes`` in a real Envoy: the ConfigMaps, and what a policy becomes.

Nothing here is a cluster. Addresses are made loopback ones with free ports, ``/filters`` a folder,
and the rest is run as it stands.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from envoy_pyfilter._envoy import HERE, MODULE_FILE

from .command import ROOT, Running, command, until

FOLDER = ROOT / "envoy" / "kubernetes"
TYPE = "type.googleapis.com/envoy."
Document = dict[str, Any]
LONG = 120.0  # seconds in which a busy machine, too, comes to what a test waits for


def documents(name: str) -> list[Document]:
    """Give what a manifest applies."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


class App(BaseHTTPRequestHandler):
    """The application; /slow answers when the test lets it."""

    protocol_version = "HTTP/1.1"
    asked = threading.Event()
    may_answer = threading.Event()

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/slow":
            App.asked.set()
            App.may_answer.wait(LONG)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def app() -> Iterator[int]:
    """Run the application, and give its port."""
    App.asked.clear()
    App.may_answer.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.server_port)
    App.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


def filters(tmp_path: Path) -> Path:
    """Write the ConfigMap of filters to a folder, as the kubelet does."""
    folder = tmp_path / "filters"
    folder.mkdir()
    for name, text in documents("deployment.yaml")[0]["data"].items():
        (folder / name).write_text(text)
    return folder


def here(value: Any, ports: dict[int, int], folder: Path) -> Any:
    """Make what only holds in a pod hold here: addresses, and the folder of filters."""
    if isinstance(value, list):
        return [here(one, ports, folder) for one in value]
    if not isinstance(value, dict):
        return str(folder) if value == "/filters" else value
    if value.keys() == {"address", "port_value"}:
        return {"address": "127.0.0.1", "port_value": ports.get(value["port_value"], 0)}
    return {key: here(one, ports, folder) for key, one in value.items()}


NOT_EPHEMERAL = (20_000, 32_000)  # Linux gives none of them to whoever asks for any port


def free_port() -> int:
    """Give a port that nobody has, or is given before Envoy: an upstream has to know it."""
    while True:
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", random.randrange(*NOT_EPHEMERAL)))  # noqa: S311 (no secret)
            return int(one.getsockname()[1])


def get(url: str, **headers: str) -> int:
    """Ask, and give the status."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=LONG)
    try:
        connection.request("GET", parts.path or "/", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def looks(admin: int) -> int:
    """Ask Envoy's admin interface how often it was asked."""
    connection = HTTPConnection("127.0.0.1", admin, timeout=LONG)
    try:
        connection.request("GET", "/stats?filter=^http.admin.downstream_rq_total$")
        return int(connection.getresponse().read().decode().partition(": ")[2])
    finally:
        connection.close()


def addresses(running: Running) -> list[str]:
    """Give the listeners' addresses that ``run`` prints."""
    running.url()
    line = next(line for line in running.err.splitlines() if " listens on " in line)
    return re.findall(r"http://[\d.:]+", line.partition("(admin")[0])


def entries(running: Running, number: int) -> list[tuple[str, int]]:
    """Give kind and status of each entry, once there are *number*; two workers have no order."""
    found = [json.loads(line) for line in running.lines(number)]
    return sorted((one["kind"], one.get("response_code", 0)) for one in found)


LOOKS = 3  # with the request that drains the listeners
TWO = [("request", 0), ("request", 0), ("response", 200), ("response", 403)]


def test_check_finds_nothing_in_the_config_map(tmp_path: Path, release: str) -> None:
    """``envoy-pyfilter check`` and ``envoy --mode validate`` of each release."""
    text = documents("deployment.yaml")[1]["data"]["envoy.yaml"]
    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text(text.replace("[/filters]", f"[{filters(tmp_path)}]"))
    done = command("check", "--envoy", release, bootstrap)
    assert (0, f"{bootstrap}: nothing to complain about\n") == (done.returncode, done.stdout)


def test_the_config_map_serves_and_drains(
    tmp_path: Path, app: int, start: Callable[..., Running]
) -> None:
    """
    Requests, probes, metrics; then what the preStop hook runs.

    It makes the pod not ready, waits for the request that is under way, and ends after its answer.
    """
    data = documents("deployment.yaml")[1]["data"]
    ports = {8080: app, 9901: free_port()}
    bootstrap = tmp_path / "envoy.json"
    made = here(yaml.safe_load(data["envoy.yaml"]), ports, filters(tmp_path))
    bootstrap.write_text(json.dumps(made))
    running = start("run", "--config", bootstrap)
    ingress, probes = addresses(running)
    assert [403, 200] == [get(ingress), get(ingress, **{"x-team": "a"})]
    assert TWO == entries(running, 4)
    asked = [get(f"{probes}{path}") for path in ("/ready", "/stats/prometheus", "/quitquitquit")]
    assert [200, 200, 404] == asked

    statuses: list[int] = []
    slow = threading.Thread(
        target=lambda: statuses.append(get(f"{ingress}/slow", **{"x-team": "a"}))
    )
    slow.start()
    assert App.asked.wait(30)
    script = tmp_path / "drain.py"
    script.write_text(data["drain.py"])
    pod = documents("deployment.yaml")[2]["spec"]["template"]["spec"]
    hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert ["python3", "/etc/envoy/drain.py", "127.0.0.1:9901"] == hook[:3]
    arguments = [sys.executable, script, f"127.0.0.1:{ports[9901]}", *hook[3:]]
    drain = subprocess.Popen(arguments)
    try:
        until(lambda: get(f"{probes}/ready") == 503, running.told)
        before, ours = looks(ports[9901]), count(1)
        # Each look at the open connections is a request; with none open there is one look.
        until(lambda: looks(ports[9901]) - before - next(ours) > LOOKS, running.told)
        assert drain.poll() is None
        App.may_answer.set()
        assert 0 == drain.wait(LONG)
    finally:
        drain.kill()
        drain.wait()
    slow.join()
    assert [200] == statuses


def as_envoy_gateway(policy: Document, proxy: Document) -> list[Document]:
    """
    Make HTTP filters of a policy as Envoy Gateway 1.8 does.

    A module is named by its path, the config is JSON text in a StringValue, and the filter is off
    until a virtual host or a route switches it on.
    """
    entries = {entry["name"]: entry for entry in proxy["spec"]["dynamicModules"]}
    name = "envoy.filters.http.dynamic_modules/envoyextensionpolicy/{namespace}/{name}"
    prefix = name.format(**policy["metadata"]) + "/dynamicmodule/"
    made = []
    for index, module in enumerate(policy["spec"]["dynamicModule"]):
        entry = entries[module["name"]]
        path = str(HERE / Path(entry["source"]["local"]["path"]).name)
        config = {
            "@type": f"{TYPE}extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {
                "module": {"local": {"filename": path}},
                "do_not_close": entry.get("doNotClose", False),
                "load_globally": entry.get("loadGlobally", False),
            },
            "filter_name": module.get("filterName", ""),
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": json.dumps(module["config"]),
            },
        }
        made.append({"name": f"{prefix}{index}", "disabled": True, "typed_config": config})
    return made


def test_the_policy_as_envoy_gateway_gives_it_to_envoy(
    tmp_path: Path, app: int, release: str, start: Callable[..., Running]
) -> None:
    """The filters of gateway-policy.yaml work so, on the virtual host that they are on for."""
    (policy,) = documents("gateway-policy.yaml")
    (proxy,) = documents("gateway-volume.yaml")
    assert MODULE_FILE == Path(proxy["spec"]["dynamicModules"][0]["source"]["local"]["path"]).name
    folder = filters(tmp_path)
    ours = as_envoy_gateway(here(policy, {}, folder), proxy)
    bootstrap = yaml.safe_load(documents("deployment.yaml")[1]["data"]["envoy.yaml"])
    ingress, probes = bootstrap["static_resources"]["listeners"]
    manager = ingress["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = [*ours, manager["http_filters"][-1]]
    (host,) = manager["route_config"]["virtual_hosts"]
    on = {"@type": f"{TYPE}config.route.v3.FilterConfig", "config": {}}
    other = {**host, "name": "other", "domains": ["other"]}
    host["typed_per_filter_config"] = {one["name"]: on for one in ours}
    manager["route_config"]["virtual_hosts"].append(other)
    bootstrap["static_resources"]["listeners"].remove(probes)
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(here(bootstrap, {8080: app}, folder)))
    running = start("run", "--config", file, "--envoy", release)
    url = running.url()
    assert [200, 403, 200] == [get(url, host="other"), get(url), get(url, **{"x-team": "a"})]
    assert TWO == entries(running, 4)
