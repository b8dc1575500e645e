# SPDX-License-Identifier: Apache-2.0
"""Loading a filter: what comes out of a good config, and the exact words for each bad one."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter import _config
from envoy_pyfilter.access import AccessConfig, AccessFilter
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.fields import FILTER_FIELDS

UserModule = Callable[[str], str]
ABOVE = "its traceback stands above"

FILTERS = """
    import sys
    import msgspec
    from envoy_pyfilter import AccessConfig, AccessFilter, Config, Counter, Filter

    class Good(Filter):
        class Config(Config, frozen=True):
            limit: int
        class RouteConfig(msgspec.Struct):
            tenant: str = ""
            quota: int = 1
        class Inner(Filter):
            pass

    class WithPath(Filter):
        class RouteConfig(msgspec.Struct):
            python_path: list[str] = []

    class Recording(AccessFilter):
        class Config(AccessConfig, frozen=True):
            extra: str = "x"

    class Raises(Filter):
        def __init__(self, config):
            raise RuntimeError("no\\ndatabase")

    class Exits(Filter):
        def __init__(self, config):
            sys.exit(3)

    class NoArgument(Filter):
        def __init__(self):
            pass

    class Other(Filter):
        def __new__(cls, config):
            return 5

    class NoStruct(Filter):
        Config = dict

    class NoConfig(Filter):
        class Config(msgspec.Struct):
            pass

    class NotOfAccess(AccessFilter):
        Config = Config

    class NoRoute(Filter):
        RouteConfig = dict

    class Async(Filter):
        async def on_request_headers(self, stream, end_of_stream):
            pass

    class TwoMetrics(Filter):
        hits = Counter("hits")
        others = Counter("hits")

    class OwnInstance(Filter):
        class Config(Config, frozen=True):
            instance: int = 5

    class Misspelt(Filter):
        def on_request_header(self, stream, end_of_stream):
            pass
        def on_my_own_terms(self):
            pass

    class Stranger:
        pass

    def function():
        pass
"""


def load(name: str, config: dict[str, Any] | bytes = b"", *, validating: bool = False) -> Any:
    """Load as Envoy would."""
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return _config.load(name, text, validating=validating)


def refusal(name: str, config: dict[str, Any] | bytes = b"") -> str:
    """Return the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        load(name, config)
    return str(caught.value)


@pytest.fixture
def filters(user_module: UserModule, tmp_path: Path) -> str:
    """Name of a module with all sorts of classes; its folder is on the path."""
    sys.path.insert(0, str(tmp_path))
    return user_module(FILTERS)


def test_the_access_filter_without_config() -> None:
    """The access filter needs no config: everything goes to standard output."""
    loaded = load("access")
    assert (AccessFilter, "access") == (type(loaded.filter), loaded.instance)
    assert AccessConfig() == loaded.filter.config
    assert FILTER_FIELDS == loaded.plan.fields
    assert ["/dev/stdout"] == [sink.path for sink in loaded.plan.sinks]


def test_a_filter_of_the_user(user_module: UserModule, tmp_path: Path) -> None:
    """``module:Class`` is found in ``python_path``, and gets its own config."""
    name = user_module(FILTERS)
    loaded = load(f"{name}:Good", {"python_path": [str(tmp_path)], "limit": 5.0})
    assert ("Good", 5, None) == (loaded.instance, loaded.filter.config.limit, loaded.plan)


def test_a_nested_class(filters: str) -> None:
    """A class may stand inside another one."""
    assert "Inner" == load(f"{filters}:Good.Inner").instance


def test_a_recording_filter_of_the_user(filters: str) -> None:
    """What derives from the access filter has a plan, and keys of its own."""
    loaded = load(f"{filters}:Recording", {"extra": "y", "log": {"request": False}})
    assert ("Recording", "y", False) == (
        loaded.plan.instance,
        loaded.filter.config.extra,
        loaded.plan.log_request,
    )


@pytest.mark.parametrize("instance", ["a", "my-filter_2.b", "x" * 128])
def test_instance(instance: str) -> None:
    """A config may name its instance."""
    assert instance == load("access", {"instance": instance}).instance


@pytest.mark.parametrize("instance", ["a b", "a:b", "a/b", "\u00fc", "x" * 129, "a\n"])
def test_bad_instance(instance: str) -> None:
    """What would break a stat's name or a log's format is refused."""
    expected = "; expected 1 to 128 letters, digits, underscores, dots or dashes"
    message = refusal("access", {"instance": instance})
    assert message.startswith("access: instance: not allowed, got ")
    assert message.endswith(expected)


