# SPDX-License-Identifier: Apache-2.0
"""Statistics of hooks in the words of ext_proc, as Envoy's own log and stats show them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from envoy_pyfilter._operator.rewrite import Options, apply, changes
from envoy_pyfilter._statistics import FIELDS

from . import bootstrap as b
from .messages import Answer, Request
from .site import Site

# Envoy's own key for a text, as its other filters write it.
THEIRS = "envoy.network.upstream_server_name"

ORACLE = {
    "plain": "%FILTER_STATE(stat.key:PLAIN)%",
    "typed": "%DYNAMIC_METADATA(stat.space)%",
    "latency": "%DYNAMIC_METADATA(stat.space:request_header_latency_us)%",
    "status": "%FILTER_STATE(stat.key.request_header_call_status:PLAIN)%",
    "absent": "%FILTER_STATE(stat.key.request_trailer_call_status:PLAIN)%",
    "open": "%FILTER_STATE(stat.key.failed_open:PLAIN)%",
}
STATISTICS: dict[str, Any] = {
    "key": "stat.key",
    "metadata_namespace": "stat.space",
    "fields": ["request_header_call_status", "request_trailer_call_status", "failed_open"],
}


def open_site(site: Site, hooks: dict[str, str], **config: Any) -> Site:
    """Open a site whose filter keeps statistics, with its counters under native's names."""
    ours = site.filter(hooks, config={"statistics": STATISTICS, **config})
    module = ours["typed_config"]["dynamic_module_config"]
    module["metrics_namespace"] = f"http.{site.name}.ext_proc"
    return site.open([ours], oracle=ORACLE)


def counters(site: Site) -> dict[str, int]:
    """Give the stats below the site's ext_proc names."""
    prefix = f"http.{site.name}.ext_proc."
    found = site.envoy.stats(re.escape(prefix))
    return {name.removeprefix(prefix): value for name, value in found.items()}


def test_line_and_object(new_site: Callable[[], Site]) -> None:
    """The line is native's, and the object has the same numbers, as numbers."""
    hooks = {
        "on_request_headers": "stream.request_headers.set('x-a', 'b')",
        "on_response_body": "pass",
    }
    here = open_site(new_site(), hooks)
    here.fetch(answer=Answer(body=[b"hello"]))
    (told,) = here.oracle()
    typed = told["typed"]
    took, bodies = typed["request_header_latency_us"], typed["response_body_total_latency_us"]
    calls = typed["response_body_call_count"]
    parts = told["plain"].split(",")
    assert [f"rh:{took}:0", f"sb:{calls}:{bodies}:0"] == parts[:2]
    rest = [f"bs:{typed['bytes_sent']}", "br:4", "os:0"]
    if here.envoy.release == "1.40.0":
        rest.append("ds:filters:Scripted__on_request_headers__on_response_body")
    assert rest == parts[2:]
    assert (took, "0", None, "0") == tuple(told[k] for k in ("latency", "status", "absent", "open"))
    counted = counters(here)
    assert (1, 1 + calls, 1 + calls, 1) == tuple(
        counted[name]
        for name in (
            "streams_started", "stream_msgs_sent", "stream_msgs_received", "streams_closed",
        )
    )  # fmt: skip


def line(told: dict[str, Any]) -> str:
    """Give the line without its destination, of which the release decides."""
    return str(told["plain"]).partition(",ds:")[0]


PARTS = ("headers", "body", "trailers")


def test_all_phases(new_site: Callable[[], Site], protocol: str) -> None:
    """Headers, bodies and trailers of both sides; each call is a message of native's counters."""
    phases = [f"on_{way}_{part}" for way in ("request", "response") for part in PARTS]
    here = open_site(new_site(), dict.fromkeys(phases, "pass"))
    answer = Answer(body=[b"one", b"two"], trailers=[(b"x-end", b"t")])
    request = Request(
        method=b"POST",
        path=here.upstream.serve(answer),
        body=[b"abc", b"de"],
        trailers=[(b"x-more", b"u")],
    )
    here.fetch(protocol, request)
    (told,) = here.oracle()
    found = re.fullmatch(
        r"rh:\d+:0,rb:(\d+):\d+:0,rt:\d+:0,sh:\d+:0,sb:(\d+):\d+:0,st:\d+:0,bs:\d+,br:0,os:0",
        line(told),
    )
    assert found is not None, told["plain"]
    typed = told["typed"]
    bodies = int(found[1]), int(found[2])
    assert bodies == (typed["request_body_call_count"], typed["response_body_call_count"])
    counted = counters(here)
    assert 4 + sum(bodies) == counted["stream_msgs_sent"] == counted["stream_msgs_received"]
    assert len(FIELDS) - (here.envoy.release != "1.40.0") == len(typed)


