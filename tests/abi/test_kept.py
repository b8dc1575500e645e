# SPDX-License-Identifier: Apache-2.0
"""
What a filter keeps of a stream never becomes a part of a later one.

A stream's Python objects serve the next one of its seat if a count of references shows that nobody
has a part of them. What is counted, and how, differs from one Python to the next.
"""

from __future__ import annotations

import textwrap

import pytest

from .configs import request
from .conftest import MakeConfig
from .host import Host

# How a filter can have a part of a stream: statements that put a function into ``use``, which reads
# from the stream by what it has, and nothing else of it.
PARTS = {
    "stream": "use = lambda s=stream: s.request_headers.get('x-id')",
    "request headers": "use = lambda h=stream.request_headers: h.get('x-id')",
    "response headers": "use = lambda h=stream.response_headers: h.items()",
    "request trailers": "use = lambda h=stream.request_trailers: h.items()",
    "filter state": "use = lambda f=stream.filter_state: f.get('k')",
    "request body": "use = lambda b=stream.request_body: b.read()",
    "response body": "use = lambda b=stream.response_body: b.size",
    "metadata": "use = lambda m=stream.metadata: m.get('n', 'k')",
    "route metadata": "use = lambda m=stream.route_metadata: m.namespaces()",
    "record": "use = lambda r=stream.record: r.note('k', 'v')",
    "bound method": "get = stream.request_headers.get; use = lambda: get('x-id')",
    "iterator": "asked = iter(stream.request_headers.items, None); use = lambda: next(asked)",
    "closure": "use = lambda: stream.request_headers.get('x-id')",
    "copy": "import copy; use = lambda s=copy.copy(stream): s.request_headers.get('x-id')",
    "generator that waits": """
        def reading(stream):
            yield
            yield stream.request_headers.get('x-id')
        going = reading(stream)
        next(going)
        use = lambda: next(going)
    """,
    "generator that has not begun": """
        def reading(stream):
            yield stream.request_headers.get('x-id')
        going = reading(stream)
        use = lambda: next(going)
    """,
    "generator amid an expression": """
        def reading(stream):
            yield (stream.request_headers, (yield))[0].get('x-id')
        going = reading(stream)
        next(going)
        use = lambda: next(going)
    """,
    "coroutine": """
        async def reading(stream):
            return stream.request_headers.get('x-id')
        going = reading(stream)
        use = lambda: going.send(None)
    """,
    "traceback": """
        try:
            raise ValueError
        except ValueError as error:
            raised = error
        frame = raised.__traceback__.tb_frame
        use = lambda: frame.f_locals['stream'].request_headers.get('x-id')
    """,
    "frame": """
        import sys
        frame = sys._getframe()
        use = lambda: frame.f_locals['stream'].request_headers.get('x-id')
    """,
    "frame of a profiler": """
        import sys
        frames = []
        def called(stream):
            pass
        sys.setprofile(lambda frame, event, _: frames.append(frame) if event == 'call' else None)
        called(stream)
        sys.setprofile(None)
        use = lambda: frames[0].f_locals['stream'].request_headers.get('x-id')
    """,
    "frame of a debugger": """
        import sys
        frames = []
        def called(stream):
            pass
        sys.settrace(lambda frame, event, _: frames.append(frame))
        called(stream)
        sys.settrace(None)
        use = lambda: frames[0].f_locals['stream'].request_headers.get('x-id')
    """,
    "frame of a thread": """
        going, asked, answers = threading.Event(), threading.Event(), []
        def waiting(stream):
            going.set()
            asked.wait()
            stream.request_headers.items()
        thread = in_thread(lambda box=[stream]: answers.append(refusal(lambda: waiting(box.pop()))))
        going.wait()
        def use():
            asked.set()
            thread.join()
            if answers == ['StreamGone']:
                raise StreamGone
    """,
    "data": """
        mine = stream.data
        mine['headers'] = stream.request_headers
        use = lambda: mine['headers'].get('x-id')
    """,
    "what the filter put another in the place of": """
        use = lambda f=stream.filter_state: f.get('k')
        stream.filter_state = None
    """,
}
WARM = 10  # streams before, after which Python runs other instructions for the same code


def keeping(part: str) -> str:
    """Write a hook that keeps a part of the stream whose id is "keep", and uses it in the next."""
    code = textwrap.indent(textwrap.dedent(PARTS[part]), "    ")
    return f"""
name = stream.request_headers['x-request-id']
if name == b'keep':
{code}
    kept['use'] = use
if name == b'use':
    saw(refusal(kept.pop('use')))
"""


@pytest.mark.parametrize("hook", ["on_request_headers", "on_stream_complete"])
@pytest.mark.parametrize("part", PARTS)
def test_kept(host: Host, scripted: MakeConfig, part: str, hook: str) -> None:
    """Whatever a filter has of a stream, and however: it is gone with its stream."""
    config = scripted(host, **{hook: keeping(part)})
    for name in [*["before"] * WARM, "keep", "use", "after"]:
        stream = config.stream()
        assert 0 == stream.request_headers(request(name))
        stream.finish()
    assert ["StreamGone"] == config.seen()
    assert {} == config.counts()


def test_used_again(host: Host, scripted: MakeConfig) -> None:
    """What nobody has serves the next stream, and what is made in its place those after that."""
    config = scripted(
        host,
        on_request_headers="""
            from envoy_pyfilter import _hooks
            for kit in _hooks._kits:
                if kit is not None and kit[0] is stream:
                    saw(kit is kept.get('kit'))
                    kept['kit'] = kit
            if stream.request_headers['x-request-id'] == b'keep':
                kept['stream'] = stream
        """,
        on_config_destroy="kept.clear()",
    )
    for name in [*["before"] * WARM, "keep", *["after"] * WARM]:
        stream = config.stream()
        stream.request_headers(request(name))
        stream.finish()
    as_many = [True] * (WARM - 1)
    assert [*as_many, True, False, *as_many] == config.seen()[1:]


@pytest.mark.parametrize("hook", ["on_request_headers", "on_stream_complete"])
def test_cannot_be_counted(host: Host, scripted: MakeConfig, hook: str) -> None:
    """Where Python fails before it knows who has a stream, the stream serves nobody else."""
    config = scripted(
        host,
        **{
            hook: """
                from envoy_pyfilter import _hooks
                saw(stream.data, refusal(kept.get('use', print)))
                stream.data['mine'] = 1
                kept['use'] = lambda: stream.request_headers.items()
                def failing(thing, real=_hooks.getrefcount):
                    _hooks.getrefcount = real
                    raise MemoryError
                _hooks.getrefcount = failing
            """,
            "on_config_destroy": "kept.clear()",
        },
    )
    for _ in range(3):
        config.stream().exchange()
    assert [({}, ""), ({}, "StreamGone"), ({}, "StreamGone")] == config.seen()
