# SPDX-License-Identifier: Apache-2.0
"""The profile ``strict``: what it writes for each kind of filter, and what it says of the rest."""

from __future__ import annotations

import pytest
from envoy_pyfilter import ConfigError
from envoy_pyfilter._operator import strict
from envoy_pyfilter._operator.aliases import EXT_PROC_FIELDS
from envoy_pyfilter._operator.lexer import Command, Literal, Stray, tokens
from envoy_pyfilter.operators import Alias, Notice, resolve_format
from hypothesis import given
from hypothesis import strategies as st

ALIASES = [
    Alias(name="auth", filter="K"),
    Alias(name="authz", filter="Z", kind="ext_authz"),
    Alias(name="script", filter="key", kind="lua"),
    Alias(name="other", namespace="my.space", kind="lua", state={"seen": "my.seen"}),
    Alias(name="plugin", kind="wasm"),
    Alias(name="ours", filter="edge", kind="dynamic_module", state={"tokens": "edge.tokens"}),
    Alias(
        name="timed",
        filter="S",
        kind="dynamic_module",
        namespace="own",
        statistics="space",
        state={"failed_open": "S.failed_open"},
    ),
    Alias(name="two", filter="A"),
    Alias(name="two", filter="B)"),
    Alias(name="colon", filter="a:b"),
    Alias(name="closing", filter="a)%b"),
]


def op(argument: str) -> str:
    """Write the operator."""
    return f"%EG_EXT_FILTER_STATE({argument})%"


ANY_OF_TWO = (
    '%COALESCE({"operators":[{"command":"FILTER_STATE","param":"A:PLAIN"},'
    '{"command":"FILTER_STATE","param":"B\\u0029:PLAIN"}]}):9%'
)

