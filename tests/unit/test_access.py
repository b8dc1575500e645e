# SPDX-License-Identifier: Apache-2.0
"""The access filter's config to a plan, and the exact words for what no plan can do."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter import Filter, _config
from envoy_pyfilter.access import AccessConfig, AccessFilter, compile_plan
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.fields import FILTER_FIELDS
from envoy_pyfilter.filter import hooks_wanted
from envoy_pyfilter.formats import parse
from envoy_pyfilter.plan_spec import HeaderRules, PlanSpec, SinkSpec, StateSpec

SECRET = ("authorization", "cookie", "proxy-authorization", "set-cookie")
SINK = """
    class Sink:
        def __init__(self, config):
            self.config = config
        def write(self, records):
            pass
    class Raises(Sink):
        def __init__(self, config):
            raise OSError("no broker")
    class Mute:
        def __init__(self, config):
            pass
    from envoy_pyfilter import Sink as Base
    class Abstract(Base):
        pass
"""


def plan(config: dict[str, Any], *, validating: bool = False) -> PlanSpec:
    """Compile a plan as Envoy would have it."""
    loaded = _config.load("access", json.dumps(config).encode(), validating=validating)
    assert loaded.plan is not None
    return loaded.plan


def refusal(config: dict[str, Any]) -> str:
    """Return the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        plan(config)
    return str(caught.value)


def test_the_filter_has_no_hooks() -> None:
    """Envoy's workers never enter Python for the access filter itself."""
    assert 0 == hooks_wanted(AccessFilter)
    assert issubclass(AccessFilter, Filter)


def test_defaults() -> None:
    """Without a config, all is logged to standard output, with secrets redacted."""
    rules = HeaderRules(include=("*",), exclude=(), redact=SECRET)
    expected = PlanSpec(
        instance="access",
        log_request=True,
        at_end_of_stream=False,
        aborted=True,
        redirected=True,
        tunnel_at_handshake=False,
        compat_cilium=False,
        fields=FILTER_FIELDS,
        request_headers=rules,
        response_headers=rules,
        trailers=True,
        state=(),
        state_metadata=True,
        sinks=(SinkSpec(type="file", path="/dev/stdout", ring_bytes=4194304, name="/dev/stdout"),),
    )
    assert expected == compile_plan(AccessConfig(), "access")


def test_everything_set(tmp_path: Path) -> None:
    """Each key of the config arrives in the plan."""
    path = str(tmp_path / "log")
    config = {
        "instance": "edge",
        "log": {
            "request": False,
            "response_at": "end_of_stream",
            "compat": "cilium",
            "aborted": True,
            "tunnel_at": "stream_complete",
            "redirected": True,
            "fields": ["path", "kind", "method"],
            "request_headers": {
                "include": ["X-*"],
                "exclude": ["x-b"],
                "redact": ["X-Key*"],
                "reveal": ["Cookie"],
            },
            "response_headers": {"include": []},
            "trailers": False,
        },
        "sinks": [{"type": "file", "path": path, "format": "json", "ring_bytes": 65536.0}],
        "state": {"b": "%PROTOCOL%", "a.b": "x"},
        "state_metadata": False,
    }
    expected = PlanSpec(
        instance="edge",
        log_request=False,
        at_end_of_stream=True,
        aborted=True,
        redirected=True,
        tunnel_at_handshake=False,
        compat_cilium=True,
        fields=("kind", "method", "path"),
        request_headers=HeaderRules(
            include=("x-*",),
            exclude=("x-b",),
            redact=("authorization", "proxy-authorization", "set-cookie", "x-key*"),
        ),
        response_headers=HeaderRules(include=(), exclude=(), redact=SECRET),
        trailers=False,
        state=(
            StateSpec(key=b"a.b", parts=parse("x")),
            StateSpec(key=b"b", parts=parse("%PROTOCOL%")),
        ),
        state_metadata=False,
        sinks=(SinkSpec(type="file", path=path, ring_bytes=65536, name=path),),
    )
    assert expected == plan(config)


