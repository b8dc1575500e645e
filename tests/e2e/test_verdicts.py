# SPDX-License-Identifier: Apache-2.0
"""What each verdict does to the traffic: pass, pause, buffer, replies whole and in pieces."""

from __future__ import annotations

import pytest

from .conftest import SiteMaker
from .messages import Answer, Gate, Request
from .site import Site
from .waiting import until

REQUEST_PHASES = ("on_request_headers", "on_request_body", "on_request_trailers")
RESPONSE_PHASES = ("on_response_headers", "on_response_body", "on_response_trailers")
ANSWER = Answer(body=[b"one", b"two"], trailers=[(b"x-end", b"1")])


def full(site: Site, answer: Answer = ANSWER) -> Request:
    """Give a request that reaches every phase."""
    return Request(
        method=b"POST",
        path=site.upstream.serve(answer),
        headers=[(b"te", b"trailers")],
        body=[b"abc", b"def"],
        trailers=[(b"x-last", b"1")],
    )


@pytest.mark.parametrize("phase", REQUEST_PHASES + RESPONSE_PHASES)
@pytest.mark.parametrize("verdict", ["None", "PASS"])
def test_pass(site: SiteMaker, phase: str, verdict: str) -> None:
    """Nothing said, or PASS: everything goes on as it came."""
    here = site({phase: f"return {verdict}"})
    request = full(here)
    got = here.fetch("HTTP/2", request)
    (came,) = here.upstream.received(request.path)

    assert (200, b"onetwo", [(b"x-end", b"1")]) == (got.status, got.body, got.trailers)
    assert (b"abcdef", [(b"x-last", b"1")]) == (b"".join(came.body), came.trailers)


@pytest.mark.parametrize("phase", REQUEST_PHASES + RESPONSE_PHASES)
@pytest.mark.parametrize("thread", ["worker", "other"])
def test_pause_and_resume(site: SiteMaker, protocol: str, phase: str, thread: str) -> None:
    """What was paused goes on when somebody resumes it, on the worker or from another thread."""
    side = "request" if phase in REQUEST_PHASES else "response"
    resume = f"lambda *_: stream.resume_{side}()"
    way = f"stream.run_on_worker({resume})" if thread == "worker" else f"in_thread({resume})"
    hook = f"""
        if {phase!r} not in stream.data:
            stream.data[{phase!r}] = True
            {way}
            return PAUSE
    """
    here = site({phase: hook})
    request = full(here)
    got = here.fetch(protocol, request)
    (came,) = here.upstream.received(request.path)

    assert (200, b"onetwo", True) == (got.status, got.body, got.whole)
    assert [(b"x-end", b"1")] == got.trailers
    assert (b"abcdef", [(b"x-last", b"1")]) == (b"".join(came.body), came.trailers)


def test_pause_holds(site: SiteMaker, protocol: str) -> None:
    """Before the resume nothing reaches the upstream."""
    here = site(
        {
            "on_request_headers": """
                kept[stream.request_headers.get('x-key')] = stream
                saw('paused')
                return PAUSE
            """,
            "on_stream_complete": "saw('complete')",
        }
    )
    path = here.upstream.serve(Answer())
    with here.client(protocol) as client:
        client.open(Request(path=path, headers=[(b"x-key", b"hold")]), ends=True)
        assert ["paused"] == here.seen(1)
        client.abort()
    assert ["paused", "complete"] == here.seen(2)
    assert here.oracle()[0]["upstream_host"] is None


def test_pause_in_the_request_holds_its_trailers(site: SiteMaker, protocol: str) -> None:
    """A pause is not ended by a hook that the class does not have."""
    here = site(
        {
            "on_request_body": """
                if 'x-key' in stream.request_headers:
                    saw('paused')
                    return PAUSE
            """
        }
    )
    path = here.upstream.serve(Answer())
    with here.client(protocol) as client:
        headers = [(b"te", b"trailers"), (b"x-key", b"hold")]
        client.open(Request(method=b"POST", path=path, headers=headers), ends=False)
        client.send(b"abc")
        assert ["paused"] == here.seen(1)
        client.send_trailers([(b"x-last", b"1")])
        assert 200 == here.fetch(protocol).status  # so the only worker has seen the trailers
        assert [] == here.upstream.received(path)
        client.abort()


