# SPDX-License-Identifier: Apache-2.0
"""State formats: what each command becomes, and the exact words for what is none."""

from __future__ import annotations

import contextlib
import time

import pytest
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.fields import OPERATORS, STATE_FIELDS
from envoy_pyfilter.formats import parse
from envoy_pyfilter.plan_spec import Part
from hypothesis import example, given
from hypothesis import strategies as st


def literal(text: bytes) -> Part:
    """Make the part for text as it is."""
    return Part(op="literal", text=text)


def field(name: str, max_length: int = 0) -> Part:
    """Make the part for a field of the entry."""
    return Part(op="field", text=name.encode(), max_length=max_length)


def header(name: str, header_map: int, max_length: int = 0) -> Part:
    """Make the part for a header of one of the four maps."""
    return Part(op="header", text=name.encode(), map=header_map, max_length=max_length)


GOOD = [
    ("plain", (literal(b"plain"),)),
    ("gr\u00fc\u00dfe", (literal("gr\u00fc\u00dfe".encode()),)),
    ("%%", (literal(b"%"),)),
    ("100%%, %%%%", (literal(b"100%, %%"),)),
    ("%REQ(x-user)%", (header("x-user", 0),)),
    ("%REQ(X-User)%", (header("x-user", 0),)),
    ("%REQ(:METHOD)%", (header(":method", 0),)),
    ("%REQ_TRAILER(x)%", (header("x", 1),)),
    ("%RESP(x)%", (header("x", 2),)),
    ("%TRAILER(x)%", (header("x", 3),)),
    ("%REQ(x):10%", (header("x", 0, 10),)),
    ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", (field("path"),)),
    ("%NOTE(user id)%", (Part(op="note", text=b"user id"),)),
    ("%NOTE(k):3%", (Part(op="note", text=b"k", max_length=3),)),
    ("%FILTER_STATE(a.b)%", (Part(op="filter_state", text=b"a.b"),)),
    ("%FILTER_STATE(a.b:PLAIN):9%", (Part(op="filter_state", text=b"a.b", max_length=9),)),
    ("%DYNAMIC_METADATA(a.b:c)%", (Part(op="metadata", text=b"a.b:c"),)),
    ("%DYNAMIC_METADATA(a:c):2%", (Part(op="metadata", text=b"a:c", max_length=2),)),
    ("%FIELD(path)%", (field("path"),)),
    ("%RESPONSE_CODE%", (field("response_code"),)),
    ("%DURATION%", (field("duration_ms"),)),
    ("%GRPC_STATUS_NUMBER%", (field("grpc_status"),)),
    ("%RESPONSE_CODE_DETAILS:1048576%", (field("response_code_details", 1048576),)),
    (
        "%PROTOCOL%/%%%RESPONSE_CODE%ms",
        (field("protocol"), literal(b"/%"), field("response_code"), literal(b"ms")),
    ),
    ("%PROTOCOL%%PROTOCOL%", (field("protocol"), field("protocol"))),
]
_KNOWN = (
    "REQ, REQ_TRAILER, RESP, TRAILER, FIELD, NOTE, FILTER_STATE, DYNAMIC_METADATA, "
    + ", ".join(OPERATORS)
)
_NO_COMMAND = "not a command: expected %NAME% or %NAME(argument)%, and %% for a percent sign"
BAD = [
    ("", "empty; expected a format, like %RESPONSE_CODE%"),
    ("100%", f"at character 4: {_NO_COMMAND}"),
    ("100% of it", f"at character 4: {_NO_COMMAND}"),
    ("%REQ(x%", f"at character 1: {_NO_COMMAND}"),
    ("%REQ(x)", f"at character 1: {_NO_COMMAND}"),
    ("%REQ(a)b%", f"at character 1: {_NO_COMMAND}"),
    ("%REQ(x):-1%", f"at character 1: {_NO_COMMAND}"),
    ("ab%REQ%", "at character 3: %REQ% needs an argument: %REQ(name)%"),
    ("%NOTE()%", "at character 1: %NOTE% needs an argument: %NOTE(key)%"),
    ("%PROTOCOL()%", "at character 1: %PROTOCOL% takes no argument"),
    ("%DURATION(x)%", "at character 1: %DURATION% takes no argument"),
    (
        "%RESPONSECODE%",
        "at character 1: unknown command %RESPONSECODE%; did you mean RESPONSE_CODE?",
    ),
    ("%req(x)%", "at character 1: unknown command %req%; did you mean REQ?"),
    ("%ZZZZ%", f"at character 1: unknown command %ZZZZ%; known: {_KNOWN}"),
    (
        "%FIELD(respnse_code)%",
        "at character 1: unknown field respnse_code; did you mean response_code?",
    ),
    ("%FIELD(notes)%", "at character 1: the field notes is not a single value of the stream"),
    ("%FIELD(kind)%", "at character 1: the field kind is not a single value of the stream"),
    ("%REQ(a b)%", "at character 1: %REQ(a b)%: not a header name"),
    ("%RESP(:)%", "at character 1: %RESP(:)%: not a header name"),
    ("%REQ(a?b)%", "at character 1: %REQ(a?b)%: alternatives (?) are not supported"),
    (
        "%FILTER_STATE(a:TYPED)%",
        "at character 1: %FILTER_STATE(a:TYPED)%: expected a key; its value is taken as plain text",
    ),
    (
        "%DYNAMIC_METADATA(a)%",
        "at character 1: %DYNAMIC_METADATA(a)%: expected namespace:key, one key deep",
    ),
    (
        "%DYNAMIC_METADATA(a:b:c)%",
        "at character 1: %DYNAMIC_METADATA(a:b:c)%: expected namespace:key, one key deep",
    ),
    ("%REQ(x):0%", "at character 1: the length of %REQ% must be 1 to 1048576"),
    ("%REQ(x):1048577%", "at character 1: the length of %REQ% must be 1 to 1048576"),
    ("%REQ(x):99999999999%", "at character 1: the length of %REQ% must be 1 to 1048576"),
    ("a\ud800", "half a character (a lone surrogate) at 2"),
]