ENDINGS: dict[str, tuple[dict[str, Any], tuple[bool, bool, bool]]] = {
    "default": ({}, (True, True, False)),
    "none": ({"compat": "none"}, (True, True, False)),
    "cilium": ({"compat": "cilium"}, (False, False, True)),
    "null is as if absent": ({"compat": "cilium", "aborted": None}, (False, False, True)),
    "aborted": ({"compat": "cilium", "aborted": True}, (True, False, True)),
    "redirected": ({"compat": "cilium", "redirected": True}, (False, True, True)),
    "tunnel": ({"compat": "cilium", "tunnel_at": "stream_complete"}, (False, False, False)),
    "all, without compat": (
        {"aborted": False, "redirected": False, "tunnel_at": "handshake"},
        (False, False, True),
    ),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_endings(case: str) -> None:
    """``compat`` gives the defaults of three keys; each of them has the last word."""
    log, expected = ENDINGS[case]
    found = plan({"log": log, "sinks": []})
    assert expected == (found.aborted, found.redirected, found.tunnel_at_handshake)
    assert (log.get("compat") == "cilium") == found.compat_cilium


def test_no_sinks() -> None:
    """A filter may write state only."""
    assert () == plan({"sinks": [], "state": {"a": "b"}}).sinks


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"log": {"response_at": "end"}},
        'log.response_at: unknown value, got "end"; expected stream_complete or end_of_stream',
    ),
    (
        {"log": {"compat": "envoy"}},
        'log.compat: unknown value, got "envoy"; expected none or cilium',
    ),
    (
        {"log": {"tunnel_at": "end"}},
        'log.tunnel_at: unknown value, got "end"; expected stream_complete, handshake or null',
    ),
    (
        {"log": {"aborted": "yes"}},
        'log.aborted: wrong type, got "yes"; expected true or false or null',
    ),
    ({"log": {"fields": []}}, "log.fields: empty; leave it out to log all fields"),
    (
        {"log": {"fields": ["kind", "respnse_code"]}},
        "log.fields[1]: unknown field respnse_code; did you mean response_code?",
    ),
    (
        {"log": {"fields": ["xyzzy"]}},
        f"log.fields[0]: unknown field xyzzy; known: {', '.join(FILTER_FIELDS)}",
    ),
    (
        {"log": {"fields": ["source.address"]}},
        (
            "log.fields[0]: source.address is Envoy's name of an attribute; the field is "
            "downstream_remote_address"
        ),
    ),
    (
        {"log": {"fields": ["upstream.local_address"]}},
        "log.fields[0]: upstream.local_address is an attribute of Envoy that no field holds",
    ),
    ({"log": {"fields": ["path", "kind", "path"]}}, "log.fields[2]: path is there twice"),
    (
        {"log": {"request_headers": {"reveal": ["cookie", "x-key"]}}},
        (
            "log.request_headers.reveal[1]: x-key is shown anyway;"
            " expected authorization, cookie, proxy-authorization or set-cookie"
        ),
    ),
    (
        {"log": {"response_headers": {"redact": ["a", "x-[ab"]}}},
        (
            "log.response_headers.redact[1]: a glob that cannot be compiled (a set [...] is empty, "
            'nested or not closed), got "x-[ab"; expected a header name or a glob of * ? [a-z] [!a]'
        ),
    ),
    (
        {"log": {"request_headers": {"exclude": [":path"]}}},
        (
            "log.request_headers.exclude[0]: pseudo headers have fields of their own (method, "
            'path, authority, response_code), got ":path"; '
            "expected a header name or a glob of * ? [a-z] [!a]"
        ),
    ),
    ({"sinks": [{}]}, "sinks[0].type: missing; expected file, python or cilium"),
    (
        {"sinks": [{"type": "kafka"}]},
        'sinks[0].type: unknown type, got "kafka"; expected file, python or cilium',
    ),
    ({"sinks": [{"type": "file"}]}, "sinks[0].path: missing; expected a string"),
    (
        {"sinks": [{"type": "file", "sink": "a:B"}]},
        "sinks[0].sink: unknown key; known: type, path, format, ring_bytes",
    ),
    (
        {"sinks": [{"type": "file", "path": "x", "format": "text"}]},
        'sinks[0].format: unknown value, got "text"; expected json',
    ),
    (
        {"sinks": [{"type": "file", "path": "x", "ring_bytes": 65535}]},
        "sinks[0].ring_bytes: not allowed, got 65535; expected an integer >= 65536",
    ),
    (
        {"sinks": [{"type": "file", "path": "x", "ring_bytes": 1073741825}]},
        "sinks[0].ring_bytes: not allowed, got 1073741825; expected an integer <= 1073741824",
    ),
    ({"sinks": [{"type": "file", "path": ""}]}, 'sinks[0].path: not a file\'s path, got ""'),
    (
        {"sinks": [{"type": "file", "path": "a\0b"}]},
        'sinks[0].path: not a file\'s path, got "a\\u0000b"',
    ),
    (
        {"sinks": [{"type": "file", "path": "/nowhere/log"}]},
        'sinks[0].path: there is no folder /nowhere, got "/nowhere/log"',
    ),
    (
        {
            "sinks": [
                {"type": "file", "path": "/dev/stdout"},
                {"type": "file", "path": "/dev//stdout"},
            ]
        },
        "sinks[1].path: the same sink as sinks[0]",
    ),
    (
        {"sinks": [{"type": "python", "sink": "no_such_module:Sink"}]},
        (
            "sinks[0].sink: cannot import no_such_module: ModuleNotFoundError: No module named "
            "'no_such_module' (is its folder in python_path?); its traceback stands above"
        ),
    ),
    (
        {"sinks": [{"type": "python", "sink": "json:loads"}]},
        "sinks[0].sink: json:loads is not a class, got function",
    ),
    (
        {"sinks": [{"type": "python", "sink": "json"}]},
        'sinks[0].sink: not a name of the form module:Class, got "json"',
    ),
    ({"state": {"": "x"}}, 'state[""]: a filter-state key is printable text without spaces'),
    ({"state": {"a b": "x"}}, 'state["a b"]: a filter-state key is printable text without spaces'),
    ({"state": {"a": ""}}, "state.a: empty; expected a format, like %RESPONSE_CODE%"),
    ({"state": {"a": 5}}, "state.a: wrong type, got 5; expected a string"),
    (
        {"state": {"a": "%PROTOCOL% %RESPONSECODE%"}},
        "state.a: at character 12: unknown command %RESPONSECODE%; did you mean RESPONSE_CODE?",
    ),
]


