# SPDX-License-Identifier: Apache-2.0
"""
The same filters on a fake and on a real Envoy: they must see and do the same.

What a user proves with ``envoy_pyfilter.testing`` is worth as much as the fake is like Envoy. Each
scenario runs on both; compared are what the filter saw, what the upstream and the client got, and
how many hooks failed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter.testing import FakeStream, run_stream

from . import filters
from .conftest import SiteMaker
from .messages import Answer, Pairs, Request

HEADERS = [(b"x-e2e-a", b"1"), (b"x-e2e-a", b"2")]
POST = Request(method=b"POST", headers=HEADERS, body=[b"request"])
WHOLE = Request(
    method=b"POST",
    headers=[*HEADERS, (b"te", b"trailers")],
    body=[b"request"],
    trailers=[(b"x-e2e-end", b"1")],
)
GRPC = Request(
    method=b"POST", headers=[(b"content-type", b"application/grpc")], body=[b"\0\0\0\0\0"]
)
ANSWER = Answer(headers=[(b"x-e2e-up", b"1")], body=[b"response"])
WHOLE_ANSWER = Answer(
    headers=[(b"x-e2e-up", b"1")], body=[b"response"], trailers=[(b"x-e2e-last", b"1")]
)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Hooks, as texts, and what they meet."""

    hooks: dict[str, str]
    request: Request = POST
    answer: Answer = ANSWER
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What can be compared: not the headers that Envoy or a client's library adds."""

    seen: list[Any]
    upstream: tuple[object, ...] | None
    client: tuple[object, ...]
    failed: int


