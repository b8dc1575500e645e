# SPDX-License-Identifier: Apache-2.0
"""
What comes with a crossing is what Envoy would have answered.

Each scenario runs on several streams of one config, once as ever and once so that hooks ask Envoy
for each thing that they read. The first stream of a config asks in both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from . import bootstrap as b
from .conftest import SiteMaker
from .messages import Answer, Pairs, Request
from .scenarios import SEEING, Scenario
from .scenarios_flow import FLOW
from .site import class_name
from .test_fake_and_real import own

SCENARIOS = {**SEEING, **FLOW}
STREAMS = 3

Outcome = tuple[list[tuple[int, Pairs, bytes, Pairs]], list[Any], int]
"""What the client got, what the filter saw, how many hooks failed."""


def outcome(scenario: Scenario, site: SiteMaker, *, learns: bool) -> Outcome:
    """Send the scenario's request some times."""
    route = b.route(metadata={"filter_metadata": {"e2e": {"of": "route"}}})
    if scenario.route:
        name = class_name("Scripted", scenario.hooks)
        route["typed_per_filter_config"] = b.py_route(name, scenario.route)
    before = [b.set_metadata("theirs", scenario.metadata)] if scenario.metadata else None
    config = {**scenario.config, "learns": learns}
    here = site(scenario.hooks, config=config, before=before, routes=[route])
    path = here.upstream.serve(scenario.answer)
    asked = scenario.request
    got = []
    for _ in range(STREAMS):
        request = replace(asked, path=path)
        answer = here.fetch("HTTP/1.1", request)
        got.append((answer.status, own(answer.headers), answer.body, own(answer.trailers)))
    here.oracle(STREAMS)
    seen = [repr(line).replace(path.decode(), "PATH") for line in here.seen()]
    return got, seen, here.stat("hook_errors")


@pytest.mark.parametrize("name", SCENARIOS)
def test_same(site: SiteMaker, name: str) -> None:
    """Hooks see and do the same, on the first stream and on later ones."""
    asked = outcome(SCENARIOS[name], site, learns=False)
    assert asked == outcome(SCENARIOS[name], site, learns=True)


READING = """
    headers = stream.request_headers
    saw(headers.get('x-two'), headers.get('X-TWO'), headers.get_all('x-two'))
    saw(headers.get('x-none'))
    saw(headers.get('x-empty', b'none'), 'x-empty' in headers, 'x-none' in headers)
    saw(headers['x-one'])
    saw(refusal(lambda: headers['x-none']), refusal(lambda: headers.get('a b')))
    saw(refusal(lambda: headers.get(['x'])), headers.get(bytearray(b'x-one')))
    saw(headers.get(b'x-one'))
    saw(headers.get('x-odd'), headers.get('x-long', b'')[-3:], len(headers.get('x-long', b'')))
    saw(stream.attribute('request.method'), stream.attribute('request.protocol'))
    saw(stream.attribute('request.referer'), refusal(lambda: stream.attribute('request.metod')))
    {change}
    saw(headers.get('x-two'), headers.get('x-one'), headers.get('x-none'))
    saw(stream.attribute('request.path'), stream.response_headers.get('x-up'))
"""
CHANGES = {
    "nothing": "pass",
    "set": "headers.set('x-two', 'new'); headers.set(':path', '/changed')",
    "add": "headers.add('x-none', 'new')",
    "remove": "headers.remove('x-two'); headers.remove('x-one')",
    "whole": "saw([pair for pair in headers.items() if pair[0].startswith(b'x-o')])",
}


@pytest.mark.parametrize("size", [0, 40, 200])
@pytest.mark.parametrize("odd", [b"\xff\xfe", b"tab\there"])
@pytest.mark.parametrize("change", CHANGES)
def test_reading(site: SiteMaker, change: str, odd: bytes, size: int) -> None:
    """Absent, empty, repeated and long values, small and large maps, before and after changes."""
    more = [(b"x-more-%d" % number, b"v") for number in range(size)]
    long = [(b"x-long", b"y" * 20_000)] if size else []
    headers = [(b"x-one", b"1"), (b"x-two", b"a"), (b"x-two", b"b"), (b"x-empty", b"")]
    text = READING.format(change=CHANGES[change])
    scenario = Scenario(
        hooks={"on_request_headers": text, "on_stream_complete": READING.format(change="pass")},
        request=Request(headers=[*headers, (b"x-odd", odd), *more, *long]),
        answer=Answer(headers=[(b"x-up", b"1")]),
    )
    asked = outcome(scenario, site, learns=False)
    assert asked[1]
    assert asked == outcome(scenario, site, learns=True)


def test_streams_in_turn(site: SiteMaker) -> None:
    """Each stream gets its own values, also those that the one before it had or did not have."""
    hook = "saw(stream.request_headers.get('x-id'), stream.data); stream.data['x'] = 1"
    here = site({"on_stream_complete": hook})
    values = [b"1", None, b"3", b"3", None, b""]
    for value in values:
        headers = [] if value is None else [(b"x-id", value)]
        here.fetch("HTTP/1.1", Request(headers=headers))
    assert [(value, {}) for value in values] == here.seen(len(values))


def test_kept_streams_stay_over(site: SiteMaker) -> None:
    """What a filter keeps of a stream never becomes a part of a later one."""
    here = site(
        {
            "on_stream_complete": """
                old = kept.setdefault(self.saw, [])
                saw(*[refusal(one) for one in old])
                headers, state, whole = stream.request_headers, stream.filter_state, stream
                headers.get('x-id')
                old[:] = [
                    lambda: headers['x-id'],
                    lambda: headers.items(),
                    lambda: state.get('e2e.a'),
                    lambda: whole.request_headers.get('x-id'),
                    lambda: whole.attribute('request.path'),
                    lambda: whole.metadata.get('a', 'b'),
                ]
                stream.filter_state['e2e.a'] = 'b'
            """
        }
    )
    for _ in range(4):
        here.fetch("HTTP/1.1", Request(headers=[(b"x-id", b"1")]))
    assert [(), *[("StreamGone",) * 6] * 3] == here.seen(4)


def test_failed_streams_stay_over(site: SiteMaker) -> None:
    """Nor does a stream that failed keep what came with a hook that was not its filter's."""
    here = site(
        {
            "on_request_headers": """
                if 'x-bad' in stream.request_headers:
                    kept[self.saw] = stream
                    raise ValueError('bad')
            """,
            "on_stream_complete": """
                saw(stream.request_headers.get('x-id'), stream.attribute('request.path'))
                old = kept.get(self.saw)
                if old is not None:
                    saw(refusal(lambda: old.request_headers.get('x-id')))
                    saw(refusal(lambda: old.attribute('request.path')))
            """,
        },
        config={"on_error": "allow"},
    )
    for bad in ([], [(b"x-bad", b"1")], []):
        here.fetch("HTTP/1.1", Request(headers=[(b"x-id", b"1"), *bad]))
    assert ["StreamGone"] * 2 == here.seen(4)[2:]