CONFIGS: list[tuple[dict[str, Any] | bytes, str]] = [
    (
        {"log": {"respnse_headers": {}}},
        "log.respnse_headers: unknown key; did you mean response_headers?",
    ),
    (
        {"lgo": {}},
        "lgo: unknown key; did you mean log?",
    ),
    (
        {"filters": {}},
        (
            "filters: unknown key; known: instance, on_error, python_path, statistics, log, sinks, "
            "state, state_metadata, metrics"
        ),
    ),
    ({"log": {"request": "yes"}}, 'log.request: wrong type, got "yes"; expected true or false'),
    (
        {"log": {"request_headers": {"include": [5]}}},
        "log.request_headers.include[0]: wrong type, got 5; expected a string",
    ),
    (b"text", 'filter_config must be a google.protobuf.Struct, got "text"'),
    (
        b"\x08\x96\xff",
        "filter_config must be a google.protobuf.Struct, got bytes that are not UTF-8",
    ),
    ({"python_path": "x"}, 'python_path: wrong type, got "x"; expected a list'),
    ({"python_path": [5]}, "python_path[0]: wrong type, got 5; expected a string"),
    ({"python_path": ["/nowhere"]}, 'python_path[0]: no such folder, got "/nowhere"'),
    ({"python_path": ["/etc/passwd"]}, 'python_path[0]: no such folder, got "/etc/passwd"'),
    ({"python_path": [""]}, 'python_path[0]: no such folder, got ""'),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS)
def test_bad_configs(config: dict[str, Any] | bytes, message: str) -> None:
    """The message names the filter, the key and what was expected."""
    assert f"access: {message}" == refusal("access", config)


NAMES = [
    ("", "filter_name: no name; expected a registered name or module:Class"),
    (
        "acess",
        (
            "acess: no filter is registered by this name, and it is not module:Class; "
            "did you mean access?"
        ),
    ),
    ("a:b:c", 'a:b:c: not a name of the form module:Class, got "a:b:c"'),
    (":Class", ':Class: not a name of the form module:Class, got ":Class"'),
    (".rel:Class", '.rel:Class: not a name of the form module:Class, got ".rel:Class"'),
    ("os:", 'os:: not a name of the form module:Class, got "os:"'),
    (
        "no_such_module:Class",
        (
            "no_such_module:Class: cannot import no_such_module: ModuleNotFoundError: "
            f"No module named 'no_such_module' (is its folder in python_path?); {ABOVE}"
        ),
    ),
    (
        "json.nothing:Class",
        (
            "json.nothing:Class: cannot import json.nothing: ModuleNotFoundError: "
            f"No module named 'json.nothing' (is its folder in python_path?); {ABOVE}"
        ),
    ),
    ("json:JSONDecode", "json:JSONDecode: json has no JSONDecode; did you mean JSONDecoder?"),
    ("json:Nothing", "json:Nothing: json has no Nothing"),
    ("json:JSONDecoder.x", "json:JSONDecoder.x: JSONDecoder has no x"),
    ("json:loads", "json:loads: json:loads is not a class, got function"),
    (
        "json:JSONDecoder",
        "json:JSONDecoder: JSONDecoder is not a subclass of envoy_pyfilter.Filter",
    ),
]


@pytest.mark.parametrize(("name", "message"), NAMES)
def test_bad_names(name: str, message: str) -> None:
    """A name that leads to no filter is refused with the reason."""
    assert message == refusal(name)


def test_unknown_names_list_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a filter that is not registered is told which ones are."""
    entry = importlib.metadata.EntryPoint("limiter", "m:Limiter", _config.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [entry])
    message = (
        "zzz: no filter is registered by this name, and it is not module:Class; "
        "known: access, limiter, llm_usage"
    )
    assert message == refusal("zzz")


def test_a_registered_filter(filters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point makes a filter known by its name, which is the instance's too."""
    entry = importlib.metadata.EntryPoint("limiter", f"{filters}:Good", _config.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [entry])
    assert "limiter" == load("limiter", {"limit": 1}).instance


CLASSES = [
    ("Raises", f"the constructor of Raises raised RuntimeError: no database; {ABOVE}"),
    ("Exits", f"the constructor of Exits raised SystemExit: 3; {ABOVE}"),
    ("Other", "Other() made int, which is no Filter"),
    ("NoStruct", "NoStruct.Config is not a subclass of envoy_pyfilter.Config"),
    ("NoConfig", "NoConfig.Config is not a subclass of envoy_pyfilter.Config"),
    ("NotOfAccess", "NotOfAccess.Config is not a subclass of envoy_pyfilter.AccessConfig"),
    ("Stranger", "Stranger is not a subclass of envoy_pyfilter.Filter"),
    ("Godo", "MODULE has no Godo; did you mean Good?"),
    ("Good", "limit: missing; expected an integer"),
    ("NoRoute", "NoRoute.RouteConfig is not a subclass of msgspec.Struct"),
    ("TwoMetrics", "TwoMetrics: two metrics are named hits"),
    (
        "OwnInstance",
        (
            "instance: not allowed, got 5; expected 1 to 128 letters, digits, underscores, dots or"
            " dashes"
        ),
    ),
    ("Async", "Async.on_request_headers: a hook is a plain method, not async and without yield"),
]


@pytest.mark.parametrize(("name", "message"), CLASSES)
def test_bad_classes(filters: str, name: str, message: str) -> None:
    """A class that cannot be a filter is refused with the reason."""
    reference = f"{filters}:{name}"
    assert f"{reference}: {message.replace('MODULE', filters)}" == refusal(reference)


