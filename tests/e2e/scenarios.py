# SPDX-License-Identifier: Apache-2.0
"""What a filter sees and changes, for the fake and for the real Envoy."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

from .messages import Answer, Request


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
BODY = Request(method=b"POST", headers=[(b"x-one", b"1")], body=[b"request"])
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


COLLECT = """
    if not end_of_stream:
        return BUFFER
    saw(stream.{side}_body.complete)
    {change}
"""


SEEING = {
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
                saw([refusal(lambda: headers.set(name, value)) for name, value in (
                    (':path', b'/a HTTP/1.1 b'), (':path', b'/a\\x01'), (':method', b'GET /a'),
                    (':authority', b'a b'), ('host', b'a\\tb'), (':scheme', b' '))])
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
    "bodies where they cannot be changed": Scenario(
        hooks={
            "on_request_body": """
                body = stream.response_body
                saw(refusal(lambda: body.append(b'x')), refusal(lambda: body.drain(0)))
                return PAUSE if stream.request_body.size else None
            """,
            "on_request_trailers": """
                saw(stream.request_body.complete)
                saw(refusal(lambda: setattr(stream, 'buffer_limit', 1)), stream.buffer_limit > 1)
                stream.reply(Reply(403, b'no'))
                saw(refusal(lambda: stream.request_body.append(b'x')))
            """,
            "on_local_reply": """
                saw(refusal(lambda: stream.request_body.drain(1)),
                    refusal(lambda: stream.response_body.append(b'x')),
                    refusal(lambda: setattr(stream, 'buffer_limit', 1 << 20)))
            """,
            "on_stream_complete": """
                saw(refusal(lambda: stream.response_body.replace(b'x')),
                    refusal(lambda: setattr(stream, 'buffer_limit', 1 << 20)))
            """,
        },
        request=POST,
        answer=FULL,
    ),
    "bodies changed on the way back": Scenario(
        hooks={
            "on_response_headers": """
                saw(refusal(lambda: stream.request_body.append(b'x')),
                    refusal(lambda: stream.request_body.replace(b'x')))
            """,
            "on_stream_complete": "saw(refusal(lambda: stream.request_body.drain(0)))",
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
    "maps that are not there": Scenario(
        request=BODY,
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
        request=BODY,
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
        request=BODY,
        hooks={
            "on_request_headers": "stream.request_headers.remove('content-length')",
            "on_request_body": """
                stream.request_body.replace(stream.request_body.read().upper())
            """,
        },
    ),
    "body is changed in the trailers": Scenario(
        request=POST,
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
        request=POST,
        answer=FULL,
        hooks={
            "on_request_trailers": "stream.request_trailers.set('x-last', '2')",
            "on_response_trailers": "stream.response_trailers.add('x-e2e-more', '3')",
        },
    ),
    "state and metadata": Scenario(
        request=BODY,
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
        request=BODY,
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
