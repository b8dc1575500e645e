# SPDX-License-Identifier: Apache-2.0
"""Every place where Envoy evaluates a format is found, and only the formats there are changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter._operator.rewrite import Options, rewrite
from envoy_pyfilter.operators import Alias

from . import places
from .command import RELEASES
from .conftest import binary

RAW = "%EG_EXT_FILTER_STATE(mine:PLAIN)%"
RESOLVED = "%FILTER_STATE(key:PLAIN)%"
OPTIONS = Options(aliases=[Alias(name="mine", filter="key", kind="lua")])
# Where no HTTP filter's state can be.
BLIND = {
    "listener's log": "no HTTP filter's state is there for a connection",
    "TCP proxy's log": "no HTTP filter's state is there for a connection",
    "TCP tunnel's headers": "no HTTP filter's state is there for a connection",
    "TCP tunnel's host": "no HTTP filter's state is there for a connection",
    "upstream log": "what the filters know is not there in a log of upstream requests",
}


def accepts(release: str, folder: Path, bootstrap: Any) -> bool:
    """Ask Envoy."""
    file = folder / "places.json"
    file.write_text(json.dumps(bootstrap))
    command = [str(binary(release)), "--mode", "validate", "-c", str(file), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 or "EG_EXT_FILTER_STATE" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("place", places.PLACES.keys() - {places.LAZY})
def test_envoy_evaluates_a_format_there(place: str, tmp_path: Path) -> None:
    """Envoy refuses a command that it does not know, so it looks for commands."""
    assert not accepts(RELEASES[0], tmp_path, places.bootstrap(place, RAW))


@pytest.mark.parametrize("place", places.PLACES)
def test_each_place(place: str) -> None:
    """The format is resolved, and nothing else is other than before."""
    expected = "-" if place in BLIND else RESOLVED
    given = json.dumps(places.bootstrap(place, RAW))
    text, remarks = rewrite(Path("f"), given, OPTIONS)

    assert given.replace(RAW, expected) == text
    assert [
        f"nothing is known as 'mine': {BLIND[place]}; written as -" for _ in [0] if place in BLIND
    ] == [one.text for one in remarks]


@pytest.mark.parametrize(
    ("command", "filters", "attribute"),
    [
        ("FILTER_STATE", ["key"], "PLAIN"),
        ("DYNAMIC_METADATA", ["key"], "attribute"),
        ("COALESCE", ["key", "key)"], "PLAIN"),
    ],
)
def test_all_of_them_are_accepted(
    release: str, tmp_path: Path, command: str, filters: list[str], attribute: str
) -> None:
    """A bootstrap with a format in every place, resolved, is one that each Envoy takes."""
    given = json.dumps(places.together(RAW.replace("PLAIN", attribute)))
    aliases = [Alias(name="mine", filter=one, kind="lua") for one in filters]
    text, _ = rewrite(Path("f"), given, Options(aliases=aliases))

    assert text.count(f"%{command}(") == len(places.PLACES) - len(BLIND)
    assert "EG_EXT" not in text
    assert accepts(release, tmp_path, json.loads(text))


def camel(value: Any) -> Any:
    """Write the fields of messages as protobuf's JSON does; leave keys of maps."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join([head, *(word.title() for word in rest)]) if "." not in key else key: camel(one)
        for key, one in value.items()
        for head, *rest in [key.split("_")]
    }


@pytest.mark.parametrize("place", places.PLACES)
def test_camel_case(place: str) -> None:
    """Dumps name fields in camelCase."""
    given = json.dumps(camel(places.bootstrap(place, RAW)))
    text, _ = rewrite(Path("f"), given, OPTIONS)

    assert given.replace(RAW, "-" if place in BLIND else RESOLVED) == text


NOT_EVALUATED: dict[str, Any] = {
    "Envoy's own log": {
        "admin": {},
        "application_log_config": {"log_format": {"text_format": RAW}},
    },
    "node": {"node": {"id": RAW}},
    "a span's name": {"virtual_hosts": [{"routes": [{"decorator": {"operation": RAW}}]}]},
    "a signature's host": places.http("aws_request_signing.v3.AwsRequestSigning", host_rewrite=RAW),
    "OpenTelemetry resource attributes": {
        "filter_chains": [],
        "access_log": [
            places.log(
                "open_telemetry.v3.OpenTelemetryAccessLogConfig",
                resource_attributes=places.strings(RAW),
            )
        ],
    },
    "a key of JSON": {
        "filter_chains": [],
        "access_log": [
            places.log("stream.v3.StdoutAccessLog", log_format={"json_format": {RAW: "%PROTOCOL%"}})
        ],
    },
}


@pytest.mark.parametrize("case", NOT_EVALUATED)
def test_elsewhere(case: str) -> None:
    """A text that Envoy takes as it is stays, with a warning; keys are not looked at."""
    given = json.dumps(NOT_EVALUATED[case])
    text, remarks = rewrite(Path("f"), given, OPTIONS)

    assert given == text
    expected = "Envoy evaluates no format here; left as it is"
    assert [expected for _ in [0] if case != "a key of JSON"] == [one.text for one in remarks]


def test_a_number_of_hits(tmp_path: Path) -> None:
    """Envoy wants one command there, so what is unknown becomes one that is never set."""
    given = json.dumps(places.bootstrap("rate limit, hits", RAW))
    text, remarks = rewrite(Path("f"), given, Options())

    assert given.replace(RAW, "%FILTER_STATE(-:PLAIN)%") == text
    assert [
        "nothing is known as 'mine'; written as -",
        "Envoy wants a command here: one that is always unset",
    ] == [one.text for one in remarks]
    assert accepts(RELEASES[0], tmp_path, json.loads(text))


def test_a_header_that_is_too_long(tmp_path: Path) -> None:
    """Envoy takes 16384 bytes for a header's value."""
    long = Alias(name="mine", filter="k" * 9000, kind="lua")
    given = json.dumps(places.bootstrap("route, request", f"{RAW} {RAW}"))
    text, (remark,) = rewrite(Path("f"), given, Options(aliases=[long]))

    assert "longer than the 16384 bytes that Envoy takes for a header; written as -" == remark.text
    assert accepts(RELEASES[0], tmp_path, json.loads(text))