def test_pause_in_the_response_holds_its_trailers(site: SiteMaker, protocol: str) -> None:
    """The same of a response: the client gets nothing of what is held."""
    here = site(
        {
            "on_response_body": """
                if 'x-key' in stream.request_headers and not stream.data:
                    stream.data['paused'] = True
                    saw('paused')
                    return PAUSE
            """
        }
    )
    path = here.upstream.serve(ANSWER)
    with here.client(protocol) as client:
        client.open(Request(path=path, headers=[(b"x-key", b"hold")]), ends=True)
        assert ["paused"] == here.seen(1)
        assert 200 == here.fetch(protocol).status
        client.abort()
    assert 0 == next(line for line in here.oracle(2) if line["path"] == path.decode())["bytes_sent"]


@pytest.mark.parametrize("side", ["request", "response"])
def test_buffer(site: SiteMaker, protocol: str, side: str) -> None:
    """A buffered body goes on in one, after its last piece; the hook sees each piece and all."""
    here = site(
        {
            f"on_{side}_headers": "return BUFFER",
            f"on_{side}_body": f"""
                body = stream.{side}_body
                stream.data.setdefault('read', []).append(body.read())
                if not end_of_stream:
                    return BUFFER
                saw(b''.join(stream.data['read']), body.complete)
            """,
        }
    )
    gate = Gate()
    answer = Answer(body=[b"one", b"two"], wait_in_body=gate, headers=[(b"x-up", b"1")])
    path = here.upstream.serve(answer)
    with here.client(protocol) as client:
        client.open(Request(method=b"POST", path=path), ends=False)
        client.send(b"abc")
        client.send(b"def", ends=True)
        until(lambda: here.upstream.received(path), "the request at the upstream")
        gate.open()
        got = client.finish()
    (came,) = here.upstream.received(path)

    assert (200, b"onetwo", b"abcdef") == (got.status, got.body, b"".join(came.body))
    whole = b"abcdef" if side == "request" else b"onetwo"
    assert [(whole, whole)] == here.seen(1)


@pytest.mark.parametrize("phase", REQUEST_PHASES)
def test_reply_to_a_request(site: SiteMaker, protocol: str, phase: str) -> None:
    """A reply answers the client, with its headers, body and details; the upstream sees nothing."""
    reply = "Reply(403, b'no', headers=[('x-why', b'rule 1')], details='e2e_denied')"
    hooks = dict.fromkeys(REQUEST_PHASES[:2], "return BUFFER")
    here = site({**hooks, phase: f"return {reply}"})
    request = full(here)
    got = here.fetch(protocol, request)
    (told,) = here.oracle()

    assert (403, b"no", b"rule 1", True) == (got.status, got.body, got.get(b"x-why"), got.whole)
    assert (403, "e2e_denied") == (told["response_code"], told["response_code_details"])
    assert [] == here.upstream.received(request.path)
    assert told["upstream_host"] is None


@pytest.mark.parametrize("phase", RESPONSE_PHASES)
def test_reply_to_a_response(site: SiteMaker, protocol: str, phase: str) -> None:
    """As long as the response's headers are held, a reply takes the response's place."""
    hooks = dict.fromkeys(RESPONSE_PHASES[:2], "return BUFFER")
    here = site({**hooks, phase: "return Reply(502, b'bad upstream', details='e2e_bad')"})
    got = here.fetch(protocol, full(here))
    (told,) = here.oracle()

    assert (502, b"bad upstream", True) == (got.status, got.body, got.whole)
    assert (502, "e2e_bad") == (told["response_code"], told["response_code_details"])


# Envoy would answer 200 and grpc-status 0, which looks like success, to most of these.
GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 500: 2}