COLLECT = """
    if not end_of_stream:
        return BUFFER
    saw(stream.{side}_body.complete)
    {change}
"""
ONCE = """
    if {name!r} not in stream.data:
        stream.data[{name!r}] = True
        {work}
"""
SCENARIOS: dict[str, Scenario] = {
    "everything is seen": Scenario(
        request=WHOLE,
        answer=WHOLE_ANSWER,
        hooks={
            "on_request_headers": "saw(stream.request_headers.get_all('x-e2e-a'), end_of_stream)",
            "on_request_trailers": "saw(stream.request_trailers.items())",
            "on_response_headers": "saw(stream.response_headers['x-e2e-up'], end_of_stream)",
            "on_response_trailers": "saw(stream.response_trailers.items())",
            "on_stream_complete": """
                saw(stream.request_headers[':method'], stream.response_headers[':status'])
            """,
        },
    ),
    "headers are changed": Scenario(
        hooks={
            "on_request_headers": """
                stream.request_headers.set('X-E2E-A', 'one')
                stream.request_headers.add('x-e2e-b', b'two')
                saw(stream.request_headers.get_all('x-e2e-a'), 'x-e2e-b' in stream.request_headers)
                stream.request_headers.set('x-e2e-gone', 'x')
                stream.request_headers.set('x-e2e-gone', '')
                saw('x-e2e-gone' in stream.request_headers)
            """,
            "on_response_headers": """
                stream.response_headers.remove('x-e2e-up')
                stream.response_headers.set(':status', '202')
            """,
        },
    ),
    "maps that are not there": Scenario(
        hooks={
            "on_request_headers": """
                saw(stream.response_headers.items(), stream.request_trailers.items())
                saw(refusal(lambda: stream.response_headers.set('a', 'b')))
                saw(refusal(lambda: stream.request_trailers.add('a', 'b')))
                stream.response_trailers.remove('a')
            """,
        },
    ),
    "body is replaced": Scenario(
        hooks={
            "on_request_headers": "stream.request_headers.remove('content-length'); return BUFFER",
            "on_request_body": COLLECT.format(
                side="request", change="stream.request_body.replace(b'other')"
            ),
            "on_response_headers": """
                stream.response_headers.remove('content-length')
                return BUFFER
            """,
            "on_response_body": COLLECT.format(
                side="response", change="stream.response_body.append(b'!')"
            ),
        },
    ),
    "body is changed while it passes": Scenario(
        hooks={
            "on_request_headers": "stream.request_headers.remove('content-length')",
            "on_request_body": """
                stream.request_body.replace(stream.request_body.read().upper())
            """,
        },
    ),
    "body is changed in the trailers": Scenario(
        request=WHOLE,
        hooks={
            "on_request_headers": "return BUFFER",
            "on_request_body": "return BUFFER",
            "on_request_trailers": """
                body = stream.request_body
                saw(body.complete, body.read(), body.read_buffered())
                body.drain(2)
                body.append(b'!')
                saw(body.complete)
            """,
        },
    ),
    "trailers are changed": Scenario(
        request=WHOLE,
        answer=WHOLE_ANSWER,
        hooks={
            "on_request_trailers": "stream.request_trailers.set('x-e2e-end', '2')",
            "on_response_trailers": "stream.response_trailers.add('x-e2e-more', '3')",
        },
    ),
    "pause at the headers": Scenario(
        request=WHOLE,
        hooks={
            "on_request_headers": "in_thread(stream.resume_request); return PAUSE",
            "on_request_trailers": "saw(stream.request_trailers.items())",
        },
    ),
    "pause, then the body at once": Scenario(
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.run_on_worker(lambda s: s.resume_request()))
                return PAUSE
            """,
            "on_request_body": """
                if end_of_stream:
                    saw(stream.request_body.complete)
                    stream.request_headers.set('x-e2e-late', 'too late')
                else:
                    return BUFFER
            """,
        },
    ),
    "pause in the body": Scenario(
        request=WHOLE,
        answer=WHOLE_ANSWER,
        hooks={
            "on_request_body": ONCE.format(
                name="a", work="in_thread(stream.resume_request); return PAUSE"
            ),
            "on_response_body": ONCE.format(
                name="b", work="in_thread(stream.resume_response); return PAUSE"
            ),
        },
    ),
    "pause in the trailers": Scenario(
        request=WHOLE,
        answer=WHOLE_ANSWER,
        hooks={
            "on_request_trailers": "in_thread(stream.resume_request); return PAUSE",
            "on_response_trailers": "in_thread(stream.resume_response); return PAUSE",
        },
    ),
    "resume before the pause": Scenario(
        hooks={
            "on_request_headers": "stream.resume_request(); return PAUSE",
            "on_response_headers": "in_thread(stream.resume_response).join(); return PAUSE",
        },
    ),
    "buffer and resume": Scenario(
        hooks={
            "on_request_headers": "return BUFFER",
            "on_request_body": """
                if end_of_stream:
                    return PASS
                in_thread(stream.resume_request).join()
                return BUFFER
            """,
        },
    ),
    "reply": Scenario(
        hooks={
            "on_request_headers": "return Reply(403, 'no', {'x-e2e-why': 'rule'}, details='e2e')",
            "on_local_reply": "saw(reply.status, reply.details, reply.reset_imminent)",
            "on_response_headers": "saw('never')",
            "on_stream_complete": "saw(stream.response_headers[':status'])",
        },
    ),
    "reply from another thread": Scenario(
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.reply(Reply(401, b'late')))
                return PAUSE
            """,
        },
    ),
    "reply to the response": Scenario(
        hooks={
            "on_response_headers": "return Reply(502, 'bad', {'x-e2e-why': 'rule'})",
            "on_local_reply": "saw(reply.status)",
        },
    ),
    "gRPC reply": Scenario(
        request=GRPC,
        hooks={"on_request_headers": "return Reply(429, 'not so fäst %')"},
    ),
    "gRPC failure": Scenario(
        request=GRPC,
        hooks={"on_request_headers": "raise ValueError('mine')"},
    ),
    "reply in pieces": Scenario(
        hooks={
            "on_request_headers": """
                stream.start_response(207, {'x-e2e-kind': 'pieces'})
                stream.send_response_data(b'one ')
                stream.send_response_data(b'two')
                stream.send_response_trailers({'x-e2e-sum': '7'})
                return PAUSE
            """,
            "on_response_headers": "saw('never')",
        },
    ),
    "echo in pieces": Scenario(
        hooks={
            "on_request_headers": "stream.start_response(200)",
            "on_request_body": """
                data = stream.request_body.read()
                if data or end_of_stream:
                    stream.send_response_data(data, end_of_stream=end_of_stream)
            """,
        },
    ),
    "failure, deny": Scenario(
        hooks={
            "on_request_headers": "raise SystemExit(3)",
            "on_stream_complete": "saw('never')",
        },
    ),
    "failure, allow": Scenario(
        config={"on_error": "allow"},
        hooks={
            "on_request_headers": "stream.request_headers.set('x-e2e-b', '1'); raise MemoryError",
            "on_response_headers": "saw('never')",
        },
    ),
    "failure while it is held, allow": Scenario(
        config={"on_error": "allow"},
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.run_on_worker(lambda s: 1 / 0))
                return PAUSE
            """,
        },
    ),
    "failure in the response": Scenario(hooks={"on_response_headers": "return 5"}),
    "failure at the end": Scenario(hooks={"on_stream_complete": "raise KeyboardInterrupt"}),
    "second reply": Scenario(
        hooks={"on_request_headers": "stream.reply(Reply(403)); return Reply(404)"}
    ),
    "state and metadata": Scenario(
        hooks={
            "on_request_headers": """
                stream.filter_state['e2e.a'] = 'b'
                stream.metadata.set('e2e', 'number', 5)
                stream.metadata.set('e2e', 'list', ['a'])
                stream.metadata.set('e2e', 'list', ['b'])
                stream.data['x'] = 1
            """,
            "on_stream_complete": """
                saw(stream.filter_state.get('e2e.a'), 'e2e.b' in stream.filter_state, stream.data)
                saw(stream.metadata.get('e2e', 'number'), stream.metadata.get('e2e', 'list'))
                saw(sorted(stream.metadata.keys('e2e')), stream.route_metadata.keys('e2e'))
                saw(stream.attribute('response.code'), stream.route_config)
            """,
        },
    ),
    "kept too long": Scenario(
        hooks={
            "on_request_headers": "kept['s'] = stream; stream.keep_reachable()",
            "on_response_headers": "saw(refusal(lambda: kept['s'].request_headers.items()))",
            "on_stream_complete": """
                saw(refusal(lambda: stream.reply(Reply(403))), refusal(stream.reset))
                in_thread(lambda: saw(refusal(lambda: stream.request_headers.items()))).join()
            """,
        },
    ),
}


def own(pairs: Pairs) -> list[tuple[bytes, bytes]]:
    """Headers of these tests, and gRPC's."""
    return [(name, value) for name, value in pairs if name.startswith((b"x-e2e", b"grpc-"))]


