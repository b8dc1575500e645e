# SPDX-License-Identifier: Apache-2.0
"""Streams used too late, from a wrong thread, or from within the call that ended them."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SiteMaker
from .envoy import Envoy
from .messages import Answer, Request
from .site import STEPS, Site
from .upstream import Upstream
from .waiting import until

# Every way to use a stream; each is an error once the stream is over.
USES = {
    "headers": "stream.request_headers.get('x')",
    "set header": "stream.response_headers.set('x', 'y')",
    "add header": "stream.request_headers.add('x', 'y')",
    "remove header": "stream.request_headers.remove('x')",
    "iterate": "list(stream.request_trailers)",
    "body": "stream.request_body.read()",
    "body size": "stream.response_body.size",
    "buffered": "stream.response_body.read_buffered()",
    "replace body": "stream.request_body.replace(b'x')",
    "drain body": "stream.request_body.drain(1)",
    "append": "stream.request_body.append(b'x')",
    "attribute": "stream.attribute('request.path')",
    "number": "stream.attribute('response.code')",
    "flag": "stream.attribute('connection.mtls')",
    "state": "stream.filter_state.get('k')",
    "set state": "stream.filter_state.set('k', b'v')",
    "metadata": "stream.metadata.get('n', 'k')",
    "set metadata": "stream.metadata.set('n', 'k', ['v'])",
    "keys": "stream.metadata.keys('n')",
    "route metadata": "stream.route_metadata.namespaces()",
    "route config": "stream.route_config",
    "reply": "stream.reply(Reply(403))",
    "start response": "stream.start_response(200)",
    "reset": "stream.reset()",
    "clear route": "stream.clear_route_cache()",
    "clear cluster": "stream.clear_route_cluster_cache()",
    "flag it": "stream.add_custom_flag('X')",
    "worker": "stream.worker_index",
    "limit": "stream.buffer_limit",
    "note": "stream.record.note('k', 1)",
    "counter": "self.hits.add(stream)",
    "gauge": "self.open_now.set(stream, 1)",
}
ANY_THREAD = {
    "resume request": "stream.resume_request()",
    "run": "stream.run_on_worker(lambda s: None)",
}
ALL_USES = {**USES, **ANY_THREAD, "resume response": "stream.resume_response()"}


def refusals(uses: dict[str, str]) -> str:
    """Code that tries each use of *stream* and tells which exceptions they raise."""
    calls = ", ".join(f"{name!r}: refusal(lambda: {code})" for name, code in uses.items())
    return f"saw({{{calls}}})"


def test_kept_too_long(site: SiteMaker, protocol: str) -> None:
    """A stream that a filter kept beyond its end raises StreamGone, whatever is asked of it."""
    here = site(
        {
            "on_request_headers": f"""
                old = self.__dict__.get('kept')
                if old is None:
                    self.kept = stream
                    stream.request_headers.get('x'); stream.metadata; stream.data['mine'] = 1
                else:
                    stream = old
                    {refusals(ALL_USES)}
                    saw(stream.data, stream.failed)
            """
        }
    )
    for _ in range(2):
        assert 200 == here.fetch(protocol).status
        here.envoy.get("/ready")
    assert [dict.fromkeys(ALL_USES, "StreamGone"), ({"mine": 1}, False)] == here.seen(2)
    assert 0 == here.stat("hook_errors")


def test_wrong_thread(site: SiteMaker, protocol: str) -> None:
    """On another thread all but the ways to wake the stream raise WrongThread."""
    # A reply from another thread is passed on to the worker.
    uses = {name: code for name, code in USES.items() if name != "reply"}
    here = site(
        {
            "on_request_headers": f"""
                def elsewhere():
                    {refusals(uses)}
                in_thread(elsewhere).join()
            """
        }
    )
    assert 200 == here.fetch(protocol).status
    assert [dict.fromkeys(uses, "WrongThread")] == here.seen(1)


def test_woken_after_the_end(site: SiteMaker, protocol: str) -> None:
    """Whoever comes too late with a resume gets StreamGone and does no harm."""
    here = site(
        {
            "on_request_headers": """
                if stream.request_headers.get('x-first'):
                    self.kept = stream
                    return PAUSE
            """,
            "on_stream_complete": """
                if stream is not getattr(self, 'kept', None):
                    old = self.kept
                    in_thread(lambda: saw(refusal(old.resume_request), refusal(old.resume_response),
                                          refusal(lambda: old.run_on_worker(lambda s: None)),
                                          refusal(lambda: old.reply(Reply(403)))))
            """,
        }
    )
    with here.client(protocol) as client:
        client.open(Request(headers=[(b"x-first", b"1")]), ends=True)
        here.fetch()
        first, *others = here.seen(1)[0]
        assert first == ""  # it still lives, and may end of this
        assert {"", "StreamGone"} >= set(others)
        assert client.read_head().status in {200, 403}
    here.oracle(2)
    here.fetch()
    assert ["StreamGone"] * 4 == list(here.seen(2)[-1])


ENDINGS = {
    "reset": "stream.reset()",
    "reply": "stream.reply(Reply(403, b'no'))",
    "whole reply in pieces": """
