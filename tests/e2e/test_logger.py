# SPDX-License-Identifier: Apache-2.0
"""The access logger: the record lane under Envoy's own access-log filters and log types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.packets import RESPONSE, log_entry

from . import bootstrap as b
from .agent import Agent
from .envoy import Envoy, validate
from .messages import Answer, Gate, Request
from .scene import WEBSOCKET, Scene
from .site import Site, whole_lines
from .test_bad_config import messages
from .upstream import Upstream
from .waiting import until

DOCS = Path(__file__).parents[2] / "docs" / "config.md"
_FROM_400 = {"op": "GE", "value": {"default_value": 400, "runtime_key": "x"}}
ERRORS = {"status_code_filter": {"comparison": _FROM_400}}
TYPES = {"type": "%ACCESS_LOG_TYPE%", "code": "%RESPONSE_CODE%"}

Make = Callable[[], Site]


def opened(site: Site, logger: b.Dict, **fields: Any) -> Site:
    """Open a listener without a filter of ours."""
    return site.open([], loggers=[logger], oracle=TYPES, **fields)


def test_filters_of_envoy(new_site: Make, protocol: str) -> None:
    """Envoy's access-log filter says which streams have an entry."""
    site = new_site()
    routes = [b.direct("/bad", status=404), b.direct(status=200)]
    opened(site, site.logger(filter=ERRORS), routes=routes)
    for path in (b"/", b"/bad/1", b"/", b"/bad/2"):
        site.fetch(protocol, path=path)
    site.oracle(4)
    assert ["/bad/1", "/bad/2"] == [entry["path"] for entry in site.logged(2)]


def test_two_loggers(new_site: Make) -> None:
    """Two loggers of a listener have a config each."""
    site = new_site()
    other = site.folder / "other"
    config = {"instance": "other", "sinks": [{"type": "file", "path": str(other)}]}
    loggers = [site.logger(filter=ERRORS), site.logger(config)]
    site.open([], loggers=loggers, routes=[b.direct("/bad", status=500), b.direct()])
    site.fetch(path=b"/bad")
    site.fetch()
    until(lambda: len(whole_lines(other)) == 2, "two entries of the other")
    assert [500] == [entry["response_code"] for entry in site.logged(1)]


def told_of(entries: list[b.Dict]) -> list[tuple[str, int]]:
    """Give types and codes, as Envoy's own log has them."""
    return [(entry["access_log_type"], entry["response_code"]) for entry in entries]


def test_start_and_periodic(new_site: Make, protocol: str) -> None:
    """Each log that Envoy writes is an entry; the last one alone is the response."""
    site, gate = new_site(), Gate()
    options = {"access_log_flush_interval": "0.05s", "flush_access_log_on_new_request": True}
    opened(site, site.logger(), http={"access_log_options": options})
    path = site.upstream.serve(Answer(wait_in_body=gate, body=[b"one", b"two"]))
    with site.client(protocol) as client:
        client.open(Request(path=path), ends=True)
        client.read_head()
        until(lambda: len(whole_lines(site.logged_path)) >= 3, "a periodic entry")
        gate.open()
        client.finish()
    until(lambda: '"kind":"response"' in site.logged_path.read_text(), "the response's entry")
    entries = [json.loads(line) for line in whole_lines(site.logged_path)]
    told = site.oracle(len(entries))
    assert told_of(entries) == [(line["type"], line["code"]) for line in told]
    types = [entry["access_log_type"] for entry in entries]
    assert ("DownstreamStart", "DownstreamEnd") == (types[0], types[-1])
    assert {"DownstreamPeriodic"} == {*types[1:-1]}
    assert ["progress"] * (len(entries) - 1) + ["response"] == [one["kind"] for one in entries]
    times = [entry["duration_us"] for entry in entries]
    assert sorted(times) == times
    assert (1, len(entries) - 1) == (
        site.stat("logger.entries_response"),
        site.stat("logger.entries_progress"),
    )


