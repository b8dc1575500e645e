# SPDX-License-Identifier: Apache-2.0
"""Statistics of hooks that fail, and of what hooks change or are refused."""

from __future__ import annotations

import pytest

from .clocked import TICK
from .conftest import Clock, MakeConfig
from .host import Host
from .test_reentrancy import ended_by
from .test_seam import planted

FAILURES = {
    "an exception": ("raise KeyError(1)", 2),
    "a program's end": ("raise SystemExit", 2),
    "a refused header": ("stream.request_headers.set('a b', 'c')", 3),
    "a refused value": ("stream.request_headers.add('a', 'c\\n')", 3),
    "a refused removal": ("stream.request_headers.remove('host')", 3),
    "a refused body": ("stream.response_body.append(b'x')", 3),
    "a map that is not there": ("stream.response_headers.set('a', 'b')", 3),
    "a timeout": ("raise TimeoutError", 4),
    "no memory": ("raise MemoryError", 8),
    "no end": ("self.on_request_headers(stream, end_of_stream)", 8),
    "no verdict": ("return 'yes'", 9),
}


@pytest.mark.parametrize("policy", ["deny", "allow"])
@pytest.mark.parametrize("failure", FAILURES)
def test_failure(clocked: Clock, failure: str, policy: str) -> None:
    """Its code is the call's status; under ``allow`` the stream has failed open."""
    how, code = FAILURES[failure]
    here = clocked(
        config={"on_error": policy},
        on_request_headers=f"{TICK}\n{how}",
        on_response_headers="pass",
    )
    stream = here.stream(5)
    stream.request_headers()
    stream.response_headers()
    typed = here.typed(stream)
    assert (5, code) == (
        typed["request_header_latency_us"],
        typed["request_header_call_status"],
    )
    assert "response_header_call_status" not in typed  # a failed stream asks nobody
    assert (policy == "allow", False, 0) == (
        typed["failed_open"],
        typed["received_immediate_response"],
        typed["bytes_received"],
    )
    expected = {
        "streams_started": 1,
        "stream_msgs_sent": 1,
        "failure_mode_allowed": int(policy == "allow"),
        "immediate_responses_sent": int(policy == "deny"),
        "stream_msgs_received": int(code == 3),
        "spurious_msgs_received": int(code == 9),
        "streams_failed": int(code not in (3, 9)),
        "streams_closed": int(policy == "allow" or code in (3, 9)),
        "rejected_header_mutations": int("refused" in failure and "body" not in failure),
    }
    assert {name: n for name, n in expected.items() if n} == here.counted()


def test_failure_of_the_seam(host: Host, scripted: MakeConfig, clocked: Clock) -> None:
    """It is an internal one: 13."""
    clocked(on_request_headers="pass")  # for the clock, which goes back to real time
    config = planted(scripted, host, "_request_headers", statistics={"key": "K"})
    stream = config.stream()
    stream.request_headers()
    stream.complete()
    assert stream.state()["K"].startswith("rh:0:13,")


def test_failure_while_paused(clocked: Clock) -> None:
    """A task that raises ends the call that waits; one without a call shows in no field."""
    task = "in_thread(lambda: stream.run_on_worker(lambda s: 1 / 0))"
    here = clocked(on_request_headers=f"{task}\nreturn PAUSE")
    stream = here.stream()
    stream.request_headers()
    here.set(here.now + 30)
    stream.hook("pump", 1)
    assert here.line(stream).startswith("rh:30:2,")

    here = clocked(on_request_headers=f"stream.keep_reachable()\n{task}")
    stream = here.stream()
    stream.request_headers()
    stream.hook("pump", 1)
    assert here.line(stream).startswith("rh:0:0,")
    assert 1 == here.counted()["streams_failed"]


def test_failure_before_the_first_call(clocked: Clock) -> None:
    """Of a hook that is no call."""
    here = clocked(on_local_reply="raise KeyError")
    stream = here.stream()
    stream.local_reply(503)
    assert "bs:0,br:0,os:2,ds:" == here.line(stream)


def test_failure_at_the_end(clocked: Clock) -> None:
    """No policy is followed there, so nothing has failed open."""
    here = clocked(
        config={"on_error": "allow"}, on_request_headers=TICK, on_stream_complete="raise KeyError"
    )
    stream = here.stream(5)
    stream.request_headers()
    typed = here.typed(stream)
    assert (False, 0) == (typed["failed_open"], typed["request_header_call_status"])
    assert 1 == here.counted()["streams_failed"]


