# SPDX-License-Identifier: Apache-2.0
"""A filter that raises: what the client gets, what is counted and logged, what goes on."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from .conftest import SiteMaker
from .messages import Answer, Request
from .site import STEPS, Site
from .waiting import until

REQUEST_STEPS = STEPS[:3]
HEADERS_NOT_SENT = STEPS[:4]
# From these on Envoy has nothing left to refuse: the failure is only logged and counted.
ENDS = ("on_local_reply", "on_stream_complete")
ECHO = [(b"content-type", b"application/grpc")]
FRAME = b"\0\0\0\0\3two"


def raising(hook: str, error: str) -> dict[str, str]:
    """All hooks, of which one raises when the request asks for it; each tells that it was run."""
    return {
        name: f"""
            saw({name!r}, stream.failed)
            if {name!r} == {hook!r} and stream.request_headers.get('x-raise'):
                raise {error}
        """
        for name in (*STEPS, *ENDS)
    }


class Traffic:
    """The same exchange over HTTP/1.1, HTTP/2 or the gRPC library, told in one way."""

    def __init__(self, site: Site, protocol: str) -> None:
        self.site = site
        self.protocol = protocol
        self.path = site.upstream.serve(
            Answer(
                headers=ECHO if protocol == "gRPC" else [],
                body=[b"\0\0\0\0\3one", FRAME] if protocol == "gRPC" else [b"one", b"two"],
                trailers=[(b"grpc-status", b"0")] if protocol == "gRPC" else [(b"x-end", b"1")],
            )
        )

    def send(self, *, failing: bool) -> tuple[str, Any]:
        """Give "fine" or "refused" with the status, or "cut" for what ended too early."""
        headers = [(b"x-raise", b"1")] if failing else []
        if self.protocol == "gRPC":
            return self._grpc(headers)
        request = Request(
            method=b"POST",
            path=self.path,
            headers=[*headers, (b"te", b"trailers")],
            body=[b"abc"],
            trailers=[(b"x-last", b"1")],
        )
        got = self.site.fetch(self.protocol, request)
        if not got.whole:
            return "cut", None
        if got.status != 200:
            assert b"" == got.body
            return "refused", got.status
        assert (b"onetwo", [(b"x-end", b"1")]) == (got.body, got.trailers)
        return "fine", None

    def _grpc(self, headers: list[tuple[bytes, bytes]]) -> tuple[str, Any]:
        metadata = [(name.decode(), value.decode()) for name, value in headers]
        got = self.site.grpc(self.path.decode(), metadata=metadata)
        if got.code == 0:
            assert [b"one", b"two"] == got.answers
            return "fine", None
        # Trailers that end a response which has begun are no refusal of ours.
        return ("refused", got.code) if not got.answers else ("cut", None)

    @property
    def refused(self) -> tuple[str, int]:
        """The refusal that the client should get."""
        return ("refused", 13 if self.protocol == "gRPC" else 500)


@pytest.fixture(params=["HTTP/1.1", "HTTP/2", "gRPC"])
def spoken(request: pytest.FixtureRequest) -> str:
    """Run the test over each protocol, the gRPC library's too."""
    return str(request.param)


def reached(protocol: str, hook: str) -> bool:
    """Say whether a hook is called: the gRPC library sends no request trailers."""
    return not (protocol == "gRPC" and hook == "on_request_trailers")


def check_told(here: Site, hook: str, error: str) -> None:
    """Check that the failure is counted once, and that its traceback is in the log once."""
    until(lambda: here.stat("hook_errors"), f"{here.name}.hook_errors")
    assert 1 == here.stat("hook_errors")
    assert 1 == len(here.log_lines(f"^ *{error}: boom {here.name}$"))
    assert [] != here.log_lines(f"error.*{hook} of Scripted.* raised")


