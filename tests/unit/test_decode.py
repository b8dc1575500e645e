# SPDX-License-Identifier: Apache-2.0
"""JSON text to typed configs: the exact words for each way in which it cannot be one."""

# msgspec copies the empty defaults of its structs.
# ruff: noqa: RUF012

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import json
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest
from envoy_pyfilter import Config
from envoy_pyfilter._decode import decode, parse_object
from envoy_pyfilter.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

T = TypeVar("T")
Port = NewType("Port", int)


class Colour(enum.Enum):
    """An enum of texts."""

    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    """A fixed tuple."""

    name: str
    weight: int


class Box(msgspec.Struct, Generic[T]):
    """Generic, and by itself not strict about unknown keys."""

    content: T


@dataclasses.dataclass
class Classic:
    """A dataclass."""

    size: int = 0


class Shape(TypedDict):
    """A TypedDict."""

    sides: int


class Cat(msgspec.Struct, tag_field="animal", tag="cat"):
    """One of two tagged structs."""

    lives: int = 9


class Dog(msgspec.Struct, tag_field="animal", tag="dog"):
    """The other one."""

    name: str


class Picky(msgspec.Struct):
    """Checks itself."""

    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        """Refuse what is the wrong way round."""
        if self.low > self.high:
            raise ValueError("low is above high")
        if self.low < 0:
            raise SystemExit("gone")


class Everything(Config, frozen=True, kw_only=True):
    """A user's config with all that can be nested."""

    limit: int = 0
    ratio: float = 0.5
    name: str = ""
    strict: bool = False
    maybe: int | None = None
    level: Literal["low", "high"] = "low"
    colour: Colour = Colour.RED
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 80
    other_port: Port = Port(0)
    words: list[str] = []
    matrix: list[list[int]] = []
    pairs: tuple[tuple[str, int], ...] = ()
    pair: Pair | None = None
    limits: dict[str, int] = {}
    by_name: Mapping[str, Box[int]] = {}
    box: Box[list[str]] | None = None
    boxes: dict[str, list[Box[bool]]] = {}
    classic: Classic = msgspec.field(default_factory=Classic)
    pet: Cat | Dog | None = None
    picky: Picky = msgspec.field(default_factory=Picky)
    renamed: int = msgspec.field(default=0, name="new-name")
    short: Annotated[list[int], msgspec.Meta(max_length=2)] = []
    free: dict[str, Any] = {}
    shape: Shape | None = None
    by_port: dict[int, str] = {}
    since: dt.date | None = None


class Required(Config, frozen=True, kw_only=True):
    """A config with keys that must be there."""

    first: int
    second: str


