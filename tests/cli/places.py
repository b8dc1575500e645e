# SPDX-License-Identifier: Apache-2.0
"""
A bootstrap with a format in one place, for every place where Envoy evaluates one.

That Envoy does so is seen by its refusing a command that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Dict = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."
GRPC = {"envoy_grpc": {"cluster_name": "up"}}


def typed(name: str, kind: str, **fields: Any) -> Dict:
    """Give a named extension; *kind* is the type below ``envoy.extensions.``."""
    return {"name": name, "typed_config": {"@type": f"{_TYPE}extensions.{kind}", **fields}}


def http(kind: str, name: str = "", **fields: Any) -> Dict:
    """Give an HTTP filter."""
    folder = kind.partition(".")[0]
    return typed(name or f"envoy.filters.http.{folder}", f"filters.http.{kind}", **fields)


def log(kind: str, **fields: Any) -> Dict:
    """Give an access logger."""
    return typed(f"log.{kind}", f"access_loggers.{kind}", **fields)


def text(format_: str) -> Dict:
    """Give a format string of text."""
    return {"text_format_source": {"inline_string": format_}}


def header(format_: str) -> list[Dict]:
    """Give a header to add."""
    return [{"header": {"key": "x-a", "value": format_}}]


def mutation(format_: str) -> list[Dict]:
    """Give a change of a header."""
    return [{"append": header(format_)[0]}]


def strings(format_: str) -> Dict:
    """Give the configuration of OpenTelemetry's attributes, nested."""
    inner = {"values": [{"key": "b", "value": {"string_value": format_}}]}
    return {"values": [{"key": "a", "value": {"kvlist_value": inner}}]}


def around(listeners: list[Dict], cluster: Dict) -> Dict:
    """Give a bootstrap in which descriptors of rate limits are formats, too."""
    flag = "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value"
    layers = [{"name": "test", "static_layer": {flag: True}}]
    resources = {"listeners": listeners, "clusters": [cluster]}
    return {"layered_runtime": {"layers": layers}, "static_resources": resources}


@dataclass
class Parts:
    """A bootstrap with its parts at hand."""

    route: Dict = field(default_factory=dict)
    host: Dict = field(default_factory=dict)
    routes: Dict = field(default_factory=dict)
    manager: Dict = field(default_factory=dict)
    filters: list[Dict] = field(default_factory=list)
    router: Dict = field(default_factory=dict)
    listener: Dict = field(default_factory=dict)
    cluster: Dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the parts into each other."""
        self.router |= http("router.v3.Router")
        self.route |= {"match": {"prefix": "/"}, "route": {"cluster": "up"}}
        self.host |= {"name": "all", "domains": ["*"], "routes": [self.route]}
        self.routes |= {"name": "local", "virtual_hosts": [self.host]}
        self.manager |= {"stat_prefix": "http", "route_config": self.routes}
        self.cluster |= {"name": "up", "load_assignment": {"cluster_name": "up"}}
        self.listener |= {"name": "in", "address": {"pipe": {"path": "/nowhere"}}}

    @property
    def action(self) -> Dict:
        """The route's action."""
        found: Dict = self.route["route"]
        return found

    def whole(self) -> Dict:
        """Give the bootstrap."""
        kind = "filters.network.http_connection_manager.v3.HttpConnectionManager"
        self.manager["http_filters"] = [*self.filters, self.router]
        chain = {"filters": [typed("http", kind, **self.manager)]}
        self.listener.setdefault("filter_chains", [chain])
        return around([self.listener], self.cluster)

    def logs(self, kind: str, **fields: Any) -> None:
        """Log all requests."""
        self.manager["access_log"] = [log(kind, **fields)]

    def add(self, kind: str, **fields: Any) -> None:
        """Add a filter."""
        self.filters.append(http(kind, **fields))

    def weigh(self, **fields: Any) -> None:
        """Route to a weighted cluster."""
        one = {"name": "up", "weight": 1, **fields}
        self.route["route"] = {"weighted_clusters": {"clusters": [one]}}

    def directly(self, **fields: Any) -> None:
        """Answer without an upstream."""
        del self.route["route"]
        self.route["direct_response"] = {"status": 200, **fields}

    def tcp(self, **fields: Any) -> None:
        """Have no HTTP at all."""
        proxy = typed(
            "tcp", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="t", cluster="up", **fields
        )
        self.listener["filter_chains"] = [{"filters": [proxy]}]

    def custom(self, **fields: Any) -> None:
        """Answer something else to each 404."""
        policy = typed(
            "x",
            "http.custom_response.local_response_policy.v3.LocalResponsePolicy",
            **fields,
        )
        status = {
            "name": "s",
            "typed_config": {"@type": f"{_TYPE}type.matcher.v3.HttpResponseStatusCodeMatchInput"},
        }
        predicate = {"single_predicate": {"input": status, "value_match": {"exact": "404"}}}
        matcher = {"predicate": predicate, "on_match": {"action": policy}}
        self.add(
            "custom_response.v3.CustomResponse",
            custom_response_matcher={"matcher_list": {"matchers": [matcher]}},
        )

    def tag(self, format_: str) -> Dict:
        """Give tracing with a tag."""
        provider = typed("t", "", collector_cluster="up")
        provider["typed_config"] = {
            "@type": f"{_TYPE}config.trace.v3.OpenTelemetryConfig",
            "grpc_service": GRPC,
        }
        return {"provider": provider, "custom_tags": [{"tag": "a", "value": format_}]}


