# SPDX-License-Identifier: Apache-2.0
"""
Random lives of streams, legal and odd, several at a time: what is due is written once.

A model says what is due; it knows the rule of ``test_lifecycles.py`` and nothing of the code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .configs import RESPONSE_HEADERS, Config, Stream, request
from .conftest import SharedHosts
from .host import Host

SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ENDS = ("complete", "above", "below", "wake", "map", "no_map", "destroy")
STEPS = (
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "local_reply",
    *ENDS,
)
ORDINARY = ("request_headers", "request_body", "response_headers", "response_body", "complete")

step = st.tuples(st.integers(0, 2), st.sampled_from(STEPS), st.booleans())
ordinary = st.tuples(st.integers(0, 2), st.sampled_from(ORDINARY), st.booleans())
lives = st.lists(st.one_of(step, ordinary), max_size=24)
lanes = st.fixed_dictionaries(
    {
        "request": st.booleans(),
        "response_at": st.sampled_from(["stream_complete", "end_of_stream"]),
        "trailers": st.booleans(),
    }
)


@dataclass(slots=True)
class Model:
    """What is due for one stream of the access filter."""

    log_request: bool
    at_end: bool
    request_map: bool = False
    response_map: bool = False
    seen: bool = False
    written: Counter[str] = field(default_factory=Counter)

    def step(self, what: str, *, end: bool) -> None:
        """Follow one step of the stream's life."""
        if what in ("request_headers", "request_body", "request_trailers"):
            self.request_map |= what == "request_headers"
            self._write("request", due=self.log_request)
        elif what in ("map", "no_map"):
            self.response_map = what == "map"
        elif what in ("response_headers", "response_body", "response_trailers", "local_reply"):
            self._response(what, end=end)
        elif what == "complete":
            self._write("request", due=self.log_request and self.request_map)
            self._write("response", due=self.seen and self.response_map)

    def _response(self, what: str, *, end: bool) -> None:
        self.seen = True
        self.response_map |= what == "response_headers"
        ended = what == "response_trailers" or (end and what != "local_reply")
        self._write("response", due=self.at_end and ended and self.response_map)

    def _write(self, kind: str, *, due: bool) -> None:
        if due and not self.written[kind]:
            self.written[kind] = 1


def take(stream: Stream, what: str, *, end: bool) -> None:
    """Let a stream take one step."""
    steps = {
        "request_headers": lambda: stream.request_headers(end=end),
        "request_body": lambda: stream.request_body("x" * end, end=end),
        "request_trailers": lambda: stream.request_trailers((("x-t", None),)),
        "response_headers": lambda: stream.response_headers(_answer(stream), end=end),
        "response_body": lambda: stream.response_body(b"y" if end else None, end=end),
        "response_trailers": lambda: stream.response_trailers((("x-t", "1"),)),
        "local_reply": lambda: stream.local_reply(503, None if end else "details", reset=end),
        "complete": stream.complete,
        "above": lambda: stream.hook("above"),
        "below": lambda: stream.hook("below"),
        "wake": lambda: stream.hook("wake", 1),
        "map": lambda: stream.map(RESPONSE_HEADERS, _answer(stream)),
        "no_map": lambda: stream.map(RESPONSE_HEADERS, ()),
        "destroy": stream.destroy,
    }
    steps[what]()


def _answer(stream: Stream) -> list[tuple[str, str]]:
    return [(":status", "200"), ("x-stream", stream.name)]


def live(config: Config, life: list[tuple[int, str, bool]]) -> dict[int, list[tuple[str, bool]]]:
    """Run the steps; what each stream really lived through, with the end that all come to."""
    streams: dict[int, Stream] = {}
    lived: dict[int, list[tuple[str, bool]]] = {}
    for number, what, end in life:
        if number not in streams:
            streams[number] = config.stream(worker=number % 2)
        if not streams[number].ended:
            lived.setdefault(number, []).append((what, end))
            take(streams[number], what, end=end)
    for number, stream in streams.items():
        if not stream.ended:
            lived.setdefault(number, []).append(("complete", False))
    return lived


@SETTINGS
@given(life=lives, lane=lanes)
def test_what_is_due_is_written_once(
    shared_hosts: SharedHosts, life: list[tuple[int, str, bool]], lane: dict[str, object]
) -> None:
    """The access filter's entries are the model's, for any lives in any order."""
    config = Config.access(shared_hosts.get("1.40"), log=lane)
    lived = live(config, life)
    expected: Counter[str] = Counter()
    for steps in lived.values():
        model = Model(bool(lane["request"]), lane["response_at"] == "end_of_stream")
        for what, end in steps:
            model.step(what, end=end)
        expected += model.written
    assert dict(expected) == dict(Counter(config.kinds()))


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


def loaded(host: Host, policy: str) -> Config:
    """Load a filter that does in each hook what the request's headers say."""
    hooks = {hook: FILTER.format(hook=hook) for hook in HOOKS}
    hooks |= {
        hook: f'if stream.request_headers.get("x-{hook}") == b"raise":\n    raise ValueError'
        for hook in NOTICES
    }
    return Config.scripted(host, access=True, config={"on_error": policy}, **hooks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a filter decides, and where Envoy ends its stream."""

    verdicts: dict[str, str]
    policy: str
    ending: str
    inside: bool  # destroyed inside of the callback, as up to 1.39
    end: bool  # the request has no body


cases = st.builds(
    Case,
    verdicts=st.dictionaries(st.sampled_from((*HOOKS, *NOTICES)), st.sampled_from(VERDICTS)),
    policy=st.sampled_from(["deny", "allow"]),
    ending=st.sampled_from((*ENDING, "")),
    inside=st.booleans(),
    end=st.booleans(),
)


def live_through(host: Host, stream: Stream, case: Case) -> None:
    """Take the stream through all hooks, as far as it lives."""
    asked = [(f"x-{hook}", verdict) for hook, verdict in case.verdicts.items()]
    steps: list[Callable[[], int]] = [
        lambda: stream.request_headers(request(stream.name, *asked), end=case.end),
        lambda: stream.request_body("body", end=True),
        lambda: stream.hook("pump", 0),
        lambda: stream.response_headers(end=False),
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

    The request is told of once, as a request or as denied, and its response once at most.
    """
    host = shared_hosts.get("1.39")
    config = loaded(host, case.policy)
    assert config.accepted, config.events
    stream = config.stream(worker=int(case.end))
    if case.ending:
        stream.when(case.ending, *(["complete", "destroy"] if case.inside else ["complete"]))
    live_through(host, stream, case)
    kinds = Counter(config.kinds())
    assert 1 == kinds["request"] + kinds["denied"]
    assert kinds["response"] <= 1
    if case.verdicts.get("on_request_headers") in ("reply", "stream"):
        assert {"denied": 1, "response": 1} == kinds
    assert 0 == host.left()["schedulers"]


def alive(host: Host, stream: Stream) -> bool:
    """Whether the stub host still has the stream."""
    return any(event.get("alive") for event in host("alive", stream.name))