@pytest.mark.parametrize("hook", STEPS)
def test_deny(site: SiteMaker, spoken: str, hook: str) -> None:
    """By default the client is refused, or cut off when it has headers already."""
    if not reached(spoken, hook):
        return
    here = site(raising(hook, "RuntimeError('boom ' + self.config.instance)"))
    traffic = Traffic(here, spoken)
    got = traffic.send(failing=True)
    here.oracle(1)

    if hook in HEADERS_NOT_SENT:
        assert traffic.refused == got
    else:
        assert "fine" != got[0]
    check_told(here, hook, "RuntimeError")
    assert hook in REQUEST_STEPS or here.upstream.received(traffic.path)
    assert ("fine", None) == traffic.send(failing=False)
    assert 1 == here.stat("hook_errors")


@pytest.mark.parametrize("hook", REQUEST_STEPS)
def test_a_denied_request_stays_here(site: SiteMaker, protocol: str, hook: str) -> None:
    """What was denied never gets to the upstream as a whole request, whichever hook raised."""
    hooks = raising(hook, "RuntimeError('boom')")
    here = site(hooks)
    traffic = Traffic(here, protocol)
    assert traffic.refused == traffic.send(failing=True)
    here.oracle()
    assert [] == here.upstream.received(traffic.path)


@pytest.mark.parametrize("hook", STEPS)
def test_allow(site: SiteMaker, spoken: str, hook: str) -> None:
    """With ``on_error: allow`` the client doesn't notice."""
    if not reached(spoken, hook):
        return
    here = site(
        raising(hook, "RuntimeError('boom ' + self.config.instance)"), config={"on_error": "allow"}
    )
    traffic = Traffic(here, spoken)

    assert ("fine", None) == traffic.send(failing=True)
    check_told(here, hook, "RuntimeError")
    assert ("fine", None) == traffic.send(failing=False)


@pytest.mark.parametrize("policy", ["deny", "allow"])
@pytest.mark.parametrize("hook", STEPS)
def test_never_entered_again(site: SiteMaker, protocol: str, hook: str, policy: str) -> None:
    """After the failure no hook of the filter sees that stream any more."""
    here = site(raising(hook, "RuntimeError('boom')"), config={"on_error": policy})
    Traffic(here, protocol).send(failing=True)
    here.oracle()

    seen = here.seen()
    assert hook == seen[-1][0]
    assert {False} == {failed for _, failed in seen}


@pytest.mark.parametrize("policy", ["deny", "allow"])
@pytest.mark.parametrize("hook", ENDS)
def test_raising_at_the_end(site: SiteMaker, spoken: str, hook: str, policy: str) -> None:
    """Where nothing is left to decide, the client gets what it would have got anyway."""
    here = site(
        raising(hook, "RuntimeError('boom ' + self.config.instance)"),
        config={"on_error": policy},
        routes=[],
    )
    traffic = Traffic(here, spoken)
    assert ("refused", 12 if spoken == "gRPC" else 404) == traffic.send(failing=True)
    here.oracle()
    check_told(here, hook, "RuntimeError")
    assert "refused" == traffic.send(failing=False)[0]


# Makes every later stream of this filter fail before its first hook, as it does without memory.
NO_STREAM = """
    from envoy_pyfilter import _hooks as seam
    entered = kept.setdefault('_entered', seam._entered)
    def without_memory(hook, owner, *rest):
        if seam._filters.get(owner) is self:
            raise MemoryError('no memory for a stream')
        return entered(hook, owner, *rest)
    seam._entered = without_memory
"""


@pytest.mark.parametrize("policy", ["deny", "allow"])
def test_no_stream(site: SiteMaker, spoken: str, policy: str) -> None:
    """A stream whose Python side cannot be made is settled by the policy, and counted."""
    here = site({"on_request_headers": NO_STREAM}, config={"on_error": policy})
    traffic = Traffic(here, spoken)
    assert ("fine", None) == traffic.send(failing=False)
    for count in (1, 2):
        got = traffic.send(failing=True)
        assert (traffic.refused if policy == "deny" else ("fine", None)) == got
        here.oracle(1 + count)
        assert count == here.stat("hook_errors")
    assert (1 if policy == "deny" else 3) == len(here.upstream.received(traffic.path))


