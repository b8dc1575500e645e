# SPDX-License-Identifier: Apache-2.0
"""
Headers that change after our response hook ran: the entry holds what the client received.

A response passes the filters from the last to the first, so the filters that change it after us
stand before us in the list.
"""

from __future__ import annotations

import pytest

from . import bootstrap as b
from .conftest import SiteMaker
from .messages import Answer, Response
from .oracle import check, wire_headers
from .site import Site

MUTATION = b.header_mutation(response={"x-late": "mutated", "x-up": "rewritten"})
LUA = b.lua(
    """
    function envoy_on_response(handle)
      handle:headers():replace("x-late", "lua")
      handle:headers():replace("x-up", "rewritten")
      handle:headers():remove("x-gone")
    end
    """
)
BUFFERING_LUA = b.lua(
    """
    function envoy_on_response(handle)
      local size = handle:body():length()
      handle:headers():replace("x-late", "after " .. size .. " bytes")
      handle:headers():replace("x-up", "rewritten")
      handle:headers():remove("x-gone")
    end
    """
)
LATE_FILTERS = {
    "header_mutation": ([MUTATION], "mutated"),
    "lua": ([LUA], "lua"),
    "buffering lua": ([BUFFERING_LUA], "after 10 bytes"),
    "all of them": ([BUFFERING_LUA, LUA, MUTATION], "after 10 bytes"),
}
OLD = [(b"x-up", b"original"), (b"x-gone", b"1"), (b"x-many", b"1"), (b"x-many", b"2")]
ANSWER = Answer(headers=OLD, body=[b"01234", b"56789"])
NO_BODY = Answer(status=204, headers=OLD, body=())
ORACLE = {
    f"resp {name}": f"%RESP({name})%" for name in ("x-late", "x-up", "x-gone", "server", "date")
}
SEES = {"on_response_headers": "saw(dict(stream.response_headers.items()))"}


def exchange(here: Site, protocol: str, answer: Answer) -> tuple[Response, b.Dict, b.Dict]:
    """Give what the client got, our response entry, and Envoy's line."""
    got = here.fetch(protocol, answer=answer)
    (told,) = here.oracle()
    (entry,) = here.responses(1)
    return got, entry, told


@pytest.mark.parametrize("late", LATE_FILTERS)
def test_entry_has_what_the_client_got(site: SiteMaker, protocol: str, late: str) -> None:
    """The entry's headers are the client's, and Envoy's own log says the same."""
    filters, value = LATE_FILTERS[late]
    here = site(SEES, access={}, before=filters, oracle=ORACLE)
    got, entry, told = exchange(here, protocol, ANSWER)
    (before,) = here.seen(1)

    assert (b"original", None) == (before[b"x-up"], before.get(b"x-late"))
    assert (value.encode(), b"rewritten") == (got.get(b"x-late"), got.get(b"x-up"))
    assert wire_headers(got) == entry["response_headers"]
    for name in ("x-late", "x-up", "x-gone", "server", "date"):
        assert told[f"resp {name}"] == entry["response_headers"].get(name)


@pytest.mark.parametrize("late", ["header_mutation", "lua"])
def test_without_a_body(site: SiteMaker, protocol: str, late: str) -> None:
    """The same for a response that ends with its headers."""
    filters, _ = LATE_FILTERS[late]
    here = site(access={}, before=filters, oracle=ORACLE)
    got, entry, told = exchange(here, protocol, NO_BODY)

    assert wire_headers(got) == entry["response_headers"]
    assert "rewritten" == entry["response_headers"]["x-up"] == told["resp x-up"]


# What end_of_stream cannot see: changes made when the end has passed us already.
TOO_LATE = {
    "header_mutation, no body": ([MUTATION], NO_BODY),
    "lua, no body": ([LUA], NO_BODY),
    "buffering lua": ([BUFFERING_LUA], ANSWER),
}


@pytest.mark.parametrize("case", TOO_LATE)
@pytest.mark.parametrize("when", ["end_of_stream", "stream_complete"])
def test_why_entries_wait(site: SiteMaker, protocol: str, case: str, when: str) -> None:
    """Written at the end of the stream, the entry has headers that nobody got."""
    filters, answer = TOO_LATE[case]
    here = site(access={"log": {"response_at": when}}, before=filters)
    got, entry, _ = exchange(here, protocol, answer)

    assert b"rewritten" == got.get(b"x-up")
    same = wire_headers(got) == entry["response_headers"]
    assert same == (when == "stream_complete")
    expected = "original" if when == "end_of_stream" else "rewritten"
    assert expected == entry["response_headers"]["x-up"]


def test_end_of_stream_is_written_at_once(site: SiteMaker, protocol: str) -> None:
    """With end_of_stream the entry is there though the client has not got the response yet."""
    here = site(
        access={"log": {"response_at": "end_of_stream", "request": False}},
        top={"per_connection_buffer_limit_bytes": 8192},
    )
    path = here.upstream.serve(Answer(body=[b"x" * 1_000_000]))
    got = here.fetch(protocol, path=path)
    here.oracle()
    (entry,) = here.entries(1)
    assert (1_000_000, "response", 200) == (len(got.body), entry["kind"], entry["response_code"])


def test_end_of_stream_has_a_net(site: SiteMaker, protocol: str) -> None:
    """A response whose end never comes is written when the stream is complete."""
    here = site(access={"log": {"response_at": "end_of_stream", "request": False}})
    answer = Answer(body=[b"one", b"two"], reset="in_body")
    got = here.fetch(protocol, answer=answer, headers=[(b"x-request-id", b"r")])
    (told,) = here.oracle()
    (entry,) = here.entries(1)
    assert (200, False) == (got.status, got.whole)
    check(entry, told, here.envoy.release)
