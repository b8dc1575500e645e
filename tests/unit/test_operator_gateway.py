# SPDX-License-Identifier: Apache-2.0
"""
The profiles of Envoy Gateway: the change's own tests, and its regular expressions as an oracle.

What they get wrong stands here too: formats that Envoy refuses, operators that are not seen.
"""

from __future__ import annotations

import re

import pytest
from envoy_pyfilter.operators import Alias, Profile, resolve_format
from hypothesis import example, given
from hypothesis import strategies as st

PREFIX = "envoy.filters.http.ext_proc/"
KEYS = [f"{PREFIX}ns/extproc/my-eep/{number}" for number in range(3)]
# The third candidate of the change's tests has no name, so no operator can name it.
CANDIDATES = [Alias(name="auth", filter=KEYS[0]), Alias(name="enrichment", filter=KEYS[1])]


def op(argument: str) -> str:
    """Write the operator of eg-v1."""
    return f"%EG_EXT_FILTER_STATE({argument})%"


def op3(argument: str) -> str:
    """Write the operator of eg-v3."""
    return f"%EG_EXT_PROC_FILTER_STATE({argument})%"


def fs(number: int, rest: str) -> str:
    """Write what a candidate's key becomes."""
    return f"%FILTER_STATE({KEYS[number]}:{rest})%"


# TestResolveEGExtFilterStateOperators of commit 619a81e6, in its order.
V1 = {
    "resolves": (
        f"[%START_TIME%] {op('auth:latency_ns')}",
        f"[%START_TIME%] {fs(0, 'latency_ns')}",
    ),
    "second": (op("enrichment:grpc_status_code"), fs(1, "grpc_status_code")),
    "several": (
        f"{op('auth:latency_ns')} {op('enrichment:grpc_status_code')}",
        f"{fs(0, 'latency_ns')} {fs(1, 'grpc_status_code')}",
    ),
    "type": (op("auth:latency_ns:TYPED"), fs(0, "latency_ns:TYPED")),
    "length": (op("auth:latency_ns:PLAIN:64"), fs(0, "latency_ns:PLAIN:64")),
    "unknown": (op("unknown:latency_ns"), "-"),
    "mixed": (
        f"{op('auth:latency_ns')} {op('unknown:grpc_status_code')}",
        f"{fs(0, 'latency_ns')} -",
    ),
    "none": ("[%START_TIME%] %REQ(:METHOD)%", "[%START_TIME%] %REQ(:METHOD)%"),
    "empty": ("", ""),
}
# The same of its last commit, 52edf15b.
V3 = {
    "resolves": (
        f"[%START_TIME%] {op3('auth:FIELD:bytes_sent')}",
        f"[%START_TIME%] {fs(0, 'FIELD:bytes_sent')}",
    ),
    "second": (op3("enrichment:FIELD:bytes_sent"), fs(1, "FIELD:bytes_sent")),
    "several": (
        f"{op3('auth:FIELD:bytes_sent')} {op3('enrichment:FIELD:bytes_sent')}",
        f"{fs(0, 'FIELD:bytes_sent')} {fs(1, 'FIELD:bytes_sent')}",
    ),
    "type": (op3("auth:TYPED"), fs(0, "TYPED")),
    "length": (op3("auth:PLAIN:64"), fs(0, "PLAIN:64")),
    "unknown": (op3("unknown:FIELD:bytes_sent"), "[EG_UNRESOLVED:unknown]"),
    "mixed": (
        f"{op3('auth:FIELD:bytes_sent')} {op3('unknown:FIELD:bytes_sent')}",
        f"{fs(0, 'FIELD:bytes_sent')} [EG_UNRESOLVED:unknown]",
    ),
    "none": ("[%START_TIME%] %REQ(:METHOD)%", "[%START_TIME%] %REQ(:METHOD)%"),
    "empty": ("", ""),
}


@pytest.mark.parametrize("case", V1)
def test_own_tests_of_v1(case: str) -> None:
    """Each row of the first commit's table."""
    text, expected = V1[case]

    assert expected == resolve_format(text, CANDIDATES, "eg-v1").text


@pytest.mark.parametrize("case", V3)
def test_own_tests_of_v3(case: str) -> None:
    """Each row of the last commit's table."""
    text, expected = V3[case]

    assert expected == resolve_format(text, CANDIDATES, "eg-v3").text


@pytest.mark.parametrize(
    ("profile", "text", "expected"),
    [
        ("eg-v1", op("auth:latency_ns"), "-"),
        ("eg-v3", op3("auth:FIELD:bytes_sent"), "[EG_UNRESOLVED:auth]"),
    ],
)
def test_no_candidates(profile: Profile, text: str, expected: str) -> None:
    """With nothing to name, every operator is unknown: the last row of both tables."""
    assert expected == resolve_format(text, [], profile).text