def test_a_misspelt_hook(filters: str, caplog: pytest.LogCaptureFixture) -> None:
    """A method that nearly has a hook's name is never called: the log says so."""
    load(f"{filters}:Misspelt")
    assert [
        (
            f"{filters}:Misspelt: Misspelt.on_request_header is no hook and is never called;"
            " did you mean on_request_headers?"
        )
    ] == caplog.messages


def test_a_constructor_without_config(filters: str) -> None:
    """A constructor that takes no config is refused with Python's own words."""
    message = refusal(f"{filters}:NoArgument")
    assert "the constructor of NoArgument raised TypeError: " in message


MODULES = [
    ("raise SystemExit('bye')", "SystemExit: bye"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    (
        "class Bad(Exception):\n    def __str__(self): raise ValueError\nraise Bad",
        "Bad",
    ),
]


@pytest.mark.parametrize(("text", "raised"), MODULES)
def test_modules_that_raise(
    user_module: UserModule,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
    raised: str,
) -> None:
    """Whatever a user's module raises refuses the config; its traceback stands above."""
    name = user_module(text)
    with caplog.at_level(logging.ERROR, "envoy_pyfilter"):
        message = refusal(f"{name}:Class", {"python_path": [str(tmp_path)]})
    assert f"{name}:Class: cannot import {name}: {raised}; {ABOVE}" == message
    assert [f"cannot import {name}"] == [record.message for record in caplog.records]
    assert caplog.records[0].exc_info


def test_a_module_that_raises_when_asked(user_module: UserModule, tmp_path: Path) -> None:
    """A module may answer for its names itself; what that raises refuses the config, too."""
    name = user_module("def __getattr__(name): raise SystemExit(name)")
    message = refusal(f"{name}:Class", {"python_path": [str(tmp_path)]})
    assert f"{name}:Class: cannot look up {name}:Class: SystemExit: Class; {ABOVE}" == message


def test_a_module_that_was_mended(user_module: UserModule, tmp_path: Path) -> None:
    """A module that could not be imported can be, once it is right."""
    name = user_module("1 / 0")
    config = {"python_path": [str(tmp_path)], "limit": 1}
    refusal(f"{name}:Good", config)
    (tmp_path / f"{name}.py").write_text("from envoy_pyfilter import *\nclass Good(Filter): pass")
    config.pop("limit")
    assert "Good" == load(f"{name}:Good", config).instance


def test_python_path(user_module: UserModule, tmp_path: Path) -> None:
    """Folders come first, in their order, and once, however many configs name them."""
    (tmp_path / "b").mkdir()
    folders = [str(tmp_path), str(tmp_path / "b"), f"{tmp_path}/"]
    user_module("")
    load("access", {"python_path": folders})
    load("access", {"python_path": folders[:2][::-1]})
    assert folders[:2] == sys.path[:2]
    assert 1 == sys.path.count(folders[0])


def test_python_path_of_a_refused_config(user_module: UserModule, tmp_path: Path) -> None:
    """A config that is refused leaves no folder behind."""
    user_module("")
    before = list(sys.path)
    refusal("access", {"python_path": [str(tmp_path)], "nonsense": 1})
    assert before == sys.path


def test_route_config(filters: str) -> None:
    """A route's config is decoded as the class says."""
    route = _config.load_route(f"{filters}:Good", b'{"tenant": "a", "quota": 2.0}')
    assert ("a", 2) == (route.tenant, route.quota)


def test_route_config_is_loaded_first(user_module: UserModule, tmp_path: Path) -> None:
    """Routes are loaded before filters, so a route's config can name folders as well."""
    name = user_module(FILTERS)
    text = json.dumps({"python_path": [str(tmp_path)], "tenant": "a"}).encode()
    assert "a" == _config.load_route(f"{name}:Good", text).tenant


def test_route_config_with_its_own_python_path(filters: str, tmp_path: Path) -> None:
    """A class that has the key itself gets it."""
    text = json.dumps({"python_path": [str(tmp_path)]}).encode()
    assert [str(tmp_path)] == _config.load_route(f"{filters}:WithPath", text).python_path


ROUTES = [
    ("Raises", b"", "Raises has no RouteConfig: it takes no config per route"),
    ("NoRoute", b"", "NoRoute.RouteConfig is not a subclass of msgspec.Struct"),
    ("Good", b'{"tenat": 1}', "tenat: unknown key; did you mean tenant?"),
    ("Good", b'{"tenant": 1}', "tenant: wrong type, got 1; expected a string"),
    ("Good", b"hello", 'filter_config must be a google.protobuf.Struct, got "hello"'),
]


@pytest.mark.parametrize(("name", "text", "message"), ROUTES)
def test_bad_route_configs(filters: str, name: str, text: bytes, message: str) -> None:
    """A route's config is refused like a filter's; the message says that it is a route's."""
    with pytest.raises(ConfigError) as caught:
        _config.load_route(f"{filters}:{name}", text)
    assert f"{filters}:{name}: per-route config: {message}" == str(caught.value)
