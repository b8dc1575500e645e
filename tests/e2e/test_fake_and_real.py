# SPDX-License-Identifier: Apache-2.0
"""
The same filters on ``envoy_pyfilter.testing`` and on a real Envoy: they see and do the same.

What a hook saw, what the upstream got and what the client got are compared; headers that Envoy
adds by itself are left out. The real one is right.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter.testing import FakeStream, run_stream

from . import bootstrap as b
from . import filters
from .conftest import SiteMaker
from .messages import Answer, Pairs, Request, Response
from .site import class_name, whole_lines

GRPC = (b"content-type", b"application/grpc")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A filter, what is sent through it, and what Envoy's side knows."""

    hooks: dict[str, str]
    request: Request = field(default_factory=Request)
    answer: Answer = field(default_factory=Answer)
    config: dict[str, Any] = field(default_factory=dict)
    route: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    ends_inside: bool = False  # over HTTP/1.1 Envoy up to 1.39 destroys the stream in a hook's call


POST = Request(
    method=b"POST",
    headers=[(b"x-one", b"1"), (b"x-two", b"a"), (b"x-two", b"b"), (b"te", b"trailers")],
    body=[b"abc"],
    trailers=[(b"x-last", b"1")],
)
FULL = Answer(
    status=201,
    headers=[(b"x-up", b"1"), (b"x-up", b"2")],
    body=[b"one"],
    trailers=[(b"x-end", b"2")],
)
ALL = {
    "on_request_headers": "saw('request headers', end_of_stream)",
    "on_request_body": "saw('request body', stream.request_body.read(), end_of_stream)",
    "on_request_trailers": "saw('request trailers', stream.request_trailers.get('x-last'))",
    "on_response_headers": "saw('response headers', end_of_stream)",
    "on_response_body": "saw('response body', stream.response_body.read(), end_of_stream)",
    "on_response_trailers": "saw('response trailers', stream.response_trailers.get('x-end'))",
    "on_local_reply": "saw('local reply', reply.status, reply.details)",
    "on_stream_complete": "saw('complete', stream.attribute('response.code'), stream.failed)",
}


def and_then(**changed: str) -> dict[str, str]:
    """All hooks as they are, some of them with more to do."""
    more = {name: textwrap.dedent(text) for name, text in changed.items()}
    return {name: f"{text}\n{more.get(name, '')}" for name, text in ALL.items()}