def on_envoy(site: SiteMaker, scenario: Scenario) -> tuple[Outcome, Request]:
    """Run it on the real one."""
    here = site(scenario.hooks, config=scenario.config)
    path = here.upstream.serve(scenario.answer)
    request = Request(**{**vars(scenario.request), "path": path})
    got = here.fetch("HTTP/2", request)
    here.oracle(1)
    came = here.upstream.received(path)
    outcome = Outcome(
        seen=here.seen(),
        upstream=(own(came[0].headers), b"".join(came[0].body), list(came[0].trailers))
        if came
        else None,
        client=(got.status, own(got.headers), got.body, list(got.trailers), got.whole),
        failed=here.stat("hook_errors"),
    )
    return outcome, request


def on_fake(scenario: Scenario, request: Request, folder: Path) -> Outcome:
    """Run it on the fake."""
    seen = folder / "fake.seen"
    name = filters.class_name("Scripted", scenario.hooks)
    config = filters.Script(hooks=scenario.hooks, seen=str(seen), **scenario.config)
    fake: FakeStream = run_stream(
        getattr(filters, name)(config),
        request_headers=[
            (b":method", request.method),
            (b":path", request.path),
            *request.headers,
        ],
        request_body=request.body,
        request_trailers=request.trailers or None,
        response_headers=scenario.answer.headers,
        response_body=scenario.answer.body,
        response_trailers=scenario.answer.trailers or None,
    )
    up, down = fake.upstream, fake.downstream
    return Outcome(
        seen=[ast.literal_eval(line) for line in seen.read_text().splitlines()]
        if seen.exists()
        else [],
        upstream=None if up.headers is None else (own(up.headers), up.body, up.trailers or []),
        client=(down.status, own(down.headers or []), down.body, down.trailers or [], down.ended),
        failed=len(fake.failed_hooks),
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_on_the_fake(site: SiteMaker, tmp_path: Path, name: str) -> None:
    """What the fake does, Envoy does."""
    scenario = SCENARIOS[name]
    real, request = on_envoy(site, scenario)
    assert real == on_fake(scenario, request, tmp_path)
