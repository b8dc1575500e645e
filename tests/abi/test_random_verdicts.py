# SPDX-License-Identifier: Apache-2.0
"""Random verdicts of a filter in Python, in ordinary and in odd lives of its streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from .configs import Config, Stream, request
from .conftest import SharedHosts
from .host import Host
from .test_random import (
    SETTINGS,
    STEPS,
    Lane,
    check_entries,
    lanes,
    named,
    set_clock_back,
    take,
)

VERDICTS = ("pass", "reply", "pause", "buffer", "raise", "resume", "reset", "stream", "bad")
FILTER = """
    do = stream.request_headers.get("x-{hook}", b"pass")
    if do == b"reply":
        return Reply(403, b"no")
    if do == b"pause":
        return PAUSE
    if do == b"buffer":
        return BUFFER
    if do == b"raise":
        raise ValueError("on purpose")
    if do == b"resume":
        stream.run_on_worker(lambda s: s.resume_request())
        return PAUSE
    if do == b"reset":
        stream.reset()
    if do == b"stream":
        stream.start_response(200)
        stream.send_response_data(b"x", end_of_stream=True)
    if do == b"bad":
        return 7
"""
HOOKS = (
    "on_request_headers",
    "on_request_body",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
)
NOTICES = "on_local_reply", "on_stream_complete"
ENDING = ("send_response", "reset_stream", "send_response_data", "continue_decoding")


def loaded(host: Host, policy: str, lane: Lane) -> Config:
    """Load a filter that does in each hook what the request's headers say."""
    hooks = {hook: FILTER.format(hook=hook) for hook in HOOKS}
    hooks |= {
        hook: f'if stream.request_headers.get("x-{hook}") == b"raise":\n    raise ValueError'
        for hook in NOTICES
    }
    kept = {"key": "K", "metadata_namespace": "N", "fields": ["failed_open"]}
    whole = {"on_error": policy, "log": lane, "statistics": kept}
    return Config.scripted(host, access=True, config=whole, **hooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a filter decides, and where Envoy ends its stream."""

    verdicts: dict[str, str]
    policy: str
    ending: str
    inside: bool  # destroyed inside of the callback, as up to 1.39
    end: bool  # the request has no body
    status: int  # of the upstream's response
    lane: Lane


cases = st.builds(
    Case,
    verdicts=st.dictionaries(st.sampled_from((*HOOKS, *NOTICES)), st.sampled_from(VERDICTS)),
    policy=st.sampled_from(["deny", "allow"]),
    ending=st.sampled_from((*ENDING, "")),
    inside=st.booleans(),
    end=st.booleans(),
    status=st.sampled_from([101, 200]),
    lane=lanes,
)


def asks(case: Case) -> list[tuple[str, str]]:
    """Give the request's headers that tell the hooks what to do."""
    return [(f"x-{hook}", verdict) for hook, verdict in case.verdicts.items()]


def live_through(host: Host, stream: Stream, case: Case) -> None:
    """Take the stream through all hooks, as far as it lives."""
    steps: list[Callable[[], int]] = [
        lambda: stream.request_headers(request(stream.name, *asks(case)), end=case.end),
        lambda: stream.request_body("body", end=True),
        lambda: stream.hook("pump", 0),
        lambda: stream.response_headers(((":status", case.status),), end=False),
        lambda: stream.response_body("body", end=False),
        lambda: stream.response_trailers((("x-t", "1"),)),
    ]
    for next_step in steps:
        if alive(host, stream):
            next_step()
    stream.ended = not alive(host, stream)


@SETTINGS
@given(case=cases)
def test_no_verdict_writes_twice(shared_hosts: SharedHosts, case: Case) -> None:
    """
    Any verdict in any hook, under both policies, with the stream's end inside any callback.

    The request is told of once, as a request or as denied, and then its response once: always,
    unless the settings leave out endings that had none.
    """
    host = shared_hosts.get("1.39")
    config = loaded(host, case.policy, case.lane)
    assert config.accepted, config.events
    stream = config.stream(worker=int(case.end))
    if case.ending:
        stream.when(case.ending, *(["complete", "destroy"] if case.inside else ["complete"]))
    live_through(host, stream, case)
    kinds = config.kinds()
    whole, half = due(case.lane)
    assert kinds in (whole if always_answered(case.lane) else [*whole, *half])
    if case.verdicts.get("on_request_headers") in ("reply", "stream"):
        assert whole[1] == kinds
    assert 0 == host.left()["schedulers"]


def due(lane: Lane) -> tuple[list[list[str]], list[list[str]]]:
    """Give the entries of a request that was let through or denied: with a response, without."""
    half = [["request"], ["denied"]] if lane["request"] else [[], []]
    return [[*first, "response"] for first in half], half


def always_answered(lane: Lane) -> bool:
    """Whether each stream that Envoy completes has a response's entry."""
    by_default = lane["compat"] == "none"
    return bool(lane.get("aborted", by_default) and lane.get("redirected", by_default))


@SETTINGS
@given(case=cases, life=st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=16))
def test_odd_lives_of_decided_streams(
    shared_hosts: SharedHosts, case: Case, life: list[tuple[str, bool]]
) -> None:
    """Any verdict in any hook, with the hooks in any order: nothing twice, nothing out of order."""
    host = shared_hosts.get("1.39")
    set_clock_back(host, 0)
    config = loaded(host, case.policy, case.lane)
    stream = named(config.stream(worker=int(case.end)))
    if case.ending:
        stream.when(case.ending, *(["complete", "destroy"] if case.inside else ["complete"]))
    for what, end in life:
        if alive(host, stream):
            take(stream, what, end=end, asked=asks(case))
    stream.ended = not alive(host, stream)
    entries = config.entries()
    set_clock_back(host, 0)

    kinds = [entry["kind"] for entry in entries]
    check_entries(entries, {stream.name: kinds})  # for the times
    whole, half = due(case.lane)
    lives_to_the_end = not any(what == "destroy" for what, _ in life)
    if always_answered(case.lane) and lives_to_the_end:
        assert kinds in [*whole, ["response"]]  # the request may have had no headers
    else:
        assert kinds in [*whole, *half, ["response"], []]
    if case.lane["request"] and kinds[:1] == ["response"]:
        assert "method" not in entries[0]
    assert 0 == host.left()["schedulers"]


def alive(host: Host, stream: Stream) -> bool:
    """Whether the stub host still has the stream."""
    return any(event.get("alive") for event in host("alive", stream.name))
