# SPDX-License-Identifier: Apache-2.0
"""What each profile writes, judged by each Envoy: ``strict`` is never refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from envoy_pyfilter._operator.lexer import Command, Stray, tokens
from envoy_pyfilter.operators import Alias, Profile, resolve_format
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .command import RELEASES
from .judge import accepts, refused

KEY = "envoy.filters.http.ext_proc/envoyextensionpolicy/default/policy/extproc/0"
STATE = f"%FILTER_STATE({KEY}"
INNER = '{"command":"FILTER_STATE","param":"a:PLAIN"}'

# The table of what Envoy says of formats, from outside: it holds for each release.
ACCEPTED = [
    *(f"{STATE}{rest}" for rest in (")%", ":)%", "::)%", ":TYPED)%", ":PLAIN)%", ":PLAIN):10%")),
    *(f"{STATE}{rest}" for rest in (":FIELD:bytes_sent)%", ":FIELD:f:64)%")),
    *(f"%FILTER_STATE({rest}" for rest in ("a:FIELD:x:y:z)%", "a:PLAIN):0%", "a b:PLAIN)%")),
    *(f"%FILTER_STATE({rest}" for rest in ("a)b:PLAIN)%", "a%b:PLAIN)%")),
    *("%%", "100%%", "%REQ(A)%%REQ(B)%", "", "%%EG_EXT_FILTER_STATE(a:b)%%"),
    *(f"%DYNAMIC_METADATA({rest}" for rest in ("ns)%", "ns:k:k2):5%", ":k)%", '["a","b"])%')),
    *("%CLUSTER_METADATA(ns:k)%", "%UPSTREAM_METADATA(ns:k)%", "%METADATA(ROUTE:ns:k):5%"),
    f'%COALESCE({{"operators":[{INNER},{INNER}]}}):20%',
]
REFUSED = [
    *(f"{STATE}{rest}" for rest in (":latency_ns)%", ":latency_ns:TYPED)%", ":plain)%")),
    *(f"{STATE}{rest}" for rest in (": PLAIN)%", ":PLAIN:64)%", ":FIELD)%", ":FIELD:)%")),
    *("%FILTER_STATE()%", "%FILTER_STATE%", "%FILTER_STATE(:PLAIN)%", "%FILTER_STATE(a:TYPED"),
    *(f"%FILTER_STATE(a:{rest}" for rest in ("FIELD:b\nc)%", "PLAIN):%", "PLAIN):-1%")),
    *(f"%FILTER_STATE(a:PLAIN){rest}" for rest in (":12345678901234567890123%", "%%", "x%")),
    *("100%", "%-%", "%EG_EXT_FILTER_STATE(a:b)%", "%EG_EXT_FILTER_STATE(a:PLAIN)%", "%req(a)%"),
    *("%DYNAMIC_METADATA%", "%DYNAMIC_METADATA()%", "%CLUSTER_METADATA(ns:k):5%"),
    *("%METADATA(BAD:ns:k)%", "%REQ(a?b?c)%", "%PROTOCOL:12%", "%PER_REQUEST_STATE(a)%"),
    *('%COALESCE({"operators":[{"command":"NOPE"}]})%', "%UPSTREAM_METADATA(ns:k):5%"),
]


def test_what_envoy_accepts(release: str, tmp_path: Path) -> None:
    """Each row of the accepted half."""
    assert [] == refused(release, tmp_path, ACCEPTED)


@pytest.mark.parametrize(
    "version",
    [RELEASES[0], *(pytest.param(one, marks=pytest.mark.long) for one in RELEASES[1:])],
)
def test_what_envoy_refuses(version: str, tmp_path: Path) -> None:
    """Each row of the refused half, in a run of its own."""
    assert [] == [text for text in REFUSED if accepts(version, tmp_path, [text])]


AWKWARD = ["a)b", "a%b", "a b", "with:colon", "x)%y", "x):5%y", 'q"\\', "new\nline", "é", "%", ")"]
ALIASES = [
    Alias(name="auth", filter=KEY),
    Alias(name="twice", filter=KEY),
    Alias(name="twice", filter="other)%"),
    *(Alias(name="many", filter=key) for key in AWKWARD),
    *(Alias(name=f"odd{number}", filter=key) for number, key in enumerate(AWKWARD)),
    Alias(name="authz", filter="authz", kind="ext_authz"),
    Alias(name="script", kind="lua"),
    Alias(name="plugin", kind="wasm"),
    Alias(name="ours", filter="access", kind="dynamic_module", state={"tokens": "access.tokens"}),
    *(Alias(name="ours", filter=key, kind="dynamic_module") for key in AWKWARD),
]
NAMES = [*dict.fromkeys(alias.name for alias in ALIASES), "nobody", "", "a)b"]
OPERATORS = ["%EG_EXT_FILTER_STATE", "%EG_EXT_PROC_FILTER_STATE"]
FORMS = ["PLAIN", "TYPED", "FIELD"]
PARTS = ["PLAIN", "TYPED", "FIELD", "FIELD:bytes_sent", "bytes_sent", "latency_ns", "tokens", ""]
LENGTHS = ["", ":0", ":5", ":064", f":{1 << 64}", f":{(1 << 64) - 1}", f":{'9' * 23}"]

WHOLE = st.builds(
    lambda operator, name, parts, inside, outside: (
        f"{operator}({':'.join([name, *parts])}{inside}){outside}%"
    ),
    st.sampled_from(OPERATORS),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(PARTS), max_size=3),
    st.sampled_from(LENGTHS),
    st.sampled_from(LENGTHS),
)
NEIGHBOURS = st.sampled_from(
    ["%REQ(:METHOD)%", "%START_TIME(%Y-%m)%", "%PROTOCOL%", "%REQ(A?B):7%", "%%", " ", "text", "\n"]
)
BROKEN = st.sampled_from(
    [*OPERATORS, *(f"{one}(" for one in OPERATORS), ")%", "%", "(", ")", ":", "auth", ":5%", "\n"]
)
ANY = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)


def made(pieces: st.SearchStrategy[str], keep: Callable[[str], bool], count: int) -> list[str]:
    """Generate texts of these pieces."""
    found: list[str] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(pieces, max_size=6))
    def collect(parts: list[str]) -> None:
        text = "".join(parts)
        if keep(text):
            found.append(text)

    collect()
    return list(dict.fromkeys(found))


def has_only_known_commands(text: str) -> bool:
    """Tell whether Envoy's own commands in it, if any, are among the neighbours."""
    known = {"REQ", "START_TIME", "PROTOCOL", *(one[1:] for one in OPERATORS)}
    return all(
        token.name in known and (token.name != "REQ" or token.argument in (":METHOD", "A?B"))
        for token in tokens(text)
        if isinstance(token, Command)
    )