ERRORS = {
    "SystemExit": "raise SystemExit('boom ' + self.config.instance)",
    "KeyboardInterrupt": "raise KeyboardInterrupt('boom ' + self.config.instance)",
    "GeneratorExit": "raise GeneratorExit('boom ' + self.config.instance)",
    "MemoryError": "raise MemoryError('boom ' + self.config.instance)",
    "RecursionError": "again = lambda: again(); again()",
    "OverflowError": "bytearray(1 << 62)[0:1 << 70]",
    "AssertionError": "assert False, 'boom ' + self.config.instance",
    "ExceptionGroup": "raise ExceptionGroup('boom', [ValueError(1), TypeError(2)])",
    "BadRepr": """
        class BadRepr(Exception):
            def __str__(self):
                raise SystemExit('in str')
            __repr__ = __str__
        raise BadRepr
    """,
}


@pytest.mark.parametrize("policy", ["deny", "allow"])
@pytest.mark.parametrize("error", ERRORS)
def test_any_error(site: SiteMaker, error: str, policy: str) -> None:
    """Whatever is raised is treated alike, and Envoy lives on."""
    hooks = {
        "on_request_headers": f"if stream.request_headers.get('x-raise'):\n{_in(ERRORS[error])}"
    }
    here = site(hooks, config={"on_error": policy})
    got = here.fetch(headers=[(b"x-raise", b"1")])

    assert (500 if policy == "deny" else 200) == got.status
    assert 200 == here.fetch().status
    assert 1 == here.stat("hook_errors")
    assert here.envoy.alive


def _in(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code).strip(), "    ")


@pytest.mark.parametrize("policy", ["deny", "allow"])
@pytest.mark.parametrize("verdict", ["PAUSE", "BUFFER"])
def test_what_was_held(site: SiteMaker, protocol: str, verdict: str, policy: str) -> None:
    """A failure after a pause or in the middle of a buffered body leaves nothing hanging."""
    fails = "raise RuntimeError('boom')"
    hooks = {
        "on_request_headers": f"""
            if {verdict!r} == 'PAUSE':
                in_thread(lambda: stream.run_on_worker(lambda s: 1 / 0))
            return {verdict}
        """,
        "on_request_body": fails,
    }
    here = site(hooks, config={"on_error": policy})
    path = here.upstream.serve(Answer())
    got = here.fetch(protocol, method=b"POST", path=path, body=[b"abc", b"def"])
    here.oracle()

    assert (500 if policy == "deny" else 200, True) == (got.status, got.whole)
    assert 1 == here.stat("hook_errors")
    came = [b"".join(request.body) for request in here.upstream.received(path)]
    assert ([] if policy == "deny" else [b"abcdef"]) == came


def test_watermark_hooks_that_raise(site: SiteMaker) -> None:
    """A failing watermark hook is logged and counted; the response goes on."""
    fails = "raise RuntimeError('boom')"
    here = site(
        {"on_downstream_above_high_watermark": fails},
        http={"http2_protocol_options": {"initial_stream_window_size": 65535}},
    )
    with here.client("HTTP/2") as client:
        client.open(Request(path=b"/bytes/2000000"), ends=True)
        until(lambda: here.stat("hook_errors"), "the failure")
        assert 2_000_000 == len(client.finish().body)
    assert 1 == here.stat("hook_errors")


def test_config_destroy_that_raises(site: SiteMaker) -> None:
    """A filter that raises while it is taken down is logged; Envoy goes on."""
    here = site({"on_config_destroy": "raise SystemExit('boom ' + self.config.instance)"})
    assert 200 == here.fetch().status
    here.close()
    until(lambda: here.log_lines(f"boom {here.name}"), "the traceback")
    assert here.envoy.alive


def test_a_logger_that_raises(site: SiteMaker) -> None:
    """A log that fails itself changes nothing of the answer."""
    here = site(
        {
            "on_request_headers": """
                import logging
                class Failing(logging.Handler):
                    def emit(self, record):
                        logging.getLogger('envoy_pyfilter').removeHandler(self)
                        raise SystemExit('the log fails')
                logging.getLogger('envoy_pyfilter').addHandler(Failing())
                raise RuntimeError('boom')
            """
        }
    )
    assert 500 == here.fetch().status
    assert 1 == here.stat("hook_errors")