SILENT = {
    "a field": ("auth:bytes_sent", "%FILTER_STATE(K:FIELD:bytes_sent)%"),
    "a field in full": ("auth:FIELD:bytes_sent", "%FILTER_STATE(K:FIELD:bytes_sent)%"),
    "PLAIN": ("auth:PLAIN", "%FILTER_STATE(K:PLAIN)%"),
    "TYPED": ("auth:TYPED", "%FILTER_STATE(K:TYPED)%"),
    "nothing is TYPED": ("auth:", "%FILTER_STATE(K:TYPED)%"),
    "not even a colon": ("auth", "%FILTER_STATE(K:TYPED)%"),
    "a length inside": ("auth:PLAIN:64", "%FILTER_STATE(K:PLAIN):64%"),
    "a length of a field": ("auth:bytes_sent:2", "%FILTER_STATE(K:FIELD:bytes_sent):2%"),
    "a length with zeros": ("auth:PLAIN:064", "%FILTER_STATE(K:PLAIN):64%"),
    "no length at all": ("auth:PLAIN:0", "%FILTER_STATE(K:PLAIN):0%"),
    "ext_authz, a field": ("authz:latency_us", "%FILTER_STATE(Z:FIELD:latency_us)%"),
    "ext_authz, other": ("authz:team", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:team)%"),
    "ext_authz, all": ("authz:TYPED", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%"),
    "Lua": ("script:user", "%DYNAMIC_METADATA(envoy.filters.http.lua:user)%"),
    "Lua, all": ("script:TYPED", "%DYNAMIC_METADATA(envoy.filters.http.lua)%"),
    "Lua, text": ("script:PLAIN", "%FILTER_STATE(key:PLAIN)%"),
    "Lua, namespace": ("other:user:5", "%DYNAMIC_METADATA(my.space:user):5%"),
    "Lua, state": ("other:seen", "%FILTER_STATE(my.seen:PLAIN)%"),
    "Wasm": ("plugin:a.b", "%FILTER_STATE(wasm.a.b:PLAIN)%"),
    "ours, state": ("ours:tokens", "%FILTER_STATE(edge.tokens:PLAIN)%"),
    "ours, metadata": ("ours:model", "%DYNAMIC_METADATA(edge:model)%"),
    "ours, text": ("ours:PLAIN", "%FILTER_STATE(edge:PLAIN)%"),
    "ours, all": ("ours:TYPED", "%DYNAMIC_METADATA(edge)%"),
    "statistics, text": ("timed:PLAIN", "%FILTER_STATE(S:PLAIN)%"),
    "statistics, all": ("timed:TYPED", "%DYNAMIC_METADATA(space)%"),
    "statistics, a field": ("timed:bytes_sent", "%DYNAMIC_METADATA(space:bytes_sent)%"),
    "statistics, a key": ("timed:failed_open", "%FILTER_STATE(S.failed_open:PLAIN)%"),
    "statistics, other": ("timed:tokens", "%DYNAMIC_METADATA(own:tokens)%"),
    "several": ("two:PLAIN:9", ANY_OF_TWO),
}


@pytest.mark.parametrize("case", SILENT)
def test_resolved(case: str) -> None:
    """Each row, without a warning; the other spelling of the operator means the same."""
    argument, expected = SILENT[case]
    found = resolve_format(op(argument), ALIASES)
    other = resolve_format(f"%EG_EXT_PROC_FILTER_STATE({argument})%", ALIASES)

    assert (expected, ()) == (found.text, found.notices)
    assert found == other


FORM = "expected %EG_EXT_FILTER_STATE(name:attribute)%"
TOLD = {
    "unknown": (op("nobody:a"), "-", "nothing is known as 'nobody'; written as -"),
    "nearly known": (
        op("scripd:a"),
        "-",
        "nothing is known as 'scripd'; did you mean script?; written as -",
    ),
    "no such field": (
        op("auth:latency_ns"),
        "%FILTER_STATE(K:FIELD:latency_ns)%",
        "'auth': ext_proc has no field 'latency_ns', so it is always unset",
    ),
    "nearly a field": (
        op("auth:byte_sent"),
        "%FILTER_STATE(K:FIELD:byte_sent)%",
        (
            "'auth': ext_proc has no field 'byte_sent', so it is always unset; "
            "did you mean bytes_sent?"
        ),
    ),
    "a long name of no field": (
        op("auth:" + "x" * 100_000),
        "%FILTER_STATE(K:FIELD:" + "x" * 100_000 + ")%",
        f"'auth': ext_proc has no field '{'x' * 60}...', so it is always unset",
    ),
    "a negative length": (
        op("auth:PLAIN:-1"),
        "%FILTER_STATE(K:PLAIN)%",
        "'-1' is no length, which is digits; it is left out",
    ),
    "ext_authz has no text": (
        op("authz:PLAIN"),
        "%FILTER_STATE(Z:PLAIN)%",
        "'authz': the state of ext_authz has fields only: it has no text",
    ),
    "too much": (
        op("auth:PLAIN:x:y"),
        "%FILTER_STATE(K:PLAIN)%",
        "'x:y' has no meaning here and is left out",
    ),
    "a form after a field": (
        op("auth:bytes_sent:TYPED"),
        "%FILTER_STATE(K:FIELD:bytes_sent)%",
        "'TYPED' has no meaning here and is left out",
    ),
    "a length that is too large": (
        op(f"auth:PLAIN:{1 << 64}"),
        "%FILTER_STATE(K:PLAIN)%",
        "the length '18446744073709551616' is too large and left out",
    ),
    "no name": (op(":PLAIN"), "-", f"an operator without a name; {FORM}; written as -"),
    "no argument": (
        "%EG_EXT_FILTER_STATE%",
        "-",
        f"an operator without a name; {FORM}; written as -",
    ),
    "no field": (op("auth:FIELD"), "-", f"FIELD without a field's name; {FORM}; written as -"),
    "not closed": (
        "%EG_EXT_FILTER_STATE(auth:PLAIN",
        "%%EG_EXT_FILTER_STATE(auth:PLAIN",
        f"this operator is not closed, or holds a newline; it is written as text ({FORM})",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_told(case: str) -> None:
    """Each row, with its warning."""
    text, expected, notice = TOLD[case]
    found = resolve_format(text, ALIASES)

    assert (expected, (Notice(1, 1, notice),)) == (found.text, found.notices)


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("plugin:PLAIN", "'plugin': a Wasm filter has no state as a whole; name a property"),
        ("other:PLAIN", "'other': the alias names no filter state"),
        ("colon:PLAIN", "'colon': the filter-state key 'a:b' has a colon, which no format can say"),
        ("closing:PLAIN", "'closing': no format can say 'a)%b:PLAIN'"),
    ],
)
def test_nothing_to_say(argument: str, why: str) -> None:
    """What no format of Envoy's can express is as good as unknown."""
    name = argument.partition(":")[0]
    found = resolve_format(op(argument), ALIASES)

    assert "-" == found.text
    assert [why, f"'{name}' is written as -"] == [one.text for one in found.notices]


def test_the_smaller_length() -> None:
    """A length inside and one outside."""
    for inside, outside in ((5, 64), (64, 5)):
        text = f"%EG_EXT_FILTER_STATE(auth:PLAIN:{inside}):{outside}%"
        assert "%FILTER_STATE(K:PLAIN):5%" == resolve_format(text, ALIASES).text


def test_where() -> None:
    """Line and column are those of the operator's first character."""
    text = f"%REQ(A)%\né {op('auth:PLAIN')} {op('x:y')}\n{op('z:y')}"
    found = resolve_format(text, ALIASES)

    assert [(2, 37), (3, 1)] == [(one.line, one.column) for one in found.notices]
    assert "2:37: nothing is known as 'x'; written as -" == str(found.notices[0])


def test_the_rest_stays() -> None:
    """Envoy's own commands and escaped percent signs stay; a stray one is doubled."""
    found = resolve_format(
        f"%%EG_EXT_FILTER_STATE(a:b)%% 5% {op('auth:PLAIN')}%REQ(X?Y):3%", ALIASES
    )

    assert "%%EG_EXT_FILTER_STATE(a:b)%% 5%% %FILTER_STATE(K:PLAIN)%%REQ(X?Y):3%" == found.text
    assert [(1, 31)] == [(one.line, one.column) for one in found.notices]
    assert "a percent sign that begins no command, which Envoy would refuse; doubled" == (
        found.notices[0].text
    )


def test_without_an_operator() -> None:
    """A format without an operator is not looked at, whatever is wrong with it."""
    assert ("100% %NOPE", ()) == (
        (found := resolve_format("100% %NOPE", ALIASES)).text,
        found.notices,
    )


def test_a_marker() -> None:
    """What stands for the unknown is a text of the user's; Envoy prints it as it is."""
    found = resolve_format(op("a%b:PLAIN"), [], unknown="[no {name}, 100%]")

    assert "[no a%%b, 100%%]" == found.text


def test_without_coalesce() -> None:
    """Before Envoy 1.37 only the first of several filters can be read."""
    found = strict.resolve(op("two:PLAIN"), ALIASES, strict.Settings(coalesce=False))

    assert "%FILTER_STATE(A:PLAIN)%" == found.text
    assert [
        "'two' stands for 2 filters, and there is no COALESCE here; only the first is read"
    ] == [one.text for one in found.notices]


def test_the_same_twice() -> None:
    """Two aliases that mean the same need no COALESCE."""
    same = [Alias(name="a", filter="K"), Alias(name="a", filter="K")]

    assert "%FILTER_STATE(K:PLAIN)%" == resolve_format(op("a:PLAIN"), same).text


def test_fields_of_ext_proc() -> None:
    """There are 28 of them, each once."""
    assert 28 == len({*EXT_PROC_FIELDS}) == len(EXT_PROC_FIELDS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a:b", "filter": "K"}, "alias 'a:b' has a colon, which ends it"),
        ({"name": "", "filter": "K"}, "alias '' is no name"),
        ({"name": "a\nb", "filter": "K"}, "alias 'a\\nb' is no name"),
        ({"name": "a"}, "alias 'a': an ext_proc filter needs its name"),
        ({"name": "a", "kind": "rust"}, "alias 'a': unknown kind 'rust'"),
    ],
)
def test_bad_alias(fields: dict[str, str], message: str) -> None:
    """An alias that no format could use is refused."""
    with pytest.raises(ConfigError) as caught:
        Alias(**fields)  # type: ignore[arg-type] # what is wrong is the test

    assert message == str(caught.value)