@pytest.mark.parametrize(("config", "message"), BAD)
def test_bad_configs(config: dict[str, Any], message: str) -> None:
    """The message names the key, what is wrong with it and what was expected."""
    assert f"access: {message}" == refusal(config)


@pytest.fixture
def sinks(
    user_module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Name of a module with all sorts of sinks."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return user_module(SINK)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder or a socket cannot be appended to."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        message = refusal({"sinks": [{"type": "file", "path": str(path)}]})
    assert message.startswith("access: sinks[0].path: a socket, not a file, got ")
    message = refusal({"sinks": [{"type": "file", "path": str(tmp_path)}]})
    assert message.startswith("access: sinks[0].path: a folder, not a file, got ")


def test_what_could_never_be_opened(tmp_path: Path) -> None:
    """A name that no file can have, and a link that leads nowhere; a link to come is fine."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "none" / "log")
    long = refusal({"sinks": [{"type": "file", "path": str(tmp_path / ("x" * 300))}]})
    assert long.startswith("access: sinks[0].path: too long for a file's name, got ")
    message = refusal({"sinks": [{"type": "file", "path": str(link)}]})
    what = f"a link into the folder {tmp_path}/none, which is not there"
    assert message.startswith(f"access: sinks[0].path: {what}, got ")

    (tmp_path / "none").mkdir()
    assert plan({"sinks": [{"type": "file", "path": str(link)}]}).sinks[0].path == str(link)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a folder that nobody may write to is named (root may write anywhere)."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    path = tmp_path / "log"
    config = {"sinks": [{"type": "file", "path": str(path)}]}
    assert f"no permission to make a file in {tmp_path}" in refusal(config)
    path.touch()
    assert "no permission to write to this file" in refusal(config)


def test_files_that_are_good(tmp_path: Path) -> None:
    """A new file, a FIFO and a link to nowhere yet are good, and nothing is made."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    names = ["new", "fifo", "link"]
    before = sorted(tmp_path.iterdir())
    specs = plan(
        {"sinks": [{"type": "file", "path": str(tmp_path / name)} for name in names]}
    ).sinks
    assert [str(tmp_path / name) for name in names] == [spec.path for spec in specs]
    assert before == sorted(tmp_path.iterdir())


def test_a_python_sink(sinks: str) -> None:
    """A Python sink is made when C asks for it, with its own config."""
    config = {"topic": "t", "n": 5.0}
    threads = threading.active_count()
    spec = plan({"sinks": [{"type": "python", "sink": f"{sinks}:Sink", "config": config}]}).sinks[0]
    assert ("python", "", 4194304, f"access {sinks}:Sink") == (
        spec.type,
        spec.path,
        spec.ring_bytes,
        spec.name,
    )
    assert spec.target is not None
    assert config == spec.target().config  # type: ignore[attr-defined]
    assert threads == threading.active_count()


def test_a_python_sink_is_not_made_in_validation(sinks: str) -> None:
    """While a config is only validated, a sink's class is imported, and no sink can be made."""
    spec = plan({"sinks": [{"type": "python", "sink": f"{sinks}:Raises"}]}, validating=True).sinks[
        0
    ]
    assert spec.target is None


def test_a_python_sink_that_raises(sinks: str, caplog: pytest.LogCaptureFixture) -> None:
    """A sink whose constructor raises refuses the config; its traceback stands above."""
    spec = plan({"sinks": [{"type": "python", "sink": f"{sinks}:Raises"}]}).sinks[0]
    assert spec.target is not None
    with caplog.at_level(logging.ERROR, "envoy_pyfilter"), pytest.raises(ConfigError) as caught:
        spec.target()
    expected = (
        "access: sinks[0].sink: the constructor of Raises raised OSError: no broker; "
        "its traceback stands above"
    )
    assert expected == str(caught.value)
    assert caplog.records[0].exc_info


@pytest.mark.parametrize("name", ["Mute", "Abstract"])
def test_a_python_sink_without_write(sinks: str, name: str) -> None:
    """A class that cannot take records is no sink."""
    expected = f"access: sinks[0].sink: {name} has no write(self, records)"
    assert expected == refusal({"sinks": [{"type": "python", "sink": f"{sinks}:{name}"}]})


def test_python_sinks_twice(sinks: str) -> None:
    """The same class may stand twice, with different configs only."""
    one = {"type": "python", "sink": f"{sinks}:Sink", "config": {"a": 1, "b": 2}}
    same = {"type": "python", "sink": f"{sinks}:Sink", "config": {"b": 2, "a": 1}}
    other = {"type": "python", "sink": f"{sinks}:Sink", "config": {"a": 2}}
    assert 2 == len(plan({"sinks": [one, other]}).sinks)
    expected = "access: sinks[2].sink: the same sink as sinks[0]"
    assert expected == refusal({"sinks": [one, other, same]})