stream.start_response(200)
stream.send_response_data(b'x', end_of_stream=True)
""",
    "reply that ends with its headers": "stream.start_response(204, end_of_stream=True)",
    "reply with trailers": """
stream.start_response(200)
stream.send_response_trailers([('x-t', '1')])
""",
    "reply then reset": """
stream.start_response(200)
stream.reset()
""",
}
# What a use of a stream that its filter ended may come to: it works, or is refused with a reason.
REFUSALS = {"", "StreamGone", "RuntimeError", "LookupError", "ValueError"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("hook", STEPS)
def test_ended_from_within(site: SiteMaker, protocol: str, hook: str, ending: str) -> None:
    """
    A hook may end its own stream and then go on using it.

    Up to 1.39 Envoy destroys the stream inside that call. Each use then raises StreamGone or still
    works; it never crashes, and the next request is served.
    """
    lines = ENDINGS[ending].strip().splitlines()
    attempts = "\n".join(f"    refusal(lambda: {line})" for line in lines)
    # Envoy's log calls it a bug of Envoy when a route is cleared after the response began.
    uses = {name: code for name, code in ALL_USES.items() if not name.startswith("clear")}
    here = site(
        {
            **dict.fromkeys(STEPS, "pass"),
            hook: f"if stream.request_headers.get('x-end'):\n{attempts}\n    {refusals(uses)}",
            "on_stream_complete": "stream.request_headers.get('x')",
        }
    )
    answer = Answer(body=[b"one", b"two"], trailers=[(b"x-end", b"1")])
    request = Request(
        method=b"POST",
        path=here.upstream.serve(answer),
        headers=[(b"x-end", b"1"), (b"te", b"trailers")],
        body=[b"abc"],
        trailers=[(b"x-last", b"1")],
    )
    here.fetch(protocol, request)

    for found in here.seen():
        assert set(found.values()) <= REFUSALS, found
    assert 200 == here.fetch(protocol).status
    assert here.envoy.alive


def test_ended_by_what_another_streams_hook_adds(site: SiteMaker, protocol: str) -> None:
    """
    A held body that a hook of another stream makes too large is answered with 413 at once.

    Up to 1.39 Envoy destroys the stream inside that call, with no hook of it on the stack.
    """
    here = site(
        {
            "on_request_headers": """
                if stream.request_headers.get('x-other'):
                    body = kept.pop('held').request_body
                    saw(refusal(lambda: body.append(b'x' * 100_000)))
                    saw(refusal(body.read) in ('', 'StreamGone'))
                    return Reply(200)
                stream.buffer_limit = 1000
            """,
            "on_request_body": "kept['held'] = stream\nsaw('held')\nreturn BUFFER",
        }
    )
    with here.client(protocol) as client:
        client.open(Request(method=b"POST"), ends=False)
        client.send(b"abc", ends=False)
        here.seen(1)
        assert 200 == here.fetch(headers=[(b"x-other", b"1")]).status
        assert 413 == client.read_head().status
    assert ["held", "", True] == here.seen(3)
    assert 0 == here.stat("hook_errors")


def test_ended_where_the_stack_ends(site: SiteMaker, protocol: str) -> None:
    """
    A hook may end its stream where it recursed too deep for anything else, and then use it.

    Up to 1.39 Envoy destroys the stream inside that call, where Python has no stack left to hear
    of it: each use raises StreamGone nevertheless, and none reaches Envoy.
    """
    uses = {name: code for name, code in ALL_USES.items() if not name.startswith("clear")}
    here = site(
        {
            "on_request_headers": f"""
                def deep():
                    try:
                        deep()
                    except RecursionError:
                        stream.reset()
                        raise
                if stream.request_headers.get('x-end'):
                    refusal(deep)
                    {refusals(uses)}
            """
        }
    )
    for _ in range(3):
        assert 0 == here.fetch(protocol, headers=[(b"x-end", b"1")]).status
    for found in here.seen(3):
        if here.envoy.release < "1.40":
            assert dict.fromkeys(uses, "StreamGone") == found
        assert set(found.values()) <= REFUSALS, found
    assert 200 == here.fetch(protocol).status
    here.envoy.check_log()


def test_reset_is_told(site: SiteMaker, protocol: str) -> None:
    """A reset ends the stream without an answer, with the details that the filter gave."""
    here = site({"on_request_headers": "stream.reset(details='e2e_reset')"})
    got = here.fetch(protocol)
    assert (0, False) == (got.status, got.whole)
    assert 0 == here.oracle()[0]["response_code"]


def test_ended_by_a_hook_that_another_stream_let_run(site: SiteMaker) -> None:
    """A stream resumes another one, whose waiting hook ends it and raises: a failed hook."""
    here = site(
        {
            "on_request_headers": """
                if 'x-held' in stream.request_headers:
                    kept[self.saw] = stream
                    saw('held')
                    return PAUSE
                kept.pop(self.saw).resume_request()
            """,
            "on_request_body": "stream.reset()\nraise ValueError('after')",
        },
        access={},
    )
    with socket.create_connection(("127.0.0.1", here.port), 10) as held:
        head = b"POST / HTTP/1.1\r\nhost: a\r\nx-held: 1\r\ncontent-length: 1\r\n\r\n"
        held.sendall(head + b"x")  # in one piece: the body is there with the headers
        here.seen(1)
        assert 200 == here.fetch().status
        assert b"" == held.recv(1)
    assert 1 == here.stat("hook_errors")
    kinds = [entry["kind"] for entry in here.entries(4)]
    assert (2, 2) == (kinds.count("request"), kinds.count("response"))


def test_threads_race_the_end(site: SiteMaker) -> None:
    """Threads that wake streams while these end, a hundred times: no crash, no stuck request."""
    here = site(
        {
            "on_request_headers": """
                def hammer():
                    for _ in range(50):
                        if refusal(lambda: stream.run_on_worker(lambda s: s.worker_index)):
                            break
                        if refusal(stream.resume_request):
                            break
                stream.keep_reachable()
                in_thread(hammer); in_thread(hammer)
                return PAUSE
            """
        }
    )
    with here.client() as client:
        for number in range(100):
            if number % 10 == 9:
                with here.client() as leaving:
                    leaving.open(Request(), ends=True)
                continue
            assert 200 == client.fetch(Request()).status
    assert 0 == here.stat("hook_errors")
    assert here.envoy.alive


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_threads_outlive_the_workers(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, end: int
) -> None:
    """Envoy ends cleanly though streams are held and threads go on waking them."""
    envoy = own_envoy(concurrency=2).start()
    here = Site(envoy, upstream, tmp_path, "ending")
    hammering = """
        def hammer():
            while not refusal(lambda: stream.run_on_worker(lambda s: s.worker_index)):
                time.sleep(0.0001)
        stream.keep_reachable()
        in_thread(hammer)
        return PAUSE
    """
    here.open([here.filter({"on_request_headers": hammering}, access={})])
    clients = [here.client(protocol) for protocol in ("HTTP/1.1", "HTTP/2") for _ in range(5)]
    for client in clients:
        client.open(Request(), ends=True)
    until(
        lambda: (
            here.envoy.stats("^http.ending.downstream_rq_active$")[
                "http.ending.downstream_rq_active"
            ]
            == 10
        ),
        "requests",
    )
    envoy.stop(sig=end)
    assert 10 == len(here.oracle(10))
    kinds = [entry["kind"] for entry in here.entries(20)]
    assert (10, 10) == (kinds.count("request"), kinds.count("response"))


def test_replies_race(site: SiteMaker) -> None:
    """Of many threads that reply, one is heard."""
    here = site(
        {
            "on_request_headers": """
                for number in range(5):
                    in_thread(lambda n=number: refusal(lambda: stream.reply(Reply(430 + n))))
                return PAUSE
            """
        }
    )
    with here.client() as client:
        for _ in range(50):
            assert client.fetch(Request()).status in range(430, 435)
    assert 0 == here.stat("hook_errors")