def test_unknown_profile() -> None:
    """A profile that does not exist is refused by name."""
    with pytest.raises(ConfigError) as caught:
        resolve_format("", [], "eg-v2")  # type: ignore[arg-type] # what is wrong is the test

    assert 'profile: unknown value, got "eg-v2"; expected strict, eg-v1 or eg-v3' == str(
        caught.value
    )


PIECES = st.sampled_from(
    [*"%():\n aA0é", "%%", "%A", ")%", "):1%", ":1%", "%A(", "%EG_EXT_FILTER_STATE(", "auth:PLAIN"]
)


@given(st.lists(PIECES).map("".join))
def test_tokens_cover_the_text(text: str) -> None:
    """Nothing is lost between tokens, and a command is one by Envoy's own expression."""
    found = list(tokens(text))

    assert text == "".join(text[one.start : one.end] for one in found)
    assert all(one.start < one.end for one in found)
    assert all(
        "%" not in text[one.start : one.end].replace("%%", "")
        for one in found
        if isinstance(one, Literal)
    )
    assert all("%" == text[one.start : one.end] for one in found if isinstance(one, Stray))
    assert all(
        one.argument is None or "\n" not in one.argument
        for one in found
        if isinstance(one, Command)
    )


@given(st.lists(PIECES).map("".join), st.sampled_from(["-", "x%y", "{name}"]))
def test_strict_leaves_no_operator(text: str, unknown: str) -> None:
    """What is written holds no operator, and no percent sign that begins nothing."""
    written = resolve_format(f"{op('auth:PLAIN')}{text}", ALIASES, unknown=unknown).text

    for token in tokens(written):
        assert not isinstance(token, Stray)
        assert not isinstance(token, Command) or not token.name.startswith("EG_")
