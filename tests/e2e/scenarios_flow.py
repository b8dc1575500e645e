# SPDX-License-Identifier: Apache-2.0
"""Verdicts, replies and failures, for the fake and for the real Envoy."""

from __future__ import annotations

from .messages import Request
from .scenarios import BODY, FULL, POST, Scenario, and_then

GRPC = Request(
    method=b"POST", headers=[(b"content-type", b"application/grpc")], body=[b"\0\0\0\0\0"]
)
ONCE = """
    if {name!r} not in stream.data:
        stream.data[{name!r}] = True
        {work}
"""
FLOW = {
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
        request=GRPC,
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
    "an answer that cannot be sent": Scenario(
        hooks=and_then(on_request_headers="return Reply(403, details=b'not_allowed')"),
        request=POST,
    ),
    "an answer that cannot be sent, allowed": Scenario(
        hooks=and_then(on_request_headers="return Reply(403, details=None)"),
        request=POST,
        answer=FULL,
        config={"on_error": "allow"},
    ),
    "a gRPC answer that cannot be sent": Scenario(
        hooks=and_then(
            on_request_headers="""
                reply = Reply(403)
                object.__setattr__(reply, "grpc_message", 1.5)
                return reply
            """
        ),
        request=GRPC,
    ),
    "a response's answer that cannot be sent": Scenario(
        hooks=and_then(
            on_response_headers="""
                reply = Reply(403)
                object.__setattr__(reply, "body", 5)
                return reply
            """
        ),
        request=POST,
        answer=FULL,
    ),
    "a reset that cannot be sent": Scenario(
        hooks=and_then(on_response_headers="stream.reset(details=5)"),
        request=POST,
        answer=FULL,
    ),
    "a reset for no reason": Scenario(
        hooks=and_then(on_response_headers="stream.reset('x')"), request=POST, answer=FULL
    ),
    "a piece that cannot be sent": Scenario(
        hooks={
            "on_request_body": """
                saw(refusal(lambda: stream.start_response(99)))
                stream.start_response(200)
                saw(refusal(lambda: stream.send_response_data('text', end_of_stream=True)))
                stream.send_response_data(b'bytes', end_of_stream=True)
            """
        },
        request=BODY,
        ends_inside=True,
    ),
    "pieces to HEAD": Scenario(
        request=Request(method=b"HEAD"),
        hooks={
            "on_request_headers": """
                stream.start_response(200, [('x-kind', 'pieces')])
                stream.send_response_data(b'HTTP/1.1 200 OK')
                stream.send_response_data(b'', end_of_stream=True)
                saw(refusal(lambda: stream.send_response_data(b'late')))
            """
        },
        ends_inside=True,
    ),
    "reply to HEAD": Scenario(
        request=Request(method=b"HEAD"),
        hooks=and_then(on_request_headers="return Reply(403, b'no')"),
    ),
    "pieces of no content": Scenario(
        hooks={
            "on_request_headers": """
                stream.start_response(204)
                saw(refusal(lambda: stream.send_response_data(b'x')))
                stream.send_response_trailers([('x-end', '1')])
            """
        },
        ends_inside=True,
    ),
    "replies of no content": Scenario(
        hooks={
            "on_request_headers": """
                saw([refusal(lambda: Reply(status, 'x')) for status in (204, 304)])
                return Reply(304)
            """
        },
    ),
    "no verdict": Scenario(hooks=and_then(on_request_headers="return 1")),
    "pause at the headers": Scenario(
        request=POST,
        hooks={
            "on_request_headers": "in_thread(stream.resume_request); return PAUSE",
            "on_request_trailers": "saw(stream.request_trailers.items())",
        },
    ),
    "pause, then the body at once": Scenario(
        request=BODY,
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.run_on_worker(lambda s: s.resume_request()))
                return PAUSE
            """,
            "on_request_body": """
                if end_of_stream:
                    saw(stream.request_body.complete)
                else:
                    return BUFFER
            """,
        },
    ),
    "pause in the body": Scenario(
        request=POST,
        answer=FULL,
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
        request=POST,
        answer=FULL,
        hooks={
            "on_request_trailers": "in_thread(stream.resume_request); return PAUSE",
            "on_response_trailers": "in_thread(stream.resume_response); return PAUSE",
        },
    ),
    "resume before the pause": Scenario(
        request=BODY,
        hooks={
            "on_request_headers": "stream.resume_request(); return PAUSE",
            "on_response_headers": "in_thread(stream.resume_response).join(); return PAUSE",
        },
    ),
    "buffer and resume": Scenario(
        request=BODY,
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
    "reply from another thread": Scenario(
        request=BODY,
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.reply(Reply(401, b'late')))
                return PAUSE
            """,
        },
    ),
    "reply to the response": Scenario(
        request=BODY,
        hooks={
            "on_response_headers": "return Reply(502, 'bad', {'x-e2e-why': 'rule'})",
            "on_local_reply": "saw(reply.status)",
        },
    ),
    "gRPC failure": Scenario(
        request=GRPC,
        hooks={"on_request_headers": "raise ValueError('mine')"},
    ),
    "echo in pieces": Scenario(
        request=BODY,
        hooks={
            "on_request_headers": "stream.start_response(200)",
            "on_request_body": """
                data = stream.request_body.read()
                if data or end_of_stream:
                    stream.send_response_data(data, end_of_stream=end_of_stream)
            """,
        },
    ),
    "failure while it is held, allow": Scenario(
        request=BODY,
        config={"on_error": "allow"},
        hooks={
            "on_request_headers": """
                in_thread(lambda: stream.run_on_worker(lambda s: 1 / 0))
                return PAUSE
            """,
        },
    ),
    "failure in the response": Scenario(request=BODY, hooks={"on_response_headers": "return 5"}),
    "failure at the end": Scenario(
        request=BODY, hooks={"on_stream_complete": "raise KeyboardInterrupt"}
    ),
    "second reply": Scenario(
        request=BODY, hooks={"on_request_headers": "stream.reply(Reply(403)); return Reply(404)"}
    ),
}