@pytest.fixture(scope="module")
def anything() -> list[str]:
    """Generate operators, whole and broken, among whatever text."""
    return made(
        st.one_of(WHOLE, WHOLE, NEIGHBOURS, BROKEN, ANY),
        lambda text: "%EG_" in text and has_only_known_commands(text),
        400,
    )


def test_strict_is_never_refused(release: str, tmp_path: Path, anything: list[str]) -> None:
    """Whatever the text, and whatever stands for the unknown: what is written is a format."""
    written = [
        resolve_format(text, ALIASES, unknown=unknown).text
        for unknown in ("-", "[{name}?] 100%", "")
        for text in anything
    ]

    assert 300 < len(written)
    assert [] == refused(release, tmp_path, list(dict.fromkeys(written)))


def is_accepted(text: str) -> bool:
    """Foretell Envoy's verdict by its published notation, for the commands of this corpus."""
    for token in tokens(text):
        if isinstance(token, Stray):
            return False
        if isinstance(token, Command) and not _is_command(token):
            return False
    return True


def _is_command(token: Command) -> bool:
    if token.length is not None and int(token.length) >= 1 << 64:
        return False
    if token.name != "FILTER_STATE":
        return token.name == "REQ"
    key, form, field, *_ = [*(token.argument or "").split(":"), "", ""]
    return key != "" and form in ("", *FORMS) and (form == "FIELD") == (field != "")


GATEWAYS: list[tuple[Profile, str]] = [
    ("eg-v1", "%EG_EXT_FILTER_STATE"),
    ("eg-v3", "%EG_EXT_PROC_FILTER_STATE"),
]


def of_gateways(operator: str) -> list[str]:
    """Generate what users of Envoy Gateway may have written."""
    whole = st.builds(
        lambda name, parts, outside: f"{operator}({':'.join([name, *parts])}){outside}%",
        st.sampled_from(["auth", "auth", "nobody", ""]),
        st.lists(st.sampled_from([*PARTS, "64"]), min_size=1, max_size=3),
        st.sampled_from(["", "", "", ":64"]),
    )
    others = st.sampled_from(["%REQ(:METHOD)%", "%%", " ", "%", "x\n"])
    return made(st.one_of(whole, others), lambda text: operator in text, 300)


@pytest.fixture(scope="module")
def by_gateways() -> list[str]:
    """Give what the profiles of Envoy Gateway write for that."""
    return [
        resolve_format(text, ALIASES, profile).text
        for profile, operator in GATEWAYS
        for text in of_gateways(operator)
    ]


def test_verdicts_of_gateways(release: str, tmp_path: Path, by_gateways: list[str]) -> None:
    """What the other profiles write is accepted and refused as Envoy's notation says."""
    written = dict.fromkeys(by_gateways)
    good = [text for text in written if is_accepted(text)]
    bad = [text for text in written if not is_accepted(text)]
    assert good
    assert bad

    assert [] == refused(release, tmp_path, good)
    assert [] == [text for text in bad[:: len(bad) // 8 or 1] if accepts(release, tmp_path, [text])]
