# SPDX-License-Identifier: Apache-2.0
"""Metadata of each kind is read without an error of Envoy's for every request."""

from __future__ import annotations

from typing import Any

import pytest

from . import bootstrap as b
from .conftest import SiteMaker
from .site import Site

REQUESTS = 5
VALUES = {"text": "a", "number": 5, "truth": True}
LISTS = {"texts": ["a", "b"], "numbers": [1, 2, 3], "truths": [True, False]}


def complaints(here: Site) -> list[str]:
    """Give what Envoy's log, at its usual level, says of metadata."""
    return here.log_lines(r"\[(error|info)\].*/abi_impl")


@pytest.mark.parametrize("kind", VALUES)
def test_in_formats(site: SiteMaker, kind: str) -> None:
    """A format asks for the wrong kind at the first request at most."""
    key = f"format-{kind}"
    here = site(
        access={"state": {"made": f"%DYNAMIC_METADATA(kinds:{key})%"}},
        before=[b.set_metadata("kinds", {key: VALUES[kind]})],
    )
    first = len(complaints(here))
    for _ in range(REQUESTS):
        assert 200 == here.fetch().status
    here.oracle(REQUESTS)
    assert len(complaints(here)) - first <= 2


@pytest.mark.parametrize("kind", [*VALUES, *LISTS])
def test_in_hooks(site: SiteMaker, kind: str) -> None:
    """``metadata.get`` remembers what it found under a key."""
    key = f"hook-{kind}"
    value: Any = {**VALUES, **LISTS}[kind]
    here = site(
        {"on_request_headers": f"saw(stream.metadata.get('kinds', {key!r}))"},
        before=[b.set_metadata("kinds", {key: value})],
    )
    assert 200 == here.fetch().status
    first = complaints(here)
    for _ in range(REQUESTS):
        assert 200 == here.fetch().status
    assert [value] * (1 + REQUESTS) == here.seen(1 + REQUESTS)
    assert first == complaints(here)