@pytest.mark.parametrize("policy", ["deny", "allow"])
def test_failure(new_site: Callable[[], Site], policy: str) -> None:
    """A hook that raises has status 2, and under ``allow`` the stream has failed open."""
    here = open_site(
        new_site(),
        {"on_request_headers": "raise KeyError", "on_response_headers": "pass"},
        on_error=policy,
    )
    assert {"deny": 500, "allow": 200}[policy] == here.fetch(answer=Answer()).status
    (told,) = here.oracle()
    took = told["typed"]["request_header_latency_us"]
    assert line(told).startswith(f"rh:{took}:2,bs:")
    assert (policy == "allow", "2", str(int(policy == "allow"))) == (
        told["typed"]["failed_open"],
        told["status"],
        told["open"],
    )
    counted = counters(here)
    assert (1, int(policy == "allow"), int(policy == "deny")) == tuple(
        counted[name]
        for name in ("streams_failed", "failure_mode_allowed", "immediate_responses_sent")
    )


def test_reply(new_site: Callable[[], Site]) -> None:
    """An answer in the upstream's place, which ends the stream within its hook up to 1.39."""
    hooks = {"on_request_headers": "return Reply(403, b'no')", "on_response_headers": "pass"}
    here = open_site(new_site(), hooks)
    assert 403 == here.fetch().status
    (told,) = here.oracle()
    assert re.fullmatch(r"rh:\d+:0,bs:\d+,br:2,os:0", line(told))
    assert told["typed"]["received_immediate_response"] is True
    assert 1 == counters(here)["immediate_responses_sent"]


def test_pause(new_site: Callable[[], Site]) -> None:
    """A pause lasts until the filter resumes; hooks that waited are calls of their own."""
    hooks = {
        "on_request_headers": """
            if stream.request_headers.get("x-go"):
                kept["paused"].resume_request()
                return None
            kept["paused"] = stream
            saw(time.monotonic())
            return PAUSE
        """,
        "on_request_body": "pass",
    }
    here = open_site(new_site(), hooks)
    request = Request(method=b"POST", path=here.upstream.serve(Answer()), body=[b"abc"])
    with ThreadPoolExecutor() as pool:
        answered = pool.submit(here.fetch, "HTTP/2", request)
        (paused,) = here.seen(1)
        held = time.monotonic() - paused  # the same clock, in another process
        here.fetch(answer=Answer(), headers=[(b"x-go", b"1")])
        assert 200 == answered.result(30).status
    (told,) = (one for one in here.oracle(2) if one["method"] == "POST")
    found = re.match(r"rh:(\d+):0,rb:\d+:(\d+):0,", line(told))
    assert found is not None, told["plain"]
    assert int(found[1]) > held * 1_000_000


def test_client_that_leaves_a_pause(new_site: Callable[[], Site]) -> None:
    """The filter never answered: there is no call, but a line."""
    here = open_site(new_site(), {"on_request_headers": "saw(1)\nreturn PAUSE"})
    with here.client("HTTP/1.1") as client:
        client.open(Request(), ends=True)
        here.seen(1)
        client.abort()
    (told,) = here.oracle()
    assert "bs:0,br:0,os:0" == line(told)
    counted = counters(here)
    assert (1, 0) == (counted["stream_msgs_sent"], counted["stream_msgs_received"])


def test_nothing_was_called(new_site: Callable[[], Site]) -> None:
    """The line and the object are there all the same."""
    here = open_site(new_site(), {"on_local_reply": "pass"})
    here.fetch(answer=Answer())
    (told,) = here.oracle()
    assert "bs:0,br:0,os:0" == line(told)
    assert (0, 0, False) == tuple(
        told["typed"][key]
        for key in ("bytes_sent", "response_body_processing_effect", "failed_open")
    )
    assert 0 == counters(here)["streams_started"]