def test_tunnel(new_site: Make) -> None:
    """A tunnel that Envoy logs as it begins is still one response."""
    site = new_site()
    options = {"flush_log_on_tunnel_successfully_established": True}
    http = {"access_log_options": options, "upgrade_configs": [{"upgrade_type": "websocket"}]}
    opened(site, site.logger(), http=http)
    scene = Scene(site, "HTTP/1.1")
    with site.client() as client:
        client.open(scene.request(Answer(headers=WEBSOCKET, echo=3), headers=WEBSOCKET), ends=False)
        client.read_head()
        client.send(b"abc")
        client.read_body(3)
    until(lambda: '"kind":"response"' in site.logged_path.read_text(), "the response's entry")
    entries = [json.loads(line) for line in whole_lines(site.logged_path)]
    assert [
        ("progress", "DownstreamTunnelSuccessfullyEstablished"),
        ("response", "DownstreamEnd"),
    ] == [(entry["kind"], entry["access_log_type"]) for entry in entries]


def test_upstream_log(new_site: Make) -> None:
    """As a log of the router, each try has an entry, none of which is the stream's response."""
    site = new_site()
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
    listener = site.listener(
        [], routes=[b.route(route={"cluster": "upstream", "retry_policy": retry})]
    )
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][-1]["typed_config"]["upstream_log"] = [site.logger()]
    site.reopen(listener)
    site.fetch(answer=Answer(status=503))
    found = [(one["kind"], one["access_log_type"]) for one in site.logged(3)]
    assert [("progress", "UpstreamEnd")] * 3 == found


def test_tcp(new_site: Make) -> None:
    """A connection of TCP has one entry, of the fields that it has."""
    site = new_site()
    proxy = b.typed(
        "envoy.filters.network.tcp_proxy",
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="tcp",
        cluster="upstream",
        access_log=[site.logger()],
    )
    listener = site.listener([])
    listener["filter_chains"] = [{"filters": [proxy]}]
    site.reopen(listener)
    assert 200 == site.fetch(headers=[(b"connection", b"close")]).status
    (entry,) = site.logged()
    assert ("response", "TcpConnectionEnd") == (entry["kind"], entry["access_log_type"])
    assert set() == entry.keys() & {"method", "path", "request_headers", "response_headers"}
    assert 0 < entry["bytes_sent"]


def example() -> str:
    """Give the class of ten lines that the page shows."""
    section = DOCS.read_text().partition("Ten lines of Python are an access logger:")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def test_ten_lines_of_python(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path
) -> None:
    """The sink of the docs: Envoy prints its lines."""
    (tmp_path / "slow.py").write_text(example())
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        envoy = own_envoy(stdout=stdout.fileno()).start()
        site = Site(envoy, upstream, tmp_path, "ten")
        sinks = [{"type": "python", "sink": "slow:Slow", "config": {"over_ms": 0}}]
        config = {"python_path": [str(tmp_path)], "sinks": sinks}
        site.open([], loggers=[site.logger(config)], routes=[b.direct(status=404)])
        site.fetch(path=b"/nowhere")
        line = r"(?m)^GET /nowhere 404 \d+ ms$"
        until(lambda: re.search(line, out.read_text()), "the line of the sink")


def test_cilium(new_site: Make, agent: Agent) -> None:
    """The agent gets one packet for each stream, and none for what goes on."""
    site = new_site()
    sink = {
        "type": "cilium",
        "socket": agent.path,
        "policy_name": "%DYNAMIC_METADATA(e2e:of)%",
        "proxy_id": "%RESPONSE_CODE%",
    }
    http = {"access_log_options": {"flush_access_log_on_new_request": True}}
    filters = [b.set_metadata("e2e", {"of": "metadata"})]
    site.open(filters, loggers=[site.logger({"sinks": [sink]})], routes=[b.direct()], http=http)
    got = [site.fetch(path=b"/%d" % number) for number in range(2)]
    assert [200, 200] == [one.status for one in got]
    packets = [log_entry().FromString(packet) for packet in agent.wait_for(2)]
    assert [(RESPONSE, "/0"), (RESPONSE, "/1")] == [
        (one.entry_type, one.http.path) for one in packets
    ]
    assert {("metadata", 200, 200)} == {
        (one.policy_name, one.proxy_id, one.http.status) for one in packets
    }

    def connected() -> bool:
        """End a stream: that is when the logger tells its gauges."""
        site.fetch()
        return site.stat("logger.cilium_connected") == 1

    until(connected, "the gauge of the connection")


