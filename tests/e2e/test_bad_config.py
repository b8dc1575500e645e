# SPDX-License-Identifier: Apache-2.0
"""Bad configs: Envoy rejects them with our message, word for word, and goes on with the old one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import bootstrap as b
from .bootstrap import HERE
from .envoy import validate
from .site import Site

ACCESS_CASES: dict[str, tuple[b.Dict, str]] = {
    "unknown key": (
        {"log": {"respnse_headers": {}}},
        "access: log.respnse_headers: unknown key; did you mean response_headers?",
    ),
    "statistics under a key with a colon": (
        {"statistics": {"key": "a:b"}},
        (
            'access: statistics.key: not allowed, got "a:b"; '
            "expected printable text without spaces, colons and percent signs"
        ),
    ),
    "unknown key on top": ({"sink": []}, "access: sink: unknown key; did you mean sinks?"),
    "wrong type": (
        {"log": {"request": "yes"}},
        'access: log.request: wrong type, got "yes"; expected true or false',
    ),
    "wrong number": (
        {"sinks": [{"type": "file", "path": "/dev/null", "ring_bytes": 65536.5}]},
        "access: sinks[0].ring_bytes: wrong type, got 65536.5; expected an integer",
    ),
    "unknown sink type": (
        {"sinks": [{"type": "fle", "path": "/dev/null"}]},
        'access: sinks[0].type: unknown type, got "fle"; expected file, python or cilium',
    ),
    "unknown policy of the queue": (
        {"sinks": [{"type": "cilium", "socket": "@x", "queue": {"drop": "all"}}]},
        'access: sinks[0].queue.drop: unknown value, got "all"; expected oldest or newest',
    ),
    "small packets": (
        {"sinks": [{"type": "cilium", "socket": "@x", "max_packet": 100}]},
        "access: sinks[0].max_packet: too small to hold any entry, got 100; expected at least 512",
    ),
    "identity that is no number": (
        {"sinks": [{"type": "cilium", "socket": "@x", "source_security_id": "web"}]},
        (
            'access: sinks[0].source_security_id: not a number, got "web"; '
            "expected 0 to 4294967295, or a format with commands"
        ),
    ),
    "queue of zero": (
        {"sinks": [{"type": "cilium", "socket": "@x", "queue": {"entries": 0}}]},
        ("access: sinks[0].queue.entries: no entry could ever wait, got 0; expected at least 1"),
    ),
    "long socket path": (
        {"sinks": [{"type": "cilium", "socket": "/" + "x" * 107}]},
        (
            f'access: sinks[0].socket: too long for a socket (108 bytes), got "/{"x" * 58}...; '
            "expected at most 107 bytes"
        ),
    ),
    "file for a socket": (
        {"sinks": [{"type": "cilium", "socket": "/dev/null"}]},
        'access: sinks[0].socket: a file, not a socket, got "/dev/null"',
    ),
    "missing folder": (
        {"sinks": [{"type": "file", "path": "/nowhere/at/all/log.json"}]},
        'access: sinks[0].path: there is no folder /nowhere/at/all, got "/nowhere/at/all/log.json"',
    ),
    "bad glob": (
        {"log": {"request_headers": {"include": ["x-["]}}},
        (
            "access: log.request_headers.include[0]: a glob that cannot be compiled "
            '(a set [...] is empty, nested or not closed), got "x-["; '
            "expected a header name or a glob of * ? [a-z] [!a]"
        ),
    ),
    "unknown field": (
        {"log": {"fields": ["response_cod"]}},
        "access: log.fields[0]: unknown field response_cod; did you mean response_code?",
    ),
    "attribute for a field": (
        {"log": {"fields": ["source.address"]}},
        (
            "access: log.fields[0]: source.address is Envoy's name of an attribute; "
            "the field is downstream_remote_address"
        ),
    ),
    "unknown attribute": (
        {"state": {"key": "%FIELD(response_cod)%"}},
        (
            "access: state.key: at character 1: unknown field response_cod; "
            "did you mean response_code?"
        ),
    ),
    "bad format": (
        {"state": {"key": "%REQ(x"}},
        (
            "access: state.key: at character 1: not a command: "
            "expected %NAME% or %NAME(argument)%, and %% for a percent sign"
        ),
    ),
    "bad policy": (
        {"on_error": "ignore"},
        'access: on_error: unknown value, got "ignore"; expected deny or allow',
    ),
    "bad time": (
        {"log": {"response_at": "never"}},
        (
            'access: log.response_at: unknown value, got "never"; '
            "expected stream_complete or end_of_stream"
        ),
    ),
}
IMPORT_CASES = {
    "no_such_module:Filter": "no_such_module:Filter: cannot import no_such_module: "
    "ModuleNotFoundError: No module named 'no_such_module' (is its folder in python_path?); "
    "its traceback stands above",
    "filters:NoSuchClass": "filters:NoSuchClass: filters has no NoSuchClass",
    "filters:NotAFilter": "filters:NotAFilter: NotAFilter is not a subclass of "
    "envoy_pyfilter.Filter",
    "unregistered": "unregistered: no filter is registered by this name, and it is not "
    "module:Class; known: access, llm_usage",
}


def messages(log: str) -> list[str]:
    """Find what we wrote into this part of Envoy's log."""
    return re.findall(r"\[error\]\[dynamic_modules\].*?\[envoy_pyfilter\] (.*)", log)