def test_counters_have_native_s_names(new_site: Callable[[], Site]) -> None:
    """Envoy's own ext_proc in another listener has the same names, with a prefix and without."""
    one, other = new_site(), new_site()
    for site, prefix in ((one, ""), (other, "pre")):
        kind = "extensions.filters.http.ext_proc.v3.ExternalProcessor"
        service = {"envoy_grpc": {"cluster_name": "refused"}}
        native = b.typed("envoy.filters.http.ext_proc", kind, grpc_service=service)
        native["typed_config"] |= {"stat_prefix": prefix} if prefix else {}
        site.open([native])
        theirs = counters(site)
        site.close()
        again = new_site()
        ours = open_site(
            again,
            {"on_request_headers": "pass"},
            statistics={"stat_prefix": prefix} if prefix else {},
        )
        found = {name for name in counters(ours) if not name.startswith(f"{again.name}.")}
        assert theirs.keys() == found
        assert 17 == len(found)


def test_prometheus(new_site: Callable[[], Site]) -> None:
    """So are those of Envoy's Prometheus page."""
    here = open_site(new_site(), {"on_request_headers": "pass"})
    here.fetch(answer=Answer())
    here.oracle()
    page = here.envoy.get("/stats/prometheus?filter=ext_proc")
    labels = f'{{envoy_http_conn_manager_prefix="{here.name}"}}'
    assert f"envoy_http_ext_proc_streams_started{labels} 1\n" in page
    assert f"envoy_http_ext_proc_message_timeouts{labels} 0\n" in page


def test_key_that_is_taken(new_site: Callable[[], Site]) -> None:
    """Another filter's object stays, the object of ours is written, and it is counted."""
    site = new_site()
    ours = site.filter({"on_request_headers": "pass"}, config={"statistics": {"key": THEIRS}})
    oracle = {"theirs": f"%FILTER_STATE({THEIRS}:PLAIN)%"}
    site.open([b.set_filter_state(THEIRS, "name"), ours], oracle=oracle)
    site.fetch(answer=Answer())
    (told,) = site.oracle()
    assert "name" == told["theirs"]
    assert 1 == site.stat("state_conflicts")
    assert 1 == len(site.log_lines(rf"the filter state {THEIRS}, or a field's, was written before"))


def test_operator(new_site: Callable[[], Site]) -> None:
    """What the operator becomes by the filter's own config is what Envoy prints."""
    site = new_site()
    ours = site.filter({"on_request_headers": "pass"}, config={"statistics": STATISTICS})
    asked = {
        **{f"by {name} {what}": f"%EG_EXT_FILTER_STATE({name}:{what})%"
           for name in ("stat.key", site.name)
           for what in ("PLAIN", "TYPED", "bytes_sent", "request_header_call_status")},
        **ORACLE,
    }  # fmt: skip
    listener = site.listener([ours], oracle=asked)
    made = changes(listener, Options())
    site.reopen(apply(listener, made))
    site.fetch(answer=Answer())
    (told,) = site.oracle()
    for name in ("stat.key", site.name):
        assert told["plain"] == told[f"by {name} PLAIN"]
        assert told["typed"] == told[f"by {name} TYPED"]
        assert told["typed"]["bytes_sent"] == told[f"by {name} bytes_sent"] > 0
        assert "0" == told[f"by {name} request_header_call_status"]
    assert [] == [notice for _, notice in made.notices]


def test_filter_of_an_access_log(new_site: Callable[[], Site]) -> None:
    """An expression of an access log's filter reads the object's numbers."""
    site = new_site()
    ours = site.filter({"on_request_headers": "pass"}, config={"statistics": STATISTICS})
    expression = "metadata.filter_metadata['stat.space']['bytes_sent'] > 1.0"
    kind = "extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    cel = b.typed("envoy.access_loggers.extension_filters.cel", kind, expression=expression)
    log = b.file_log(site.oracle_path, ORACLE)
    site.open([ours], loggers=[{**log, "filter": {"extension_filter": cel}}], oracle=ORACLE)
    site.fetch(answer=Answer())
    one, other = site.oracle(2)  # the filtered log's line, and that of the log without a filter
    assert one["plain"] == other["plain"]
