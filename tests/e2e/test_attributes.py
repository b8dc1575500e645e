# SPDX-License-Identifier: Apache-2.0
"""What a filter can ask about its stream: attributes, state, metadata, routes."""

from __future__ import annotations

from typing import Any

import pytest

from . import bootstrap as b
from .conftest import SiteMaker
from .messages import Answer, Request

# Attribute, and where Envoy's own access log says the same.
ATTRIBUTES = {
    "request.method": "method",
    "request.host": "authority",
    "request.scheme": "scheme",
    "request.path": "path",
    "request.protocol": "protocol",
    "request.id": "request_id",
    "response.code": "response_code",
    "response.code_details": "response_code_details",
    "source.address": "downstream_remote_address",
    "destination.address": "downstream_local_address",
    "upstream.address": "upstream_host",
    "xds.cluster_name": "upstream_cluster",
    "xds.route_name": "route_name",
}


# What a release does not serve, though its Envoy knows it (docs/hooks.md says so, too).
UNSERVED = {
    "1.38.3": {
        "response.code_details",
        "xds.cluster_name",
        "request.size",
        "response.size",
        "health_check",
    },
    "1.39.3": {"xds.cluster_name", "request.size"},
    "1.40.0": set[str](),
}


def test_attributes_are_envoys(site: SiteMaker, protocol: str, release: str) -> None:
    """An attribute says what Envoy's own access log says of the same stream."""
    here = site(
        {"on_stream_complete": f"saw({{n: stream.attribute(n) for n in {list(ATTRIBUTES)}}})"},
        routes=[b.route(name="e2e route")],
    )
    path = here.upstream.serve(Answer(status=203))
    here.fetch(protocol, path=path + b"?a=b", headers=[(b"x-request-id", b"r-17")])

    (told,) = here.oracle()
    (seen,) = here.seen(1)
    expected = {name: told[field] for name, field in ATTRIBUTES.items()}
    assert {**expected, **dict.fromkeys(ATTRIBUTES.keys() & UNSERVED[release])} == seen


def test_types(site: SiteMaker, release: str) -> None:
    """Numbers are ints, flags are bools, text is str, and what is unknown is None."""
    names = {
        "response.code": int,
        "source.port": int,
        "connection.id": int,
        "health_check": bool,
        "connection.mtls": type(None),
        "request.path": str,
        "request.url_path": str,
        "request.query": str,
        "request.useragent": type(None),
        "connection.tls_version": type(None),
    }
    here = site(
        {
            "on_stream_complete": f"""
                saw({{n: type(stream.attribute(n)).__name__ for n in {list(names)}}})
                saw(stream.attribute('request.query'), stream.attribute('request.url_path'))
            """
        }
    )
    here.fetch(path=b"/a/b?c=d")
    names |= dict.fromkeys(names.keys() & UNSERVED[release], type(None))
    assert [{name: kind.__name__ for name, kind in names.items()}, ("c=d", "/a/b")] == here.seen(2)


def test_numbers(site: SiteMaker, protocol: str, release: str) -> None:
    """Sizes and ports are those of the stream."""
    here = site(
        {
            "on_stream_complete": """
                saw(stream.attribute('request.size'), stream.attribute('response.size'),
                    stream.attribute('source.port'), stream.attribute('destination.port'))
            """
        }
    )
    path = here.upstream.serve(Answer(body=[b"x" * 1000]))
    with here.client(protocol) as client:
        client.fetch(Request(method=b"POST", path=path, body=[b"y" * 500]))
        source = int(client.address.rpartition(":")[2])
    sent = None if "request.size" in UNSERVED[release] else 500
    answered = None if "response.size" in UNSERVED[release] else 1000
    assert [(sent, answered, source, here.port)] == here.seen(1)


def test_unknown_attribute(site: SiteMaker) -> None:
    """A name that Envoy doesn't know is an error that names the nearest one."""
    here = site(
        {
            "on_request_headers": """
                try:
                    stream.attribute('response.cod')
                except KeyError as error:
                    saw('response.code' in str(error))
            """
        }
    )
    assert 200 == here.fetch().status
    assert [True] == here.seen(1)


def test_filter_state(site: SiteMaker, protocol: str) -> None:
    """State is bytes, read back by the filter and printed by Envoy's access log."""
    here = site(
        {
            "on_request_headers": """
                state = stream.filter_state
                saw('e2e.key' in state, state.get('e2e.key'))
                state['e2e.key'] = b'the value'
                saw('e2e.key' in state, state['e2e.key'])
                saw(refusal(lambda: state['e2e.none']))
            """
        },
        oracle={"state": "%FILTER_STATE(e2e.key:PLAIN)%"},
    )
    here.fetch(protocol)
    assert [(False, None), (True, b"the value"), "KeyError"] == here.seen(3)
    assert "the value" == here.oracle()[0]["state"]