SCENARIOS = {
    "nothing but headers": Scenario(hooks=ALL, answer=Answer(status=204, body=())),
    "everything": Scenario(hooks=ALL, request=POST, answer=FULL),
    "reads of headers": Scenario(
        hooks={
            "on_request_headers": """
                headers = stream.request_headers
                saw(headers.get('X-One'), headers.get_all('x-two'), headers.get('x-none', 7))
                saw('x-two' in headers, 'x-none' in headers, headers[':method'])
                saw([pair for pair in headers if pair[0].startswith(b'x-t')])
                saw(stream.response_headers.get('x-up'), len(stream.request_trailers))
            """,
            "on_stream_complete": """
                saw(stream.request_trailers.items(), stream.response_trailers.items())
                saw(stream.response_headers.get_all('x-up'), stream.response_headers[':status'])
            """,
        },
        request=POST,
        answer=FULL,
    ),
    "changes of headers": Scenario(
        hooks={
            "on_request_headers": """
                headers = stream.request_headers
                headers.set('x-one', b'new'); headers.add('x-two', b'c'); headers.set('x-new', 'n')
                headers.remove('x-none')
                saw(headers.get_all('x-one'), headers.get_all('x-two'), headers.get('x-new'))
                headers.set('x-new', b'')
                saw('x-new' in headers)
                saw(refusal(lambda: headers.add('x-a', '')),
                    refusal(lambda: headers.set('a b', 'x')),
                    refusal(lambda: stream.response_headers.set('x', 'y')),
                    refusal(lambda: stream.request_trailers.add('x', 'y')))
            """,
            "on_response_headers": """
                stream.response_headers.set('x-up', b'only'); stream.response_headers.remove('x')
                stream.response_headers.set(':status', b'202')
            """,
            "on_response_trailers": "stream.response_trailers.add('x-end', b'more')",
            "on_request_trailers": "stream.request_trailers.set('x-last', b'changed')",
        },
        request=POST,
        answer=FULL,
    ),
    "bodies changed in passing": Scenario(
        hooks={
            "on_request_body": """
                if stream.request_body.size:
                    stream.request_body.drain(1); stream.request_body.append(b'+')
                    saw(stream.request_body.size, stream.request_body.read())
            """,
            "on_response_body": """
                if stream.response_body.size:
                    stream.response_body.replace(b'other')
                    saw(stream.response_body.complete,
                        refusal(lambda: stream.response_body.drain(9)))
            """,
        },
        request=POST,
        answer=FULL,
    ),
    "bodies buffered": Scenario(
        hooks={
            **{f"on_{side}_headers": "return BUFFER" for side in ("request", "response")},
            **{
                f"on_{side}_body": f"saw(stream.{side}_body.complete, end_of_stream); return BUFFER"
                for side in ("request", "response")
            },
            **{
                f"on_{side}_trailers": f"""
                    saw(stream.{side}_body.complete, stream.{side}_body.read())
                    stream.{side}_body.replace(b'all new')
                """
                for side in ("request", "response")
            },
        },
        request=POST,
        answer=FULL,
    ),
    "reply to headers": Scenario(
        hooks=and_then(
            on_request_headers="""
                return Reply(403, b"no", headers=[("x-why", "r")], details="why not")
            """
        ),
        request=POST,
    ),
    "reply to a buffered body": Scenario(
        hooks=and_then(
            on_request_headers="return BUFFER",
            on_request_body="return BUFFER",
            on_request_trailers="return Reply(413, 'too much')",
        ),
        request=POST,
    ),
    "reply to a held response": Scenario(
        hooks=and_then(
            on_response_headers="return BUFFER",
            on_response_body="return Reply(502, b'bad')",
        ),
        request=POST,
        answer=FULL,
    ),
    "reply to a gRPC call": Scenario(
        hooks=and_then(on_request_headers="return Reply(403, 'no 100 %')"),
        request=Request(method=b"POST", headers=[GRPC], body=[b"\0\0\0\0\0"]),
    ),
    "reply by call, and twice": Scenario(
        hooks=and_then(
            on_request_headers="""
                stream.reply(Reply(429))
                saw(refusal(lambda: stream.reply(Reply(430))))
            """
        ),
    ),
    "reply in pieces": Scenario(
        hooks={
            "on_request_headers": """
                stream.start_response(207, [('x-kind', 'pieces')])
                saw(refusal(lambda: stream.start_response(200)))
                stream.send_response_data(b'one ')
                stream.send_response_data(b'two')
                stream.send_response_trailers([('x-sum', '7')])
                saw(refusal(lambda: stream.send_response_data(b'late')))
                return PAUSE
            """
        },
        ends_inside=True,
    ),
    "pause": Scenario(
        hooks=and_then(
            on_request_headers="in_thread(stream.resume_request); return PAUSE",
            on_response_headers="in_thread(stream.resume_response); return PAUSE",
        ),
        request=POST,
        answer=FULL,
    ),
    "work on the worker": Scenario(
        hooks={
            "on_request_headers": """
                def later(stream):
                    saw('later', stream.request_headers.get('x-one'))
                    stream.request_headers.set('x-one', b'late')
                    stream.resume_request()
                in_thread(lambda: stream.run_on_worker(later))
                return PAUSE
            """
        },
        request=POST,
    ),
    "a hook that raises": Scenario(
        hooks=and_then(on_request_headers="raise RuntimeError('boom')"), request=POST
    ),
    "a hook that raises, allowed": Scenario(
        hooks=and_then(on_request_body="raise SystemExit('boom')"),
        request=POST,
        answer=FULL,
        config={"on_error": "allow"},
    ),
    "a response hook that raises": Scenario(
        hooks=and_then(on_response_headers="1 / 0"), request=POST, answer=FULL
    ),
    "no verdict": Scenario(hooks=and_then(on_request_headers="return 1")),
    "metadata": Scenario(
        hooks={
            "on_request_headers": """
                data = stream.metadata
                saw(data.get('theirs', 'who'), data.get('theirs', 'n'), data.get('theirs', 'none'))
                for key, value in {'s': 'x', 'n': 2, 'b': True, 'l': ['p', 'q']}.items():
                    data.set('ours', key, value)
                data.set('ours', 'l', ['r'])
                data.set('ours', 's', 'y')
                saw({key: data.get('ours', key) for key in sorted(data.keys('ours'))})
                saw(type(data.get('ours', 'n')).__name__, sorted(data.namespaces()))
                saw(refusal(lambda: data.set('ours', 'x', None)), data.keys('none'))
                saw(stream.route_metadata.get('e2e', 'of'))
            """
        },
        metadata={"who": "them", "n": 3.0},
    ),
    "filter state": Scenario(
        hooks={
            "on_request_headers": """
                state = stream.filter_state
                saw(state.get('k'), 'k' in state, refusal(lambda: state['k']))
                state['k'] = b'v\\x00\\xff'
                saw(state.get('k'), 'k' in state)
            """,
            "on_stream_complete": "saw(stream.filter_state['k'])",
        },
    ),
    "route config": Scenario(
        hooks={"on_request_headers": "saw(stream.route_config.tenant, stream.route_config.limit)"},
        route={"tenant": "acme", "limit": 3},
    ),
    "no route config": Scenario(hooks={"on_request_headers": "saw(stream.route_config)"}),
    "odds and ends": Scenario(
        hooks={
            "on_request_headers": """
                self.hits.add(stream, 2); stream.add_custom_flag('X')
                saw(stream.worker_index, stream.attribute('request.useragent'))
                saw(refusal(lambda: stream.attribute('no.such')), stream.filter is self)
                saw(refusal(lambda: self.by_tenant.add(stream, 1, 'a')))
                saw(refusal(stream.resume_request), refusal(stream.resume_response))
                stream.data['kept'] = 1
            """,
            "on_stream_complete": """
                saw(stream.data, refusal(lambda: stream.reply(Reply(200))))
            """,
        },
    ),
    "other threads": Scenario(
        hooks={
            "on_request_headers": """
                def elsewhere():
                    saw(refusal(lambda: stream.request_headers.get('x')),
                        refusal(lambda: stream.worker_index), refusal(lambda: stream.reset()))
                in_thread(elsewhere).join()
            """
        },
    ),
}

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
        [ast.literal_eval(line) for line in whole_lines(seen)], _upstream(fake), _downstream(fake)
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
    return Outcome(here.seen(), upstream, _client(got))


def _client(got: Response) -> tuple[int, Pairs, bytes, Pairs]:
    return got.status, own(got.headers), got.body, own(got.trailers)


@pytest.mark.parametrize("name", SCENARIOS)
def test_same(site: SiteMaker, release: str, protocol: str, tmp_path: Path, name: str) -> None:
    """Hooks see the same, and the upstream and the client get the same."""
    scenario = SCENARIOS[name]
    ends_inside = scenario.ends_inside and release != "1.40.0" and protocol == "HTTP/1.1"
    expected = real(scenario, site, protocol)
    assert expected == faked(scenario, tmp_path, ends_inside=ends_inside)