def _mutate(key: str) -> Callable[[Parts, str], None]:
    def put(parts: Parts, format_: str) -> None:
        parts.add("header_mutation.v3.HeaderMutation", mutations={key: mutation(format_)})

    return put


def _mutate_per_route(parts: Parts, format_: str) -> None:
    parts.add("header_mutation.v3.HeaderMutation")
    kind = "filters.http.header_mutation.v3.HeaderMutationPerRoute"
    fields = {"mutations": {"response_mutations": mutation(format_)}}
    parts.route["typed_per_filter_config"] = {
        "envoy.filters.http.header_mutation": typed("", kind, **fields)["typed_config"]
    }


def _early(parts: Parts, format_: str) -> None:
    kind = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    parts.manager["early_header_mutation_extensions"] = [
        typed("envoy.http.early_header_mutation.header_mutation", kind, mutations=mutation(format_))
    ]


def _mapper(parts: Parts, **fields: Any) -> None:
    status = {"comparison": {"op": "EQ", "value": {"default_value": 404, "runtime_key": "x"}}}
    mapper = {"filter": {"status_code_filter": status}, **fields}
    parts.manager["local_reply_config"] = {"mappers": [mapper]}


def _set_state(parts: Parts, format_: str) -> None:
    state = {"object_key": "k", "factory_key": "envoy.string", "format_string": text(format_)}
    parts.add("set_filter_state.v3.Config", on_request_headers=[state])


def _health(parts: Parts, format_: str) -> None:
    check = {"path": "/", "request_headers_to_add": header(format_)}
    thresholds = {"unhealthy_threshold": 1, "healthy_threshold": 1}
    times = {"timeout": "1s", "interval": "1s"}
    parts.cluster["health_checks"] = [{**times, **thresholds, "http_health_check": check}]


def _limit(parts: Parts, value: str = "a", **fields: Any) -> None:
    key = {"generic_key": {"descriptor_value": value}}
    limits = [{"actions": [key], **fields}]
    parts.add("local_ratelimit.v3.LocalRateLimit", stat_prefix="l", rate_limits=limits)


_STATS = "stats.v3.Config"


def _counter(parts: Parts, format_: str) -> None:
    tags = [{"name": "t", "value_format": format_}]
    counter = {"stat": {"name": "c", "tags": tags}, "value_fixed": 1}
    parts.logs(_STATS, stat_prefix="s", counters=[counter])


