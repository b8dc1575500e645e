# SPDX-License-Identifier: Apache-2.0
"""
The same filters on ``envoy_pyfilter.testing`` and on a real Envoy: they see and do the same.

What a hook saw, what the upstream got and what the client got are compared; headers that Envoy
adds by itself are left out. The real one is right.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter.testing import FakeStream, run_stream

from . import bootstrap as b
from . import filters
from .conftest import SiteMaker
from .messages import Pairs, Request, Response
from .scenarios import SEEING, Scenario
from .scenarios_flow import FLOW
from .site import class_name, whole_lines

SCENARIOS = {**SEEING, **FLOW}

# What a real Envoy adds on the way, and what the fake has no codec for.
ADDED = (
    b"x-forwarded-",
    b"x-envoy-",
    b"x-request-id",
    b"date",
    b"server",
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"te",
    b":",
)


def own(headers: Pairs | None) -> Pairs:
    """Drop the headers that Envoy or its codecs add."""
    return [(name, value) for name, value in headers or () if not name.startswith(ADDED)]


@dataclass(frozen=True)
class Outcome:
    """What a scenario led to, on either host."""

    seen: list[Any]
    upstream: tuple[Pairs, bytes, Pairs] | None  # None: no whole request came
    downstream: tuple[int, Pairs, bytes, Pairs]
    failed: int


def faked(scenario: Scenario, folder: Path, *, ends_inside: bool) -> Outcome:
    """Run the scenario on the fake."""
    seen = folder / "fake"
    cls: Any = getattr(filters, class_name("Scripted", scenario.hooks).partition(":")[2])
    config = cls.Config(hooks=scenario.hooks, seen=str(seen), **scenario.config)
    request, answer = scenario.request, scenario.answer
    fake = run_stream(
        cls(config),
        request_headers=[
            (b":method", request.method),
            (b":path", request.path),
            (b":scheme", b"http"),
            (b":authority", request.authority),
            *request.headers,
        ],
        request_body=request.body,
        request_trailers=request.trailers or None,
        response_headers=[(b":status", b"%d" % answer.status), *answer.headers],
        response_body=answer.body,
        response_trailers=answer.trailers or None,
        metadata={"theirs": scenario.metadata} if scenario.metadata else None,
        route_metadata={"e2e": {"of": "route"}},
        route_config=filters.Route(**scenario.route) if scenario.route else None,
        ends_inside_calls=ends_inside,
    )
    return Outcome(
        [ast.literal_eval(line) for line in whole_lines(seen)],
        _upstream(fake),
        _downstream(fake),
        len(fake.failed_hooks),
    )


def _upstream(fake: FakeStream) -> tuple[Pairs, bytes, Pairs] | None:
    came = fake.upstream
    if not came.ended:
        return None
    return own(came.headers), came.body, own(came.trailers)


def _downstream(fake: FakeStream) -> tuple[int, Pairs, bytes, Pairs]:
    got = fake.downstream
    return got.status or 0, own(got.headers), got.body, own(got.trailers)


def real(scenario: Scenario, site: SiteMaker, protocol: str) -> Outcome:
    """Run the scenario on a real Envoy."""
    name = class_name("Scripted", scenario.hooks)
    route = b.route(metadata={"filter_metadata": {"e2e": {"of": "route"}}})
    if scenario.route:
        route["typed_per_filter_config"] = b.py_route(name, scenario.route)
    before = [b.set_metadata("theirs", scenario.metadata)] if scenario.metadata else None
    here = site(scenario.hooks, config=scenario.config, before=before, routes=[route])
    path = here.upstream.serve(scenario.answer)
    asked = scenario.request
    request = Request(
        method=asked.method,
        path=path,
        authority=asked.authority,
        headers=asked.headers,
        body=asked.body,
        trailers=asked.trailers,
    )
    got = here.fetch(protocol, request)
    here.oracle()
    came = here.upstream.received(path)
    upstream = (
        (own(came[0].headers), b"".join(came[0].body), own(came[0].trailers)) if came else None
    )
    return Outcome(here.seen(), upstream, _client(got), here.stat("hook_errors"))


def _client(got: Response) -> tuple[int, Pairs, bytes, Pairs]:
    return got.status, own(got.headers), got.body, own(got.trailers)


@pytest.mark.parametrize("name", SCENARIOS)
def test_same(site: SiteMaker, release: str, protocol: str, tmp_path: Path, name: str) -> None:
    """Hooks see the same, and the upstream and the client get the same."""
    scenario = SCENARIOS[name]
    ends_inside = scenario.ends_inside and release != "1.40.0" and protocol == "HTTP/1.1"
    expected = real(scenario, site, protocol)
    assert expected == faked(scenario, tmp_path, ends_inside=ends_inside)