@pytest.fixture
def offered(new_site: Callable[[], Site]) -> Callable[[b.Dict], str]:
    """Offer a filter in the place of a good one; give what Envoy logged as it rejected it."""
    here = new_site()
    here.open([here.filter(access={})])
    assert 200 == here.fetch().status

    def offer(bad: b.Dict) -> str:
        start = here.envoy.log_path.stat().st_size
        assert not here.offer([bad])
        assert 200 == here.fetch().status  # the old one goes on
        entries = here.entries(4)
        assert [entry["instance"] for entry in entries] == [here.name] * 4
        here.envoy.listeners.pop(here.name)
        return here.envoy.log(start)

    return offer


@pytest.mark.parametrize("case", ACCESS_CASES)
def test_access_config(offered: Callable[[b.Dict], str], case: str) -> None:
    """A mistake in the access filter's config is told with its path and what was expected."""
    config, message = ACCESS_CASES[case]
    assert [message] == messages(offered(b.py_filter("access", config)))


@pytest.mark.parametrize("name", IMPORT_CASES)
def test_imports(offered: Callable[[b.Dict], str], name: str) -> None:
    """A class that cannot be used is told by its name."""
    log = offered(b.py_filter(name, {"python_path": [str(HERE)]}))
    assert IMPORT_CASES[name] == messages(log)[-1]


def test_module_that_raises(offered: Callable[[b.Dict], str], tmp_path: Path) -> None:
    """A module that fails while it is imported leaves its traceback in the log."""
    (tmp_path / "e2e_broken.py").write_text("value = 1\nraise LookupError('broken on purpose')\n")
    log = offered(b.py_filter("e2e_broken:Filter", {"python_path": [str(tmp_path)]}))
    assert "e2e_broken:Filter: " in log
    assert "LookupError: broken on purpose" in log
    assert 'e2e_broken.py", line 2' in log


@pytest.mark.parametrize("error", ["ValueError('no good')", "SystemExit(3)"])
def test_constructor_that_raises(
    offered: Callable[[b.Dict], str], tmp_path: Path, error: str
) -> None:
    """A filter whose constructor raises is refused with its traceback."""
    # Python imports a module once in the life of a process.
    module = f"e2e_ctor_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(
        "from envoy_pyfilter import Filter\n"
        "class Picky(Filter):\n"
        "    def __init__(self, config):\n"
        f"        raise {error}\n"
    )
    log = offered(b.py_filter(f"{module}:Picky", {"python_path": [str(tmp_path)]}))
    told = f"{module}:Picky: the constructor of Picky raised {error.replace('(', ': ')[:-1]}"
    assert f"{told}; its traceback stands above".replace("'", "") == messages(log)[-1]
    assert f'{module}.py", line 4' in log


NOT_STRUCTS = {
    "StringValue": ("text", '"text"'),
    "BytesValue": ("WzFd", "[1]"),  # base64, as JSON holds bytes
}


@pytest.mark.parametrize("kind", NOT_STRUCTS)
def test_no_struct(offered: Callable[[b.Dict], str], kind: str) -> None:
    """A config that is no Struct is refused by that name."""
    value, shown = NOT_STRUCTS[kind]
    raw = {"@type": f"type.googleapis.com/google.protobuf.{kind}", "value": value}
    log = offered(b.py_filter("access", raw=raw))
    told = f"access: filter_config must be a google.protobuf.Struct, got {shown}"
    assert [told] == messages(log)


def test_typed_config_of_a_filter(offered: Callable[[b.Dict], str]) -> None:
    """A user's own typed config is checked in the same way."""
    name = "filters:Scripted"
    config: dict[str, Any] = {"python_path": [str(HERE)], "hoks": {}}
    log = offered(b.py_filter(name, config))
    assert [f"{name}: hoks: unknown key; did you mean hooks?"] == messages(log)


def test_route_config(new_site: Callable[[], Site]) -> None:
    """A route's config is checked, too, and the listener with it refused."""
    here = new_site()
    hooks = {"on_request_headers": "pass"}
    here.open([here.filter(hooks)])
    start = here.envoy.log_path.stat().st_size
    name = "filters:Scripted__on_request_headers"
    bad = b.route(typed_per_filter_config=b.py_route(name, {"limit": "many"}))
    assert not here.offer([here.filter(hooks)], routes=[bad])
    told = f'{name}: per-route config: limit: wrong type, got "many"; expected an integer'
    assert [told] == messages(here.envoy.log(start))
    assert 200 == here.fetch().status
    here.envoy.listeners.pop(here.name)


@pytest.mark.parametrize("case", ACCESS_CASES)
def test_validation_says_the_same(release: str, tmp_path: Path, case: str) -> None:
    """``envoy --mode validate`` refuses the same configs with the same message."""
    config, message = ACCESS_CASES[case]
    whole = b.bootstrap(tmp_path / "none.json", [])
    del whole["dynamic_resources"]
    bad = b.listener("bad", filters=[b.py_filter("access", config)], routes=[b.direct()])
    del bad["@type"]
    whole["static_resources"]["listeners"] = [bad]
    result = validate(release, tmp_path, whole)
    assert result.returncode != 0
    assert [message] == messages(result.stderr)