EFFECTS = {
    "nothing": ("stream.request_headers.get('x')", "request_header", 0, 0),
    "set": ("stream.request_headers.set('ab', 'cd')", "request_header", 1, 4),
    "add": ("stream.request_headers.add('ab', 'cde')", "request_header", 1, 5),
    "remove": ("stream.request_headers.remove('x-request-id')", "request_header", 1, 12),
    "remove what is not there": ("stream.request_headers.remove('x')", "request_header", 0, 0),
    "refused, and forgiven": (
        "refusal(lambda: stream.request_headers.set('a b', 'c'))", "request_header", 0, 0,
    ),
    "no such map": (
        "refusal(lambda: stream.response_headers.set('a', 'c'))", "response_header", 4, 0,
    ),
    "no body": ("refusal(lambda: stream.request_body.append(b'c'))", "request_body", 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("change", EFFECTS)
def test_effect(clocked: Clock, change: str) -> None:
    """Each change of a hook, by what it was made to."""
    how, part, effect, taken = EFFECTS[change]
    here = clocked(on_request_headers=how)
    stream = here.stream()
    stream.request_headers()
    typed = here.typed(stream)
    effects = {name: value for name, value in typed.items() if name.endswith("_effect") and value}
    assert ({f"{part}_processing_effect": effect} if effect else {}) == effects
    assert taken == typed["bytes_received"]


def test_effects_of_bodies(clocked: Clock) -> None:
    """Of a body, whatever is done to it; an effect is not taken back by later hooks."""
    here = clocked(
        on_request_body="if end_of_stream: return\nstream.request_body.drain(1)",
        on_response_body="stream.response_body.replace(b'wxyz')",
    )
    stream = here.stream()
    stream.request_headers(end=False)
    stream.request_body("abc", end=False)
    stream.request_body("abc")
    stream.response_headers(end=False)
    stream.response_body("abc")
    typed = here.typed(stream)
    assert (1, 1, 4) == (
        typed["request_body_processing_effect"],
        typed["response_body_processing_effect"],
        typed["bytes_received"],
    )


def test_key_that_is_taken(clocked: Clock) -> None:
    """Its value stays; that is counted for each stream and logged once."""
    here = clocked(on_request_headers="pass")
    lines = []
    for _ in range(2):
        stream = here.stream()
        stream.put_state(-1, None, "K", "o", "theirs")
        stream.request_headers()
        stream.complete()
        lines += stream.logged()
        state = stream.state()
        assert ("theirs", 0) == (state["K"], state["N/request_header_call_status"])
        stream.destroy()
    assert 1 == sum("the filter state K" in line for line in lines)
    assert 2 == here.config.stat("state_conflicts")


def test_reset(clocked: Clock) -> None:
    """The hook that resets the stream has answered, also where the stream ends within the call."""
    here = clocked(on_request_headers=f"{TICK}\nstream.reset()")
    stream = here.stream(5)
    ended_by(stream, "reset_stream", inside=False)
    stream.request_headers()
    stream.ended = False
    assert stream.state()["K"].startswith("rh:5:0,")


def test_stream_that_ends_in_a_hook_of_somebody_else(clocked: Clock) -> None:
    """Envoy ends the stream in whatever callback: the running hook's call counts."""
    here = clocked(on_request_headers=TICK, on_response_headers="pass")
    stream = here.stream(5)
    stream.when("add_custom_flag", "complete", "print", "destroy")
    stream.ended = True
    stream.request_headers()
    (line,) = (e["value"] for e in stream.events if e.get("key") == "K")
    assert line.startswith("rh:5:0,")


def test_failures_of_one_stream(host: Host, scripted: MakeConfig, clocked: Clock) -> None:
    """The seam can fail in each hook: each is an error, but one stream has failed."""
    here = clocked(on_request_headers="pass")  # for the name of its counters
    config = planted(
        scripted, host, "_entered", count=2, policy="allow", statistics={"stat_prefix": here.prefix}
    )
    stream = config.stream()
    stream.request_headers()
    stream.response_headers()
    stream.finish()
    assert 2 == config.counts()["hook_errors"]
    counted = here.counted()
    assert (1, 1) == (counted["streams_failed"], counted["failure_mode_allowed"])
