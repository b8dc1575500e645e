# SPDX-License-Identifier: Apache-2.0
"""
A bootstrap with operators everywhere, resolved, and the values that an Envoy then shows.

The state is that of Envoy's own filters: ext_proc, whose server nobody has started and who lets
requests pass then, ext_authz and a Lua script; and of our access filter.
"""

from __future__ import annotations

import http.client as http_client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .collector import Collector, collecting, echoing
from .command import Running, command, until
from .places import Dict, header, http, log, mutation, text, typed

Start = Callable[..., Running]

AUTH = "envoy.filters.http.ext_proc/envoyextensionpolicy/default/policy/extproc/0"
OTHER = "envoy.filters.http.ext_proc/envoyextensionpolicy/default/policy/extproc/1"
ALIASES = f"""\
aliases:
  - {{alias: script, filter: my-script, kind: lua}}
  - {{alias: either, filter: [{OTHER}, {AUTH}]}}
"""
SCRIPT = """\
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set("envoy.filters.http.lua", "user", "alice")
end
"""
FAILED = "14"  # gRPC's UNAVAILABLE


def op(argument: str) -> str:
    """Write the operator."""
    return f"%EG_EXT_FILTER_STATE({argument})%"


LINE = " ".join(
    [
        f"failed={op('auth:failed_open')} status={op('auth:request_header_call_status')}",
        f"plain={op('auth:PLAIN:3')} either={op('either:failed_open')} user={op('script:user')}",
        f"authz={op('authz:latency_us')} {op('authz:team')} tokens={op('access:tokens')}",
        f"nobody={op('nobody:x')}\n",
    ]
)
LOGGED = r"failed=1 status=14 plain=rh: either=1 user=alice authz=\d+ blue tokens=42 nobody=-"


def processor(name: str, **fields: Any) -> Dict:
    """Give native ext_proc, which is off unless a route says otherwise."""
    service = {"envoy_grpc": {"cluster_name": "nobody"}}
    one = http(
        "ext_proc.v3.ExternalProcessor",
        name,
        grpc_service=service,
        failure_mode_allow=True,
        processing_mode={"response_header_mode": "SKIP"},
        **fields,
    )
    return {**one, "disabled": True}


def mutating(name: str, value: str) -> Dict:
    """Give a filter that adds a header to both sides."""
    change = {"header": {"key": f"x-{name}", "value": value}}
    both = {"request_mutations": [{"append": change}], "response_mutations": [{"append": change}]}
    return http("header_mutation.v3.HeaderMutation", name, mutations=both)


def filters() -> list[Dict]:
    """Give the chain."""
    authz = http(
        "ext_authz.v3.ExtAuthz",
        "authz-filter",
        grpc_service={"envoy_grpc": {"cluster_name": "collector"}},
        transport_api_version="V3",
        filter_metadata={"alias": "authz"},
        emit_filter_state_stats=True,
    )
    access = http(
        "dynamic_modules.v3.DynamicModuleFilter",
        dynamic_module_config={"name": "envoy_pyfilter", "do_not_close": True},
        filter_name="access",
        filter_config={
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": {"sinks": [], "state": {"access.tokens": "%RESP(x-tokens)%"}},
        },
    )
    return [
        mutating("before", op("auth:failed_open")),
        processor(AUTH, filter_metadata={"alias": "auth"}),
        processor(OTHER),
        authz,
        http("lua.v3.Lua", "my-script", default_source_code={"inline_string": SCRIPT}),
        access,
        mutating("after", op("auth:failed_open")),
    ]


def routes() -> Dict:
    """Give the routes; ext_proc takes part in all but the last."""
    on = {AUTH: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}}
    value = {"header": {"key": "x-cluster", "value": op("auth:failed_open")}}
    weighted = {"name": "up", "weight": 1, "request_headers_to_add": [value]}
    all_ = [
        {
            "match": {"path": "/route"},
            "route": {"cluster": "up"},
            "request_headers_to_add": header(op("either:request_header_call_status")),
            "response_headers_to_add": header(op("script:user")),
            "typed_per_filter_config": on,
        },
        {
            "match": {"path": "/weighted"},
            "route": {"weighted_clusters": {"clusters": [weighted]}},
            "typed_per_filter_config": on,
        },
        {
            "match": {"path": "/direct"},
            "direct_response": {"status": 200, "body_format": text(f"user {op('script:user')}")},
            "typed_per_filter_config": on,
        },
    ]
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": all_,
        "request_headers_to_add": [{"header": {"key": "x-host", "value": op("script:user")}}],
    }
    return {
        "name": "local",
        "virtual_hosts": [host],
        "response_headers_to_add": [{"header": {"key": "x-all", "value": op("script:user")}}],
    }


def logs(folder: Path) -> list[Dict]:
    """Give the access logs: text, JSON, OpenTelemetry."""

    def file(name: str, **format_: Any) -> Dict:
        return log("file.v3.FileAccessLog", path=str(folder / name), log_format=format_)

    nested = {"a": {"failed": op("auth:failed_open"), "list": [op("either:failed_open")]}}
    collector = log(
        "open_telemetry.v3.OpenTelemetryAccessLogConfig",
        common_config={
            "log_name": "l",
            "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}},
            "transport_api_version": "V3",
            "buffer_flush_interval": "0.05s",
        },
        body={"string_value": f"body {op('auth:failed_open')} {op('script:user')}"},
        attributes={
            "values": [
                {"key": "tokens", "value": {"string_value": op("access:tokens")}},
                {"key": "status", "value": {"string_value": op("auth:request_header_call_status")}},
            ]
        },
    )
    return [file("text", **text(LINE)), file("json", json_format=nested), collector]