def test_reply_denies_grpc(site: SiteMaker) -> None:
    """A reply to a gRPC call is an error for the client's library, by the usual mapping."""
    here = site(
        {
            "on_request_headers": """
                status = int(stream.request_headers.get('x-status'))
                return Reply(status, 'no: 100 % söre'.encode())
            """
        }
    )
    for status, code in GRPC_STATUS.items():
        got = here.grpc(metadata=[("x-status", str(status))])
        assert (code, "no: 100 % söre") == (got.code, got.message)
    assert list(GRPC_STATUS.values()) == [
        line["grpc_status"] for line in here.oracle(len(GRPC_STATUS))
    ]


def test_reply_with_a_grpc_status(site: SiteMaker) -> None:
    """A status and a message that the filter chose are what the client gets."""
    reply = "return Reply(403, b'unused', grpc_status=9, grpc_message='not before\\nnoon')"
    here = site({"on_request_headers": reply})
    got = here.grpc()
    assert (9, "not before\nnoon", []) == (got.code, got.message, got.answers)


def test_reply_by_call(site: SiteMaker, protocol: str) -> None:
    """``stream.reply`` is the same as returning it; what the hook returns then is of no matter."""
    here = site({"on_request_headers": "stream.reply(Reply(429, b'slow down'))"})
    got = here.fetch(protocol)
    assert (429, b"slow down", True) == (got.status, got.body, got.whole)


def test_reply_later(site: SiteMaker, protocol: str) -> None:
    """A paused request can be answered later, from the worker."""
    here = site(
        {
            "on_request_headers": """
                in_thread(lambda: stream.run_on_worker(lambda s: s.reply(Reply(401, b'late'))))
                return PAUSE
            """
        }
    )
    got = here.fetch(protocol)
    assert (401, b"late", True) == (got.status, got.body, got.whole)


def test_reply_in_pieces(site: SiteMaker, protocol: str) -> None:
    """Headers, data and trailers of a reply can be sent one after the other."""
    here = site(
        {
            "on_request_headers": """
                stream.start_response(207, [('x-kind', b'pieces')])
                stream.send_response_data(b'one ', end_of_stream=False)
                stream.send_response_data(b'two', end_of_stream=False)
                stream.send_response_trailers([('x-sum', b'7')])
                return PAUSE
            """
        }
    )
    got = here.fetch(protocol)

    assert (207, b"one two", b"pieces") == (got.status, got.body, got.get(b"x-kind"))
    assert [(b"x-sum", b"7")] == got.trailers
    assert 207 == here.oracle()[0]["response_code"]


def test_reply_in_pieces_ends_with_data(site: SiteMaker, protocol: str) -> None:
    """The last piece may be the data."""
    here = site(
        {
            "on_request_headers": """
                stream.start_response(200, [])
                stream.send_response_data(b'all', end_of_stream=True)
                return PAUSE
            """
        }
    )
    got = here.fetch(protocol)
    assert (200, b"all", True) == (got.status, got.body, got.whole)


@pytest.mark.parametrize("returned", ["0", "True", "'pass'", "b''", "Reply"])
def test_not_a_verdict(site: SiteMaker, returned: str) -> None:
    """Anything else that a hook returns is a failure of the hook."""
    here = site({"on_request_headers": f"return {returned}"})
    assert 500 == here.fetch().status
    assert 1 == here.stat("hook_errors")


def test_resume_of_a_request_that_was_answered(site: SiteMaker, protocol: str) -> None:
    """The upstream resets, Envoy answers; a resume from within that does not send the body on."""
    hooks = {
        "on_request_body": "return PAUSE",
        "on_response_headers": "saw(stream.response_headers[':status']); stream.resume_request()",
    }
    here = site(hooks)
    path = here.upstream.serve(Answer(early=True, reset="before_headers"))
    for count in range(1, 11):
        assert 503 == here.fetch(protocol, method=b"POST", path=path, body=[b"held"]).status
        here.oracle(count)
        assert [b"503"] * count == here.seen(count)
