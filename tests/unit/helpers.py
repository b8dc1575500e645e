# SPDX-License-Identifier: Apache-2.0
"""Filters made of functions, and streams made of a filter and a fake."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from envoy_pyfilter import Config, Filter, Stream
from envoy_pyfilter._host import HeaderMap
from envoy_pyfilter.testing import FakeHost, FakeStream

Hook = Callable[..., Any]


def filter_with(config: Config | None = None, /, **hooks: Hook) -> Filter:
    """Make a filter whose hooks are these functions, without ``self``."""
    members = {name: _method(hook) for name, hook in hooks.items()}
    scripted: type[Filter] = type("Scripted", (Filter,), members)
    return scripted(config or Config())


def _method(hook: Hook) -> Hook:
    return lambda _self, *arguments: hook(*arguments)


def stream_with(config: Config | None = None, /, **hooks: Hook) -> tuple[FakeHost, Stream]:
    """Make a stream on a bare host, with request headers."""
    host = FakeHost()
    host.maps[HeaderMap.REQUEST_HEADERS] = [(b":path", b"/")]
    return host, Stream(host, filter_with(config, **hooks))


def fake_with(config: Config | None = None, /, **hooks: Hook) -> FakeStream:
    """Make a driven stream."""
    return FakeStream(filter_with(config, **hooks))


def returns(value: object) -> Hook:
    """Make a hook that returns *value*."""
    return lambda *_: value


def raises(error: BaseException) -> Hook:
    """Make a hook that raises *error*."""

    def hook(*_: object) -> None:
        raise error

    return hook


def raises_in(change: Callable[[Stream], object], kind: type[Exception], text: str) -> Hook:
    """Make a hook that does *change* and insists on what it raises."""

    def hook(stream: Stream, *_: object) -> None:
        with pytest.raises(kind, match=re.escape(text)):
            change(stream)

    return hook


ALLOW = Config(on_error="allow")