def test_workers(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> None:
    """Each worker has a logger and a ring of its own."""
    site = Site(own_envoy(concurrency=2).start(), upstream, tmp_path, "two")
    site.open([], loggers=[site.logger()], routes=[b.direct()])
    workers: set[int] = set()
    for count in range(1, 200):
        site.fetch()
        workers = {entry["worker"] for entry in site.logged(count)}
        if len(workers) == 2:
            break
    assert {0, 1} == workers


def test_the_end(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> None:
    """What waits is written before the process is gone."""
    envoy = own_envoy().start()
    site = Site(envoy, upstream, tmp_path, "end")
    site.open([], loggers=[site.logger()], routes=[b.direct()])
    for _ in range(50):
        site.fetch()
    envoy.stop()
    assert 50 == len(whole_lines(site.logged_path))


def test_an_update(new_site: Make) -> None:
    """A listener that is changed has the new logger, and no entry of the old one is lost."""
    site = new_site()
    opened(site, site.logger(), routes=[b.direct()])
    site.fetch()
    opened(site, site.logger({"instance": "new"}), routes=[b.direct()])
    site.fetch()
    instances = [entry["instance"] for entry in site.logged(2)]
    assert [f"{site.name}.logger", "new"] == instances


NOT_OF_LOGGERS: dict[str, tuple[b.Dict, str]] = {
    "request": (
        {"log": {"request": True}},
        (
            "log.request: an access logger writes no entry of the request, got true; "
            "expected false, or no such key"
        ),
    ),
    "a filter's field": (
        {"log": {"fields": ["path", "notes"]}},
        "log.fields[1]: only an access filter can tell notes",
    ),
    "state": (
        {"state": {"a": "%PROTOCOL%"}},
        (
            "state: an access logger cannot write filter state; "
            "expected it in the access filter's config"
        ),
    ),
    "unknown key": (
        {"log": {"respnse_headers": {}}},
        "log.respnse_headers: unknown key; did you mean response_headers?",
    ),
}


@pytest.mark.parametrize("case", NOT_OF_LOGGERS)
def test_what_is_refused(new_site: Make, case: str) -> None:
    """Envoy keeps the old listener and says why."""
    config, message = NOT_OF_LOGGERS[case]
    site = new_site()
    opened(site, site.logger(), routes=[b.direct()])
    start = site.envoy.log_path.stat().st_size
    assert not site.offer([], loggers=[site.logger(config)], routes=[b.direct()])
    assert [f"access logger: {message}"] == messages(site.envoy.log(start))
    assert 200 == site.fetch().status
    site.logged(1)
    site.envoy.listeners.pop(site.name)


def test_other_names(new_site: Make) -> None:
    """There is one logger, and its name is access."""
    site = new_site()
    start = site.envoy.log_path.stat().st_size
    assert not site.offer([], loggers=[b.py_logger({}, name="acces")], routes=[b.direct()])
    message = 'logger_name: no access logger has this name, got "acces"; expected access'
    assert [f"access logger: {message}"] == messages(site.envoy.log(start))
    site.envoy.listeners.pop(site.name)


def test_validation_makes_nothing(release: str, tmp_path: Path) -> None:
    """``envoy --mode validate`` takes it, and there is no file and no sink's object."""
    (tmp_path / "made.py").write_text(
        "class Made:\n"
        "    def __init__(self, config):\n"
        "        open(config['path'], 'w').close()\n"
        "    def write(self, records):\n"
        "        pass\n"
    )
    sinks = [
        {"type": "file", "path": str(tmp_path / "file")},
        {"type": "python", "sink": "made:Made", "config": {"path": str(tmp_path / "python")}},
        {"type": "cilium", "socket": str(tmp_path / "socket")},
    ]
    logger = b.py_logger({"python_path": [str(tmp_path)], "sinks": sinks})
    whole = b.bootstrap(tmp_path / "none.json", [])
    del whole["dynamic_resources"]
    listener = b.listener("good", filters=[], routes=[b.direct()], access_log=[logger])
    del listener["@type"]
    whole["static_resources"]["listeners"] = [listener]
    result = validate(release, tmp_path, whole)
    assert 0 == result.returncode, result.stderr[-3000:]
    assert set() == {"file", "python", "socket"} & {path.name for path in tmp_path.iterdir()}