PLACES: dict[str, Callable[[Parts, str], None]] = {
    "file, text": lambda p, f: p.logs(
        "file.v3.FileAccessLog", path="/dev/null", log_format=text(f)
    ),
    "file, older key": lambda p, f: p.logs("file.v3.FileAccessLog", path="/dev/null", format=f),
    "file, older text": lambda p, f: p.logs(
        "file.v3.FileAccessLog", path="/dev/null", log_format={"text_format": f}
    ),
    "file, JSON": lambda p, f: p.logs(
        "file.v3.FileAccessLog", path="/dev/null", log_format={"json_format": {"a": f}}
    ),
    "file, nested JSON": lambda p, f: p.logs(
        "file.v3.FileAccessLog", path="/dev/null", log_format={"json_format": {"a": {"b": [f]}}}
    ),
    "stdout": lambda p, f: p.logs("stream.v3.StdoutAccessLog", log_format=text(f)),
    "stderr, JSON": lambda p, f: p.logs(
        "stream.v3.StderrAccessLog", log_format={"json_format": {"a": f}}
    ),
    "OpenTelemetry body": lambda p, f: p.logs(
        "open_telemetry.v3.OpenTelemetryAccessLogConfig",
        common_config={"log_name": "l", "grpc_service": GRPC, "transport_api_version": "V3"},
        body={"string_value": f},
    ),
    "OpenTelemetry attributes": lambda p, f: p.logs(
        "open_telemetry.v3.OpenTelemetryAccessLogConfig",
        common_config={"log_name": "l", "grpc_service": GRPC, "transport_api_version": "V3"},
        attributes=strings(f),
    ),
    "fluentd": lambda p, f: p.logs(
        "fluentd.v3.FluentdAccessLogConfig",
        cluster="up",
        tag="t",
        stat_prefix="f",
        record={"a": {"b": f}},
    ),
    "stats": _counter,
    "listener's log": lambda p, f: p.listener.update(
        access_log=[log("stream.v3.StdoutAccessLog", log_format=text(f))]
    ),
    "upstream log": lambda p, f: p.router["typed_config"].update(
        upstream_log=[log("stream.v3.StdoutAccessLog", log_format=text(f))]
    ),
    "TCP proxy's log": lambda p, f: p.tcp(
        access_log=[log("stream.v3.StdoutAccessLog", log_format=text(f))]
    ),
    "TCP tunnel's headers": lambda p, f: p.tcp(
        tunneling_config={"hostname": "h:1", "headers_to_add": header(f)}
    ),
    "TCP tunnel's host": lambda p, f: p.tcp(tunneling_config={"hostname": f}),
    "gRPC access log's tags": lambda p, f: p.logs(
        "grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": "l",
            "grpc_service": GRPC,
            "transport_api_version": "V3",
            "custom_tags": [{"tag": "a", "value": f}],
        },
    ),
    "OpenTelemetry over HTTP, headers": lambda p, f: p.logs(
        "open_telemetry.v3.OpenTelemetryAccessLogConfig",
        http_service={
            "http_uri": {"uri": "http://up", "cluster": "up", "timeout": "1s"},
            "request_headers_to_add": header(f),
        },
    ),
    "route configuration, request": lambda p, f: p.routes.update(request_headers_to_add=header(f)),
    "route configuration, response": lambda p, f: p.routes.update(
        response_headers_to_add=header(f)
    ),
    "virtual host, request": lambda p, f: p.host.update(request_headers_to_add=header(f)),
    "virtual host, response": lambda p, f: p.host.update(response_headers_to_add=header(f)),
    "route, request": lambda p, f: p.route.update(request_headers_to_add=header(f)),
    "route, response": lambda p, f: p.route.update(response_headers_to_add=header(f)),
    "weighted cluster, request": lambda p, f: p.weigh(request_headers_to_add=header(f)),
    "weighted cluster, response": lambda p, f: p.weigh(response_headers_to_add=header(f)),
    "header mutation, request": _mutate("request_mutations"),
    "header mutation, response": _mutate("response_mutations"),
    "header mutation, request trailers": _mutate("request_trailers_mutations"),
    "header mutation, response trailers": _mutate("response_trailers_mutations"),
    "header mutation per route": _mutate_per_route,
    "header mutation in the router": lambda p, f: p.router["typed_config"].update(
        upstream_http_filters=[
            http("header_mutation.v3.HeaderMutation", mutations={"request_mutations": mutation(f)}),
            http("upstream_codec.v3.UpstreamCodec"),
        ]
    ),
    "mirrored requests": lambda p, f: p.action.update(
        request_mirror_policies=[{"cluster": "up", "request_headers_mutations": mutation(f)}]
    ),
    "early header mutation": _early,
    "local reply, body": lambda p, f: p.manager.update(local_reply_config={"body_format": text(f)}),
    "local reply, mapped body": lambda p, f: _mapper(p, body_format_override=text(f)),
    "local reply, headers": lambda p, f: _mapper(p, headers_to_add=header(f)),
    "direct response": lambda p, f: p.directly(body_format=text(f)),
    "custom response, body": lambda p, f: p.custom(body_format=text(f)),
    "custom response, headers": lambda p, f: p.custom(response_headers_to_add=header(f)),
    "tracing operation": lambda p, f: p.manager.update(tracing={"operation": f}),
    "tracing upstream operation": lambda p, f: p.manager.update(tracing={"upstream_operation": f}),
    "tracing operation of a route": lambda p, f: p.route.update(tracing={"operation": f}),
    "tag of tracing": lambda p, f: p.manager.update(tracing=p.tag(f)),
    "rate limit, descriptor": _limit,
    "rate limit of a virtual host": lambda p, f: p.host.update(
        rate_limits=[{"actions": [{"generic_key": {"descriptor_value": f}}]}]
    ),
    "rate limit, hits": lambda p, f: _limit(p, hits_addend={"format": f}),
    "rate limit, headers": lambda p, f: p.add(
        "ratelimit.v3.RateLimit",
        domain="d",
        rate_limit_service={"grpc_service": GRPC, "transport_api_version": "V3"},
        response_headers_to_add=header(f),
    ),
    "local rate limit, headers": lambda p, f: p.add(
        "local_ratelimit.v3.LocalRateLimit", stat_prefix="l", response_headers_to_add=header(f)
    ),
    "path rewrite": lambda p, f: p.action.update(path_rewrite=f),
    "host rewrite": lambda p, f: p.action.update(host_rewrite=f),
    "set_filter_state": _set_state,
    "initial metadata": lambda p, f: p.add(
        "ext_authz.v3.ExtAuthz",
        grpc_service={**GRPC, "initial_metadata": [{"key": "a", "value": f}]},
        transport_api_version="V3",
    ),
    "ext_authz over HTTP, headers": lambda p, f: p.add(
        "ext_authz.v3.ExtAuthz",
        http_service={
            "server_uri": {"uri": "http://up", "cluster": "up", "timeout": "1s"},
            "authorization_request": {"headers_to_add": [{"key": "a", "value": f}]},
        },
    ),
    "health check": _health,
}


LAZY = "initial metadata"
"""The only place at whose format Envoy looks no sooner than it is used."""


def bootstrap(place: str, format_: str) -> Dict:
    """Give a bootstrap with a format in one of the places."""
    parts = Parts()
    PLACES[place](parts, format_)
    return parts.whole()


def together(format_: str) -> Dict:
    """Give a bootstrap with the format in all places: a listener for each."""
    whole = [bootstrap(place, format_)["static_resources"] for place in PLACES]
    listeners = [
        {**one["listeners"][0], "name": place, "address": {"pipe": {"path": f"/{number}"}}}
        for number, (place, one) in enumerate(zip(PLACES, whole, strict=True))
    ]
    return around(listeners, bootstrap("health check", format_)["static_resources"]["clusters"][0])
