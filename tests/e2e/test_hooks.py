# SPDX-License-Identifier: Apache-2.0
"""Which hooks are called, when, and for how long a filter lives."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from .conftest import SiteMaker
from .messages import Answer, Request
from .site import STEPS, Site
from .waiting import until

STREAM_HOOKS = (*STEPS, "on_stream_complete")
WITH_END = {name for name in STREAM_HOOKS if name.endswith(("headers", "body"))}
FULL_ANSWER = Answer(body=[b"one", b"two"], trailers=[(b"x-end", b"1")])


def watching(*hooks: str) -> dict[str, str]:
    """Hooks that only tell their names, and whether the side ends."""
    return {
        hook: f"saw({hook!r}, end_of_stream)" if hook in WITH_END else f"saw({hook!r})"
        for hook in hooks
    }


def post(site: Site, protocol: str, answer: Answer) -> None:
    """Make an exchange with everything a request can have."""
    request = Request(
        method=b"POST",
        path=site.upstream.serve(answer),
        headers=[(b"te", b"trailers")],
        body=[b"abc", b"def"],
        trailers=[(b"x-last", b"1")],
    )
    got = site.fetch(protocol, request)
    assert (200, b"onetwo", True) == (got.status, got.body, got.whole)
    assert list(answer.trailers) == list(got.trailers)


def without_repeats(seen: list[object]) -> list[object]:
    """Body pieces may come in one call or in more."""
    return [key for key, _ in itertools.groupby(seen)]


def test_order_with_bodies_and_trailers(site: SiteMaker, protocol: str) -> None:
    """Headers, body, trailers of the request, then of the response, then the stream's end."""
    here = site(watching(*STREAM_HOOKS))
    post(here, protocol, FULL_ANSWER)
    here.oracle()

    assert [
        ("on_request_headers", False),
        ("on_request_body", False),
        "on_request_trailers",
        ("on_response_headers", False),
        ("on_response_body", False),
        "on_response_trailers",
        "on_stream_complete",
    ] == without_repeats(here.seen())


def test_order_of_headers_alone(site: SiteMaker, protocol: str) -> None:
    """The end of a side comes with the headers when nothing follows them."""
    here = site(watching(*STREAM_HOOKS))
    path = here.upstream.serve(Answer(status=204, headers=[(b"x", b"y")], body=()))
    assert 204 == here.fetch(protocol, path=path).status

    assert [
        ("on_request_headers", True),
        ("on_response_headers", True),
        "on_stream_complete",
    ] == here.seen(3)


@pytest.mark.parametrize("hook", STREAM_HOOKS)
def test_one_hook_alone(site: SiteMaker, hook: str) -> None:
    """A class that overrides one hook gets that one, and the rest is answered without it."""
    here = site(watching(hook))
    post(here, "HTTP/1.1", FULL_ANSWER)
    here.oracle()

    assert {hook} == {line if isinstance(line, str) else line[0] for line in here.seen()}


def test_local_reply_of_envoy(site: SiteMaker, protocol: str) -> None:
    """A reply that Envoy makes itself is told with its status and details."""
    hooks = {
        "on_local_reply": "saw(reply.status, reply.details, reply.reset_imminent)",
        "on_response_headers": "saw(stream.response_headers.get(':status'))",
    }
    here = site(hooks, routes=[])
    assert 404 == here.fetch(protocol).status

    (told,) = here.oracle()
    assert "route_not_found" == told["response_code_details"]
    assert [(404, "route_not_found", False), b"404"] == here.seen(2)


def test_complete_runs_before_the_access_log(site: SiteMaker, protocol: str) -> None:
    """What a filter writes when the stream is complete is in Envoy's access log."""
    here = site(
        {"on_stream_complete": "stream.filter_state['e2e.last'] = b'written late'"},
        oracle={"last": "%FILTER_STATE(e2e.last:PLAIN)%"},
    )
    here.fetch(protocol)
    assert "written late" == here.oracle()[0]["last"]


def test_aborted_stream_completes(site: SiteMaker, protocol: str) -> None:
    """A client that goes away ends the stream: complete is called, no response hook is."""
    here = site(watching(*STREAM_HOOKS))
    with here.client(protocol) as client:
        client.open(Request(method=b"POST"), ends=False)
        until(here.seen, "the first hook")
        client.abort()
    (told,) = here.oracle()

    assert 0 == told["response_code"]
    assert [("on_request_headers", False), "on_stream_complete"] == here.seen(2)


def test_complete_without_request_headers(site: SiteMaker) -> None:
    """A request that the codec refuses skips the request hooks, and is told all the same."""
    here = site(
        {
            **watching("on_request_headers"),
            "on_stream_complete": "saw(stream.attribute('response.code'), stream.route_config)",
        }
    )
    assert here.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")

    assert [(400, None)] == here.seen(1)
    assert 400 == here.oracle()[0]["response_code"]


def test_watermarks(site: SiteMaker) -> None:
    """A client that doesn't read brings the high watermark, one that reads again the low one."""
    here = site(
        {
            "on_downstream_above_high_watermark": "saw('above')",
            "on_downstream_below_low_watermark": "saw('below')",
        },
        http={"http2_protocol_options": {"initial_stream_window_size": 65535}},
    )
    with here.client("HTTP/2") as client:
        client.open(Request(path=b"/bytes/5000000"), ends=True)
        until(lambda: "above" in here.seen(), "the hook")
        assert 5_000_000 == len(client.finish().body)
    here.oracle()
    assert {"above", "below"} == set(here.seen())


def test_config_destroy(new_site: Callable[[], Site]) -> None:
    """A filter is told that its config is gone, once, and after its last stream."""
    here = new_site()
    hooks = {"on_stream_complete": "saw('complete')", "on_config_destroy": "self.saw('gone')"}
    here.open([here.filter(hooks)])
    here.fetch()
    here.close()

    assert ["complete", "gone"] == here.seen(2)


def test_one_filter_for_each_config(new_site: Callable[[], Site]) -> None:
    """Two configs of one class are two filters, one config's streams share one."""
    hooks = {
        "on_request_headers": "stream.data['mine'] = stream.filter",
        "on_stream_complete": """
            self.count = getattr(self, 'count', 0) + 1
            saw(self.count, stream.data['mine'] is self)
        """,
    }
    first, second = new_site(), new_site()
    first.open([first.filter(hooks)])
    second.open([second.filter(hooks)])
    for here in (first, second, first):
        here.fetch()

    assert [(1, True), (2, True)] == first.seen(2)
    assert [(1, True)] == second.seen(1)