# What the expressions do with less usual text; by reading, and the oracle below agrees.
WRONG = {
    "a length outside is not seen": ("eg-v1", f"{op('auth:PLAIN')[:-1]}:64%", None),
    "an escaped operator is resolved": ("eg-v1", f"%{op('a:b')}%", "%-%"),
    "no trimming": ("eg-v1", op(" auth:PLAIN"), "-"),
    "a name may hold anything": ("eg-v1", op("a)\n%(b:PLAIN"), "-"),
    "no attribute": ("eg-v1", op("auth:"), None),
    "no name": ("eg-v1", op(":PLAIN"), None),
    "lower case": ("eg-v1", "%eg_ext_filter_state(auth:PLAIN)%", None),
    "side by side": ("eg-v1", op("auth:PLAIN") * 2, fs(0, "PLAIN") * 2),
    "the output is not scanned again": ("eg-v1", op(f"x:{op('auth:PLAIN')}"), None),
    "the other operator": ("eg-v1", op3("auth:PLAIN"), None),
    "the first operator": ("eg-v3", op("auth:PLAIN"), None),
    "an empty tail": ("eg-v3", op3("auth:"), fs(0, "")),
    "no tail": ("eg-v3", op3("auth"), None),
    "a bracket ends the name": ("eg-v3", op3("a)b:PLAIN"), None),
    "a length inside goes on": ("eg-v3", op3("auth:PLAIN:64"), fs(0, "PLAIN:64")),
}
WRONG["the output is not scanned again"] = ("eg-v1", "%EG_EXT_FILTER_STATE(x:" + op("auth:y"), "-")


@pytest.mark.parametrize("case", WRONG)
def test_what_they_get_wrong(case: str) -> None:
    """Text that Envoy's notation reads otherwise; None: it is left as it is."""
    profile, text, expected = WRONG[case]

    assert (text if expected is None else expected) == resolve_format(
        text,
        CANDIDATES,
        profile,  # type: ignore[arg-type] # a table's text
    ).text


def test_first_of_two() -> None:
    """Of two instances with one name the first counts."""
    twice = [Alias(name="auth", filter=key) for key in KEYS[1:]]

    assert fs(1, "PLAIN") == resolve_format(op("auth:PLAIN"), twice, "eg-v1").text


def test_only_ext_proc() -> None:
    """Other filters had no names then."""
    script = Alias(name="auth", filter="x", kind="lua")

    assert "-" == resolve_format(op("auth:PLAIN"), [script], "eg-v1").text


# The published expressions; that of the first without its star in a star, which Python's engine
# takes exponential time for.
ORACLES = {
    "eg-v1": (r"%EG_EXT_FILTER_STATE\(([^:]+):([^):]+)((?::[^)]*)?)\)%", "-"),
    "eg-v3": (r"%EG_EXT_PROC_FILTER_STATE\(([^:)]+)(:[^)]*)\)%", "[EG_UNRESOLVED:{}]"),
}


def expected_by(profile: str, text: str) -> str:
    """Resolve as the published expressions do."""
    pattern, unknown = ORACLES[profile]
    keys = {"auth": KEYS[0], "enrichment": KEYS[1]}

    def one(match: re.Match[str]) -> str:
        name, *rest = match.groups()
        if name not in keys:
            return unknown.format(name)
        tail = f":{''.join(rest)}" if profile == "eg-v1" else rest[0]
        return f"%FILTER_STATE({keys[name]}{tail})%"

    return re.sub(pattern, one, text)


PIECES = st.sampled_from(
    [
        *("%EG_EXT_FILTER_STATE(", "%EG_EXT_PROC_FILTER_STATE(", "%EG_EXT_FILTER_STATE"),
        *("auth", "enrichment", "nobody", ":", "::", ")", ")%", "(", "%", "%%", ":PLAIN", ":64"),
        *("FIELD", "\n", " ", "é", "%REQ(X)%", ""),
    ]
)


@pytest.mark.parametrize("profile", ORACLES)
@given(pieces=st.lists(PIECES, max_size=20))
@example(["%EG_EXT_FILTER_STATE(", "%EG_EXT_FILTER_STATE(", "::PLAIN", ")%"])
def test_like_the_expressions(profile: Profile, pieces: list[str]) -> None:
    """Whatever the text, the result is that of the published regular expression."""
    text = "".join(pieces)

    assert expected_by(profile, text) == resolve_format(text, CANDIDATES, profile).text
