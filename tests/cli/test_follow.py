# SPDX-License-Identifier: Apache-2.0
"""How entries look on a terminal, and how a file is followed."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from envoy_pyfilter._follow import pretty, tail

from .command import until

REQUEST = {
    "kind": "request",
    "time_unix_nano": 1_700_000_000_123_456_789,
    "method": "GET",
    "authority": "example.com",
    "path": "/a",
    "request_headers": {"accept": "*/*", "x-many": ["1", "2"]},
}
RESPONSE = {
    **REQUEST,
    "kind": "response",
    "response_code": 503,
    "response_flags": "UF",
    "duration_us": 1500,
    "response_headers": {"x-demo": "late"},
    "notes": {"team": "blue"},
}


def test_request() -> None:
    """A request shows its line and its headers."""
    line = pretty(json.dumps(REQUEST), colour=False)

    assert re.fullmatch(
        r"\d\d:\d\d:20\.123 request  GET example\.com /a  accept: \*/\*  x-many: \[\"1\", \"2\"\]",
        line,
    )


def test_response() -> None:
    """A response shows its status, its time and its headers, and what is out of the ordinary."""
    line = pretty(json.dumps(RESPONSE), colour=False)

    assert (
        "response 503 GET example.com /a 1.5 ms  x-demo: late  [response_flags: UF]  "
        '[notes: {"team": "blue"}]'
    ) == line.split(" ", 1)[1]


@pytest.mark.parametrize(("code", "colour"), [(200, "32"), (404, "33"), (503, "31")])
def test_colour(code: int, colour: str) -> None:
    """The colour of a response is that of its status."""
    line = pretty(json.dumps({**RESPONSE, "response_code": code}), colour=True)

    assert f"\x1b[{colour}mresponse {code} " in line
    assert line.endswith("\x1b[0m")


def test_no_forgery() -> None:
    """What a client sends cannot steer the terminal, nor begin a line of its own."""
    headers = {"x-evil": "\x1b[2J\r\n\x9b31m\u2028\u202e"}
    line = pretty(
        json.dumps({**REQUEST, "path": "/\x07", "request_headers": headers}), colour=False
    )

    assert (
        r"/\x07  x-evil: \x1b[2J\x0d\x0a\x9b31m\x2028\x202e" == line.partition(" example.com ")[2]
    )


@pytest.mark.parametrize("text", ["no json", '["a list"]', '{"no": "kind"}', "12"])
def test_foreign_line(text: str) -> None:
    """What is no entry passes unchanged."""
    assert text == pretty(text, colour=True)


def test_bare_entry() -> None:
    """An entry without most of its fields is shown as well."""
    assert "--:--:--.--- denied" == pretty('{"kind": "denied"}', colour=False)


def test_tail(tmp_path: Path) -> None:
    """A file is followed from where it stood, appears late, and may be moved away."""
    path = tmp_path / "entries"
    seen: list[str] = []
    ended = threading.Event()
    thread = threading.Thread(target=tail, args=(path, seen.append, ended, 4))
    thread.start()

    path.write_bytes(b"old\none\ntw")
    until(lambda: ["one"] == seen, lambda: str(seen))
    with path.open("ab") as file:
        file.write(b"o \xff\n")
    until(lambda: ["one", "two \ufffd"] == seen, lambda: str(seen))
    path.rename(tmp_path / "entries.1")
    path.write_bytes(b"three\n")
    until(lambda: "three" in seen, lambda: str(seen))
    with path.open("ab") as file:
        file.write(b"four\n")
    ended.set()
    thread.join()

    assert ["one", "two \ufffd", "three", "four"] == seen