BAD: list[tuple[Any, str]] = [
    # unknown keys, at every level, with or without somebody's forbid_unknown_fields
    ({"limt": 1}, "limt: unknown key; did you mean limit?"),
    ({"Limit": 1}, "Limit: unknown key; did you mean limit?"),
    ({"onError": 1}, "onError: unknown key; did you mean on_error?"),
    ({"new_name": 1}, "new_name: unknown key; did you mean new-name?"),
    ({"by_name": {"a": {"contents": 1}}}, "by_name.a.contents: unknown key; did you mean content?"),
    ({"box": {"content": [], "x": 1}}, "box.x: unknown key; known: content"),
    ({"boxes": {"a b": [{}, {"y": 1}]}}, 'boxes["a b"][1].y: unknown key; known: content'),
    ({"classic": {"sized": 1}}, "classic.sized: unknown key; did you mean size?"),
    ({"pet": {"animal": "dog", "lives": 1}}, "pet.lives: unknown key; known: animal, name"),
    (
        {"zz": 1, "aa": 1, "limit": "x"},
        "aa: unknown key; known: "
        + ", ".join(f.encode_name for f in msgspec.structs.fields(Everything)),
    ),
    # wrong types
    ({"limit": "5"}, 'limit: wrong type, got "5"; expected an integer'),
    ({"limit": 5.5}, "limit: wrong type, got 5.5; expected an integer"),
    ({"limit": True}, "limit: wrong type, got true; expected an integer"),
    ({"limit": None}, "limit: wrong type, got null; expected an integer"),
    ({"limit": [1, {"a": "b"}]}, 'limit: wrong type, got [1, {"a": "b"}]; expected an integer'),
    ({"ratio": "x"}, 'ratio: wrong type, got "x"; expected a number'),
    ({"name": 5}, "name: wrong type, got 5; expected a string"),
    ({"name": ["x" * 99]}, f'name: wrong type, got ["{"x" * 58}...; expected a string'),
    ({"strict": 1}, "strict: wrong type, got 1; expected true or false"),
    ({"maybe": "x"}, 'maybe: wrong type, got "x"; expected an integer or null'),
    ({"words": "x"}, 'words: wrong type, got "x"; expected a list'),
    ({"words": ["a", 1]}, "words[1]: wrong type, got 1; expected a string"),
    ({"matrix": [[1], [1, "x"]]}, 'matrix[1][1]: wrong type, got "x"; expected an integer'),
    ({"pairs": [["a", 1], ["b"]]}, 'pairs[1]: not allowed, got ["b"]; expected a list of length 2'),
    ({"pairs": [["a", 1], ["b", "c"]]}, 'pairs[1][1]: wrong type, got "c"; expected an integer'),
    ({"pair": ["a", "b"]}, 'pair[1]: wrong type, got "b"; expected an integer'),
    ({"limits": {"a.b": "x"}}, 'limits["a.b"]: wrong type, got "x"; expected an integer'),
    ({"limits": 3}, "limits: wrong type, got 3; expected a mapping"),
    (
        {"by_name": {"a": {"content": "x"}}},
        'by_name.a.content: wrong type, got "x"; expected an integer',
    ),
    ({"box": {"content": [0]}}, "box.content[0]: wrong type, got 0; expected a string"),
    ({"box": 4}, "box: wrong type, got 4; expected a mapping or null"),
    (
        {"boxes": {"a": [{"content": 1}]}},
        "boxes.a[0].content: wrong type, got 1; expected true or false",
    ),
    ({"classic": {"size": "x"}}, 'classic.size: wrong type, got "x"; expected an integer'),
    ({"other_port": "x"}, 'other_port: wrong type, got "x"; expected an integer'),
    ({"new-name": "x"}, 'new-name: wrong type, got "x"; expected an integer'),
    ({"python_path": "x"}, 'python_path: wrong type, got "x"; expected a list'),
    ({"shape": {"sides": "x"}}, 'shape.sides: wrong type, got "x"; expected an integer'),
    ({"shape": {}}, "shape.sides: missing; expected an integer"),
    ({"shape": {"side": 1}}, "shape.side: unknown key; did you mean sides?"),
    ({"by_port": {"80": 1}}, "by_port.80: wrong type, got 1; expected a string"),
    ({"by_port": {"80": "a", "x": "b"}}, "by_port.x: not allowed as a key; expected an integer"),
    # right types, wrong values
    ({"level": "hgih"}, 'level: unknown value, got "hgih"; expected low or high'),
    ({"level": 3}, "level: wrong type, got 3; expected low or high"),
    ({"colour": "green"}, 'colour: unknown value, got "green"; expected red or blue'),
    ({"on_error": "open"}, 'on_error: unknown value, got "open"; expected deny or allow'),
    ({"port": 0}, "port: not allowed, got 0; expected an integer >= 1"),
    ({"port": 65536}, "port: not allowed, got 65536; expected an integer <= 65535"),
    ({"short": [1, 2, 3]}, "short: not allowed, got [1, 2, 3]; expected a list of length <= 2"),
    ({"since": "soon"}, 'since: Invalid RFC3339 encoded date, got "soon"'),
    # missing
    ({"by_name": {"a": {}}}, "by_name.a.content: missing; expected an integer"),
    ({"pet": {"animal": "dog"}}, "pet.name: missing; expected a string"),
    # tagged unions
    ({"pet": {"animal": "cow"}}, 'pet.animal: unknown animal, got "cow"; expected cat or dog'),
    ({"pet": {"animal": 3}}, "pet.animal: unknown animal, got 3; expected cat or dog"),
    ({"pet": {"animal": []}}, "pet.animal: unknown animal, got []; expected cat or dog"),
    ({"pet": {"name": "x"}}, "pet.animal: missing; expected cat or dog"),
    # what a class says itself
    ({"picky": {"low": 2}}, "picky: low is above high"),
    ({"picky": {"low": -1}}, "Everything raised SystemExit: gone; its traceback stands above"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_bad_values(value: dict[str, Any], message: str) -> None:
    """Each mistake has its path, what was found, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        decode(parse_object(json.dumps(value).encode(), "filter_config"), Everything)
    assert message == str(caught.value)


def test_missing_keys_in_order() -> None:
    """The first of several missing keys is named."""
    with pytest.raises(ConfigError) as caught:
        decode({"second": 4}, Required)
    assert "first: missing; expected an integer" == str(caught.value)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_keys_does_not_matter(order: int) -> None:
    """Envoy does not keep the order of keys, so the message must not depend on it."""
    value = dict([("name", 1), ("limit", "x"), ("words", 3)][::order])
    with pytest.raises(ConfigError) as caught:
        decode(value, Everything)
    assert 'limit: wrong type, got "x"; expected an integer' == str(caught.value)


def test_good_values() -> None:
    """Whole doubles are integers where the class wants integers."""
    text = b"""{"limit": 5.0, "ratio": 2, "port": 8e3, "pair": ["a", 1.0], "pet": {"animal": "cat"},
        "box": {"content": ["x"]}, "boxes": {"a": [{"content": true}]}, "limits": {"a": -0.0},
        "new-name": 7, "maybe": null, "classic": {"size": 1}, "free": {"a": [1.5, null]},
        "by_port": {"80": "a"}}"""
    config = decode(parse_object(text, "filter_config"), Everything)
    expected = Everything(
        limit=5,
        ratio=2.0,
        port=8000,
        pair=Pair("a", 1),
        pet=Cat(),
        box=Box(["x"]),
        boxes={"a": [Box(True)]},
        limits={"a": 0},
        renamed=7,
        classic=Classic(1),
        free={"a": [1.5, None]},
        by_port={80: "a"},
    )
    assert expected == config


NOT_STRUCTS = [
    (b"hello", 'filter_config must be a google.protobuf.Struct, got "hello"'),
    (b'"hello"', 'filter_config must be a google.protobuf.Struct, got "hello"'),
    (b"5", "filter_config must be a google.protobuf.Struct, got 5"),
    (b"null", "filter_config must be a google.protobuf.Struct, got null"),
    (b"[1]", "filter_config must be a google.protobuf.Struct, got [1]"),
    (b"{", 'filter_config must be a google.protobuf.Struct, got "{"'),
    (b"\xff{}", "filter_config must be a google.protobuf.Struct, got bytes that are not UTF-8"),
    # Python 3.14 counts no levels: it looks how much of the stack is left.
    (b'{"a":' + b"[" * 99999 + b"]" * 99999 + b"}", "filter_config is nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), NOT_STRUCTS)
def test_not_a_struct(text: bytes, message: str) -> None:
    """Other messages than a Struct reach us as they are, and are refused."""
    with pytest.raises(ConfigError) as caught:
        parse_object(text, "filter_config")
    assert message == str(caught.value)


def test_nothing_is_an_empty_struct() -> None:
    """A filter without ``filter_config`` has its defaults."""
    assert {} == parse_object(b"", "filter_config")


class Odd(Config, frozen=True, kw_only=True):
    """A config whose type cannot be found."""

    what: "Nowhere" = None  # type: ignore[name-defined]  # noqa: F821, UP037


def test_a_config_class_that_cannot_be_used(caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with the class itself is said, and the traceback is in the log."""
    with caplog.at_level(logging.ERROR, "envoy_pyfilter"), pytest.raises(ConfigError) as caught:
        decode({}, Odd)
    expected = (
        "Odd cannot be used as a config: NameError: name 'Nowhere' is not defined; "
        "its traceback stands above"
    )
    assert expected == str(caught.value)
    assert caplog.records[0].exc_info


class Tree(Config, frozen=True, kw_only=True):
    """A config that holds itself."""

    left: "Tree | None" = None  # noqa: UP037


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [f.encode_name for f in msgspec.structs.fields(Everything)] + ["content"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(JSON)
def test_nothing_but_config_errors(value: object) -> None:
    """Whatever the JSON, there is a config or a ``ConfigError``."""
    with contextlib.suppress(ConfigError):
        decode(parse_object(json.dumps(value).encode(), "filter_config"), Everything)


def test_a_recursive_config() -> None:
    """A mistake deep inside has its whole path."""
    with pytest.raises(ConfigError) as caught:
        decode({"left": {"left": {"left": 3}}}, Tree)
    assert "left.left.left: wrong type, got 3; expected a mapping or null" == str(caught.value)


def test_too_deep() -> None:
    """What is nested beyond all reason is refused, not a crash."""
    value: dict[str, Any] = {}
    for _ in range(10_000):
        value = {"left": value}
    with pytest.raises(ConfigError) as caught:
        decode(value, Tree)
    assert "nested too deeply" == str(caught.value)