def cluster(name: str, port: int | Path, *, http2: bool = False) -> Dict:
    """Give a cluster of one host, at a port of loopback or a path."""
    address: Dict = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    if isinstance(port, Path):
        address = {"pipe": {"path": str(port)}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    one: Dict = {
        "name": name,
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }
    if http2:
        kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}
        one["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    return one


def bootstrap(folder: Path, upstream: int, collector: int) -> Dict:
    """Give the whole."""
    one_line = log(
        "file.v3.FileAccessLog",
        path=str(folder / "upstream"),
        log_format=text(f"{op('auth:PLAIN')}\n"),
    )
    connections = log(
        "file.v3.FileAccessLog",
        path=str(folder / "listener"),
        log_format=text(f"{op('auth:PLAIN')}\n"),
    )
    mapper = {
        "filter": {
            "status_code_filter": {
                "comparison": {"op": "EQ", "value": {"default_value": 404, "runtime_key": "x"}}
            }
        },
        "body_format_override": text(f"no route for {op('script:user')}"),
        "headers_to_add": [{"header": {"key": "x-reply", "value": op("script:user")}}],
    }
    early = typed(
        "early",
        "http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=mutation(op("script:user")),
    )
    manager = typed(
        "http",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="http",
        early_header_mutation_extensions=[early],
        access_log=logs(folder),
        local_reply_config={"mappers": [mapper]},
        route_config=routes(),
        http_filters=[*filters(), http("router.v3.Router", upstream_log=[one_line])],
    )
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "access_log": [connections],
        "filter_chains": [{"filters": [manager]}],
    }
    clusters = [
        cluster("up", upstream),
        cluster("collector", collector, http2=True),
        cluster("nobody", folder / "nobody-listens", http2=True),
    ]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


@dataclass(frozen=True)
class World:
    """The files, and the peers."""

    folder: Path
    file: Path
    aliases: Path
    collector: Collector


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Start the peers, and write the files."""
    file, aliases = tmp_path / "envoy.yaml", tmp_path / "aliases.yaml"
    aliases.write_text(ALIASES)
    with echoing() as upstream, collecting() as (collector, port):
        file.write_text(yaml.safe_dump(bootstrap(tmp_path, upstream, port), width=1000))
        yield World(tmp_path, file, aliases, collector)


@dataclass(frozen=True)
class Answer:
    """What the client got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def reached(self) -> dict[str, str]:
        """The headers that reached the upstream, which says so."""
        found: dict[str, str] = json.loads(self.text)
        return found


def fetch(url: str, path: str) -> Answer:
    """Make one request on a connection of its own."""
    connection = http_client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text_ = answer.read().decode()
    connection.close()
    return Answer(answer.status, dict(answer.getheaders()), text_)


def lines(file: Path) -> list[str]:
    """Read a log."""
    return file.read_text().splitlines()


def use(running: Running, world: World) -> None:
    """Make four requests and compare all that can be seen with what the filters knew."""
    url = running.url()
    routed, weighted = fetch(url, "/route"), fetch(url, "/weighted")
    direct, missing = fetch(url, "/direct"), fetch(url, "/nowhere")

    told = routed.reached
    assert (FAILED, "alice", "1") == (told["x-a"], told["x-host"], told["x-after"])
    assert "0" == told["x-before"]  # its filter had not run
    assert "1" == weighted.reached["x-cluster"]
    assert ("alice", "alice") == (routed.headers["x-a"], routed.headers["x-all"])
    assert ("1", "1") == (routed.headers["x-before"], routed.headers["x-after"])
    assert "user alice" == direct.text
    assert (404, "no route for alice", "alice") == (
        missing.status,
        missing.text,
        missing.headers["x-reply"],
    )
    until(lambda: len(world.collector.records) == 4, running.told)
    first = world.collector.records[0]
    assert "body 1 alice" == first.body.string_value
    assert {"tokens": "42", "status": FAILED} == {
        one.key: one.value.string_value for one in first.attributes
    }
    assert 0 == running.end()  # which writes what Envoy's files still wait for
    assert re.fullmatch(LOGGED, lines(world.folder / "text")[0])
    assert {"a": {"failed": "1", "list": ["1"]}} == json.loads(lines(world.folder / "json")[0])
    assert ["-", "-"] == lines(world.folder / "upstream")
    assert {"-"} == {*lines(world.folder / "listener")}


def test_resolved_file(start: Start, world: World, release: str) -> None:
    """The command's output is a bootstrap that Envoy takes, and the values are there."""
    done = command("resolve", world.file, "--aliases", world.aliases)
    assert 0 == done.returncode, done.stderr
    resolved = world.folder / "resolved.yaml"
    resolved.write_text(done.stdout)

    assert "EG_EXT" not in done.stdout
    use(start("run", "--config", resolved, "--envoy", release), world)


def test_run(start: Start, world: World) -> None:
    """``run`` resolves by itself, and says what ``resolve`` says."""
    said = command("resolve", world.file, "--aliases", world.aliases).stderr
    running = start("run", "--config", world.file, "--aliases", world.aliases)
    use(running, world)

    assert running.err.startswith(said)
