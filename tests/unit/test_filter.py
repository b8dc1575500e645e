# SPDX-License-Identifier: Apache-2.0
"""The filter's base class."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec
import pytest
from envoy_pyfilter import Config, ConfigError, Filter
from envoy_pyfilter.filter import HOOKS, hooks_wanted

from .helpers import filter_with, raises, returns


@pytest.mark.parametrize(("bit", "hook"), list(enumerate(HOOKS)))
def test_each_hook_has_its_bit(bit: int, hook: str) -> None:
    """A class wants the hooks that it overrides: WANT_* of services.h."""
    assert 1 << bit == hooks_wanted(type(filter_with(**{hook: returns(None)})))


def test_no_hook() -> None:
    """A class that overrides nothing wants nothing, on_config_destroy or not."""
    assert 0 == hooks_wanted(Filter)
    assert 0 == hooks_wanted(type(filter_with(on_config_destroy=returns(None))))


def test_inherited_hooks() -> None:
    """What a base class overrides is wanted, too."""
    base = type(filter_with(on_request_headers=returns(None)))
    both = type("Both", (base,), {"on_stream_complete": lambda *_: None})
    assert 1 | 128 == hooks_wanted(both)


async def a_coroutine(self: object, stream: object) -> None:
    """Be no hook."""


def a_generator(_self: object, _stream: object) -> Any:
    """Be no hook either."""
    yield


def too_few(self: object) -> None:
    """Take too little."""


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (a_coroutine, "Bad.on_stream_complete: a hook is a plain method, not async"),
        (a_generator, "Bad.on_stream_complete: a hook is a plain method, not async"),
        (too_few, "Bad.on_stream_complete: expected the parameters"),
        (5, "Bad.on_stream_complete: expected a method, got int"),
    ],
)
def test_hooks_that_cannot_be_called(member: object, problem: str) -> None:
    """A hook that would fail in every stream fails when the config loads."""
    bad = type("Bad", (Filter,), {"on_stream_complete": member})
    with pytest.raises(ConfigError, match=re.escape(problem)):
        hooks_wanted(bad)


def test_hooks_with_other_names_of_parameters() -> None:
    """Parameters may have any names, and more may follow that have defaults."""

    def hook(_self: object, _s: object, _e: object, _extra: int = 1) -> None:
        """Take what Envoy gives."""

    assert 1 == hooks_wanted(type("Good", (Filter,), {"on_request_headers": hook}))


def test_config_is_kept_without_super() -> None:
    """A filter that does not call its base's __init__ still has its config and its policy."""

    class Own(Filter):
        def __init__(self, config: Config) -> None:
            self.other = config.instance

    own = Own(Config(instance="x", on_error="allow"))
    assert ("x", "x", "allow", {}) == (
        own.other,
        own.config.instance,
        own._on_error,
        own._metric_ids,
    )


def test_config_is_strict() -> None:
    """Unknown keys are errors, in a filter's own config, too."""

    class Own(Config, frozen=True):
        limit: int = 1

    assert 5 == msgspec.convert({"limit": 5.0}, Own, strict=False).limit
    with pytest.raises(msgspec.ValidationError, match="unknown field `limt`"):
        msgspec.convert({"limt": 5}, Own)


def test_config_destroy_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The end of a config cannot fail: the traceback is logged."""
    filter_with(on_config_destroy=raises(SystemExit("over")))._config_destroyed()
    (record,) = caplog.records
    assert (logging.ERROR, "on_config_destroy of Scripted raised") == (
        record.levelno,
        record.getMessage(),
    )
    assert record.exc_info is not None