@pytest.mark.parametrize(("text", "parts"), GOOD)
def test_formats(text: str, parts: tuple[Part, ...]) -> None:
    """A format becomes its parts, in order, with neighbouring literals joined."""
    assert parts == parse(text)


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_formats(text: str, message: str) -> None:
    """What is no format is refused with its place and what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message == str(caught.value)


@pytest.mark.parametrize("name", STATE_FIELDS)
def test_every_field_of_the_stream(name: str) -> None:
    """``%FIELD(name)%`` takes every field that is a single value."""
    assert (field(name),) == parse(f"%FIELD({name})%")


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator(name: str) -> None:
    """Each of Envoy's operators that we list is understood."""
    assert (field(OPERATORS[name]),) == parse(f"%{name}%")


COMMANDS = st.sampled_from(["%", "%%", "%REQ(", ")%", ":", "9", "REQ", "NOTE", "(", ")", "?", "x"])
TEXTS = st.text() | st.lists(COMMANDS).map("".join) | st.text(alphabet=st.characters())


@given(TEXTS)
@example("\ud800%REQ(x)%")
def test_nothing_but_config_errors(text: str) -> None:
    """Whatever the text, the parser returns parts or raises ``ConfigError``."""
    try:
        parts = parse(text)
    except ConfigError:
        return
    assert all(part.text for part in parts)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1))
def test_literals_survive(text: str) -> None:
    """Any text can be written literally, with its percent signs doubled."""
    assert (literal(text.encode()),) == parse(text.replace("%", "%%"))


@pytest.mark.parametrize(
    "unit", ["%", "%%", "%REQ(", "a%", "%A", "%REQ(x):1", "%REQ(x)%", "((", "%REQ(x", "A"]
)
@pytest.mark.parametrize("prefix", ["", "%", "%REQ("])
def test_linear(prefix: str, unit: str) -> None:
    """Two hundred thousand characters take well under the hours that quadratic matching would."""
    text = prefix + unit * (200_000 // len(unit))
    begin = time.process_time()
    with contextlib.suppress(ConfigError):
        parse(text)
    assert time.process_time() - begin < 3