METADATA: dict[str, Any] = {
    "text": "val\u00fce",
    "number": 1.5,
    "yes": True,
    "no": False,
    "texts": ["a", "b"],
    "numbers": [1.0, 2.5],
    "flags": [True, False],
}


def test_dynamic_metadata(site: SiteMaker, protocol: str) -> None:
    """Each kind of value comes back as it was set, and is in Envoy's access log."""
    here = site(
        {
            "on_request_headers": f"""
                for key, value in {METADATA!r}.items():
                    stream.metadata.set('e2e', key, value)
                saw({{k: stream.metadata.get('e2e', k) for k in stream.metadata.keys('e2e')}})
                saw('e2e' in stream.metadata.namespaces(), stream.metadata.get('e2e', 'none'),
                    stream.metadata.get('none', 'none'), stream.metadata.keys('none'))
            """
        },
        oracle={"metadata": "%DYNAMIC_METADATA(e2e)%"},
    )
    here.fetch(protocol)
    assert [METADATA, (True, None, None, [])] == here.seen(2)
    assert METADATA == here.oracle()[0]["metadata"]


def test_types_of_metadata(site: SiteMaker) -> None:
    """True is not 1.0: each value has its own type."""
    here = site(
        {
            "on_request_headers": f"""
                for key, value in {METADATA!r}.items():
                    stream.metadata.set('e2e', key, value)
                saw({{k: type(stream.metadata.get('e2e', k)).__name__ for k in {list(METADATA)}}})
                saw([type(flag).__name__ for flag in stream.metadata.get('e2e', 'flags')])
            """
        }
    )
    here.fetch()
    kinds = {key: type(value).__name__ for key, value in METADATA.items()}
    assert [kinds, ["bool", "bool"]] == here.seen(2)


def test_metadata_of_another_filter(site: SiteMaker) -> None:
    """What a filter before us set, we read."""
    before = b.set_metadata("theirs", {"who": "them", "count": 3})
    here = site(
        {
            "on_request_headers": """
                saw(stream.metadata.get('theirs', 'who'), stream.metadata.get('theirs', 'count'))
            """
        },
        before=[before],
    )
    here.fetch()
    assert [("them", 3.0)] == here.seen(1)


def test_metadata_of_route_cluster_and_host(site: SiteMaker) -> None:
    """Metadata of the route, its cluster and the chosen host are read, and only read."""
    here = site(
        {
            "on_response_headers": """
                saw(stream.route_metadata.get('e2e', 'of'), stream.route_metadata.get('e2e', 'n'),
                    stream.cluster_metadata.get('e2e', 'of'),
                    stream.host_metadata.get('e2e', 'of'))
                saw(stream.route_metadata.keys('e2e') and sorted(stream.route_metadata.keys('e2e')))
                saw([hasattr(m, 'set') for m in (stream.route_metadata, stream.cluster_metadata,
                                                 stream.host_metadata)])
            """
        },
        routes=[b.route(metadata={"filter_metadata": {"e2e": {"of": "route", "n": 7}}})],
    )
    here.fetch()
    assert [
        ("route", 7.0, "cluster", "host"),
        ["n", "of"],
        [False, False, False],
    ] == here.seen(3)


def test_route_config(site: SiteMaker) -> None:
    """The route's own config is typed; the most specific level wins, none is None."""
    hooks = {
        "on_request_headers": """
            found = stream.route_config
            saw(found and (found.tenant, found.limit))
        """
    }
    name = "filters:Scripted__on_request_headers"
    here = site(
        hooks,
        routes=[
            b.route(
                "/own", typed_per_filter_config=b.py_route(name, {"tenant": "own", "limit": 5})
            ),
            b.route("/"),
        ],
        virtual_host={"typed_per_filter_config": b.py_route(name, {"tenant": "host"})},
    )
    for path in (b"/own", b"/other"):
        here.fetch(path=path)
    assert [("own", 5), ("host", 0)] == here.seen(2)

    bare = site(hooks)
    bare.fetch()
    assert [None] == bare.seen(1)


@pytest.mark.parametrize("call", ["clear_route_cache", "clear_route_cluster_cache"])
def test_route_caches(site: SiteMaker, call: str) -> None:
    """After a change of headers a cleared cache lets Envoy choose another route."""
    here = site(
        {
            "on_request_headers": f"""
                stream.attribute('xds.route_name')
                stream.request_headers.set('x-route', b'second')
                stream.{call}()
            """
        },
        routes=[
            {
                **b.direct(status=202, name="second"),
                "match": {
                    "prefix": "/",
                    "headers": [{"name": "x-route", "string_match": {"exact": "second"}}],
                },
            },
            b.direct(status=201, name="first"),
        ],
    )
    # Clearing the cluster alone keeps the route.
    expected = 202 if call == "clear_route_cache" else 201
    assert expected == here.fetch().status
