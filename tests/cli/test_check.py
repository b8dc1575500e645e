# SPDX-License-Identifier: Apache-2.0
"""``check``: each mistake with its line and its words, then what Envoy says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy_pyfilter import _check
from envoy_pyfilter._bootstrap import FILTER_TYPE, LOGGER_TYPE, STRUCT_TYPE
from envoy_pyfilter._document import Document, dotted
from hypothesis import given
from hypothesis import strategies as st

from .command import COMMAND, ENVIRONMENT, ROOT, command

HEAD = f"""\
http_filters:
  - name: ours
    typed_config:
      "@type": {FILTER_TYPE}
"""
MODULE = """\
      dynamic_module_config: {name: envoy_pyfilter, do_not_close: true}
"""
ACCESS = HEAD + MODULE + "      filter_name: access\n"
STRUCT = """\
      filter_config:
        "@type": type.googleapis.com/google.protobuf.Struct
        value:
"""
OURS = "http_filters[0].typed_config"
SECOND = ACCESS.replace("http_filters:\n", "").replace("ours", "second")
GATE = """\
  - name: gate
    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}
"""
MUTATION = """\
  - name: late
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
"""
LUA = """\
  - name: script
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
      default_source_code: {inline_string: "function envoy_on_response(handle) end"}
"""
LOGGER = f"""\
access_log:
  - name: ours
    typed_config:
      "@type": {LOGGER_TYPE}
{MODULE}"""
LOGGER_STRUCT = STRUCT.replace("filter_config", "logger_config")
THE_LOGGER = "access_log[0].typed_config"
NOT_CLOSED = "do_not_close: true is missing; Python cannot be unloaded"
LIBRARY = "no module of this name; Envoy adds lib and .so itself, so write envoy_pyfilter"

CASES: dict[str, tuple[str, list[str]]] = {
    "nothing wrong": (ACCESS, []),
    "a logger": (LOGGER + "      logger_name: access\n", []),
    "a logger without a name": (
        LOGGER,
        [f"f:3: error: {THE_LOGGER}: logger_name is missing; say access"],
    ),
    "a logger of another name": (
        LOGGER + "      logger_name: acces\n",
        [
            (
                f"f:6: error: {THE_LOGGER}.logger_name: access logger: logger_name: no access "
                'logger has this name, got "acces"; expected access'
            )
        ],
    ),
    "a logger that is not closed": (
        LOGGER.replace(", do_not_close: true", "") + "      logger_name: access\n",
        [f"f:5: warning: {THE_LOGGER}.dynamic_module_config: {NOT_CLOSED}"],
    ),
    "a key of a logger": (
        LOGGER
        + "      logger_name: access\n"
        + LOGGER_STRUCT
        + "          log:\n            request: true\n",
        [
            (
                f"f:11: error: {THE_LOGGER}.logger_config.value.log.request: access logger: "
                "log.request: an access logger writes no entry of the request, got true; "
                "expected false, or no such key"
            )
        ],
    ),
    "a logger with a filter's instance": (
        ACCESS + LOGGER + "      logger_name: access\n",
        [
            (
                f"f:9: warning: {THE_LOGGER}: instance access is that of line 3 too; "
                "their stats cannot be told apart"
            )
        ],
    ),
    "no use of us": (
        "static_resources: {}",
        ["f: error: no filter or access logger here names the module envoy_pyfilter"],
    ),
    "empty file": (
        "",
        ["f: error: no filter or access logger here names the module envoy_pyfilter"],
    ),
    "no YAML": ("a: [\nb", ["f:2: error: no YAML: expected ',' or ']', but got '<stream end>'"]),
    "a key twice": (
        ACCESS + STRUCT + "          log: {request: true}\n          log: {trailers: true}\n",
        [
            (
                f"f:11: error: {OURS}.filter_config.value.log: line 10 has this key, too; "
                "Envoy takes only the last value"
            )
        ],
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        ["f:2: error: no YAML: but found another document"],
    ),
    "module name": (
        HEAD
        + "      dynamic_module_config: {name: libenvoy_pyfilter.so, do_not_close: true}\n"
        + "      filter_name: access\n",
        [f"f:5: error: {OURS}.dynamic_module_config.name: libenvoy_pyfilter.so: {LIBRARY}"],
    ),
    "do_not_close": (
        HEAD + "      dynamic_module_config: {name: envoy_pyfilter}\n      filter_name: access\n",
        [f"f:5: warning: {OURS}.dynamic_module_config: {NOT_CLOSED}"],
    ),
    "filter name": (
        HEAD + MODULE,
        [f"f:3: error: {OURS}: filter_name is missing; say access or module:Class"],
    ),
    "not a Struct": (
        ACCESS
        + '      filter_config: {"@type": type.googleapis.com/google.protobuf.StringValue}\n',
        [
            (
                f'f:7: error: {OURS}.filter_config: "@type" must be {STRUCT_TYPE}, with the config '
                "under value; got type.googleapis.com/google.protobuf.StringValue"
            )
        ],
    ),
    "no type": (
        ACCESS + "      filter_config: {log: {}}\n",
        [
            (
                f'f:7: error: {OURS}.filter_config: "@type" must be {STRUCT_TYPE}, with the config '
                "under value; got none"
            )
        ],
    ),
    "unknown key": (
        ACCESS + STRUCT + "          log:\n            respnse_headers: {}\n",
        [
            (
                f"f:11: error: {OURS}.filter_config.value.log.respnse_headers: "
                "access: log.respnse_headers: unknown key; did you mean response_headers?"
            )
        ],
    ),
    "folder of a sink": (
        ACCESS + STRUCT + "          sinks:\n            - {type: file, path: /no/where}\n",
        [
            (
                f"f:11: error: {OURS}.filter_config.value.sinks[0].path: access: sinks[0].path: "
                'there is no folder /no, got "/no/where"'
            )
        ],
    ),
    "unknown filter": (
        ACCESS.replace("filter_name: access", "filter_name: acess"),
        [
            (
                f"f:3: error: {OURS}: acess: no filter is registered by this name, and it is not "
                "module:Class; did you mean access?"
            )
        ],
    ),
    "after a gate": (
        ACCESS.replace("http_filters:\n", "http_filters:\n" + GATE),
        [
            (
                "f:5: warning: http_filters[1].typed_config: requests that gate answers never get "
                "here: stand before it to log them"
            )
        ],
    ),
    "after a mutation": (ACCESS.replace("http_filters:\n", "http_filters:\n" + MUTATION), []),
    "after a script of responses": (
        ACCESS.replace("http_filters:\n", "http_filters:\n" + LUA),
        [],
    ),
    "after a script of requests": (
        ACCESS.replace(
            "http_filters:\n", "http_filters:\n" + LUA.replace("on_response", "on_request")
        ),
        [
            (
                "f:7: warning: http_filters[1].typed_config: requests that script answers never "
                "get here: stand before it to log them"
            )
        ],
    ),
    "after a script elsewhere": (
        ACCESS.replace(
            "http_filters:\n", "http_filters:\n" + LUA.replace("inline_string", "filename")
        ),
        [
            (
                "f:7: warning: http_filters[1].typed_config: requests that script answers never "
                "get here: stand before it to log them"
            )
        ],
    ),
    "same state key": (
        ACCESS + STRUCT + "          state: {k: a}\n"
        "          instance: one\n" + SECOND + STRUCT + "          state:\n            k: b\n",
        [
            (
                "f:21: error: http_filters[1].typed_config.filter_config.value.state.k: line 3 "
                "writes this key too; only one write stays"
            )
        ],
    ),
    "same statistics": (
        ACCESS
        + STRUCT
        + "          statistics: {key: k, metadata_namespace: n}\n"
        + SECOND
        + STRUCT
        + "          instance: two\n          statistics:\n            key: k\n"
        "            metadata_namespace: n\n",
        [
            (
                "f:21: error: http_filters[1].typed_config.filter_config.value.statistics.key: "
                "line 3 has this key too; the line of the first one stays"
            ),
            (
                "f:22: error: http_filters[1].typed_config.filter_config.value.statistics."
                "metadata_namespace: line 3 has this metadata_namespace too; the values of both "
                "are mixed there"
            ),
        ],
    ),
    "same instance": (
        ACCESS + SECOND,
        [
            (
                "f:8: warning: http_filters[1].typed_config: instance access is that of line 3 "
                "too; their stats and metadata cannot be told apart"
            )
        ],
    ),
}


def one_line(*filters: str) -> str:
    """Give the chain as JSON on one line."""
    return json.dumps({"http_filters": [yaml.safe_load(one)["http_filters"][0] for one in filters]})


SAME_STATE = one_line(
    ACCESS + STRUCT + "          state: {k: a}\n",
    ACCESS + STRUCT + "          state: {k: b}\n          instance: two\n",
)
CASES |= {
    "same state key on one line": (
        SAME_STATE,
        [
            (
                "f:1: error: http_filters[1].typed_config.filter_config.value.state.k: "
                "http_filters[0].typed_config writes this key too; only one write stays"
            )
        ],
    ),
    "same instance on one line": (
        one_line(ACCESS, ACCESS),
        [
            (
                "f:1: warning: http_filters[1].typed_config: instance access is that of "
                "http_filters[0].typed_config too; their stats and metadata cannot be told apart"
            )
        ],
    ),
    "same instance by an anchor": (
        ACCESS.replace("typed_config:", "typed_config: &ours") + "  - typed_config: *ours\n",
        [
            (
                "f:7: warning: http_filters[1].typed_config: instance access is that of line 3 "
                "too; their stats and metadata cannot be told apart"
            )
        ],
    ),
    "a key twice on one line": (
        ACCESS + STRUCT + "          log: {request: true, request: false}\n",
        [
            (
                f"f:10: error: {OURS}.filter_config.value.log.request: line 10 has this key, too; "
                "Envoy takes only the last value"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_static(case: str) -> None:
    """Each mistake is found with its line, its path and how to mend it."""
    text, findings = CASES[case]

    assert findings == [one.shown(Path("f")) for one in _check.static(text)]


ROUTE = f"""\
typed_per_filter_config:
  ours:
    "@type": {FILTER_TYPE}PerRoute
    dynamic_module_config: {{name: envoy_pyfilter, do_not_close: true}}
"""


@pytest.mark.parametrize("key", ["filter_name", "per_route_config_name"])
def test_route(key: str) -> None:
    """A per-route config is decoded as its filter says, which it may name under either key."""
    (found,) = _check.static(f"{ROUTE}    {key}: access\n")

    expected = (
        "access: per-route config: AccessFilter has no RouteConfig: it takes no config per route"
    )
    assert expected == found.text


def test_route_of_both_keys() -> None:
    """Of both keys Envoy takes filter_name; without one, that is the one to add."""
    (both,) = _check.static(ROUTE + "    filter_name: acess\n    per_route_config_name: access\n")
    (none,) = _check.static(ROUTE)

    assert both.text.startswith("acess: ")
    assert "filter_name is missing; say access or module:Class" == none.text


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("access: log.fields[1]: unknown", ("log", "fields", 1)),
        ("m:C: limit: expected an integer", ("limit",)),
        ("m:C: per-route config: a.b: unknown key", ("a", "b")),
        ('access: state["a.b c"]: unclosed', ("state", "a.b c")),
        ("access: no such thing", ()),
        ("m:C: cannot import m: ModuleNotFoundError: no", ()),
    ],
)
def test_named_place(message: str, place: tuple[str | int, ...]) -> None:
    """The path that a ConfigError names is read back."""
    assert place == _check.named_place(message)


def test_lines() -> None:
    """Each place knows its line, and what the file lacks that of what holds it."""
    document = Document("a:\n  - b: 1\n  -\n    c: 2\n")

    assert [1, 2, 4, 4] == [
        document.line(place) for place in [("a",), ("a", 0, "b"), ("a", 1, "c"), ("a", 1, "c", "x")]
    ]
    assert "a[1].c" == dotted(("a", 1, "c"))


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.dates()
_keys = st.sampled_from(
    [
        *["@type", "dynamic_module_config", "filter_name", "filter_config", "value", "module"],
        *["http_filters", "name", "do_not_close", "typed_config", "log", "sinks", "state", "local"],
    ]
)
_leaves = _scalars | st.sampled_from([FILTER_TYPE, STRUCT_TYPE, "envoy_pyfilter", "access"])
_trees = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner),
    max_leaves=30,
)
_ours = st.fixed_dictionaries(
    {
        "@type": st.just(FILTER_TYPE),
        "dynamic_module_config": st.just({"name": "envoy_pyfilter"}) | _trees,
        "filter_name": st.just("access") | _leaves,
        "filter_config": st.fixed_dictionaries({"@type": st.just(STRUCT_TYPE), "value": _trees})
        | _trees,
    }
)


@given(st.lists(st.fixed_dictionaries({"typed_config": _ours | _trees}) | _trees, max_size=3))
def test_any_file(filters: list[Any]) -> None:
    """Whatever a file holds, there are findings and no traceback."""
    text = yaml.safe_dump({"http_filters": filters})

    assert all(one.shown(Path("f")) for one in _check.static(text))


def bootstrap(tmp_path: Path, *arguments: str) -> tuple[Path, dict[str, Any]]:
    """Give a whole bootstrap, as a path to write to and as its value."""
    done = command("config", "--bootstrap", *arguments)
    return tmp_path / "envoy.yaml", yaml.safe_load(done.stdout)


def test_envoy_rejects(release: str, tmp_path: Path) -> None:
    """What only Envoy can know is told in its own words; JSON is read as well."""
    file, value = bootstrap(tmp_path)
    value["static_resources"]["listeners"][0]["address"] = {}
    file.write_text(json.dumps(value))
    done = command("check", "--envoy", release, file)

    assert 1 == done.returncode
    assert done.stdout.startswith(
        f"{file}: error: Envoy {release} rejects it: error initializing configuration '{file}': "
        "Proto constraint validation failed (BootstrapValidationError.StaticResources: "
    )
    assert 'caused by field: "address", reason: is required' in done.stdout
    assert 1 == len(done.stdout.splitlines())


@pytest.mark.parametrize("last", ["trailers", "trialers"])
def test_a_key_twice(release: str, tmp_path: Path, last: str) -> None:
    """Of a key that stands there twice, Envoy takes the last value, whichever is the right one."""
    file, value = bootstrap(tmp_path)
    text = yaml.safe_dump(value, sort_keys=False)
    first = "trialers" if last == "trailers" else "trailers"
    (indent,) = re.findall(r"^( +)log:$", text, re.MULTILINE)
    twice = f"{indent}log: {{{first}: true}}\n{indent}log: {{{last}: true}}\n{indent}was:\n"
    text = re.sub(rf"^{indent}log:\n(?:{indent} .*\n)+", twice, text, flags=re.MULTILINE)
    file.write_text(text.replace(f"{indent}was:\n", ""))
    done = command("check", "--envoy", release, file)

    assert 1 == done.returncode
    assert "has this key, too; Envoy takes only the last value\n" in done.stdout
    assert (last == "trialers") == (f"Envoy {release} rejects it" in done.stdout)


def test_without_envoy(tmp_path: Path) -> None:
    """``--no-envoy`` asks nobody."""
    file, value = bootstrap(tmp_path)
    value["static_resources"]["listeners"][0]["address"] = {}
    file.write_text(yaml.safe_dump(value))
    done = command("check", "--no-envoy", file)

    assert (0, f"{file}: nothing to complain about\n") == (done.returncode, done.stdout)


def test_both_agree(release: str, tmp_path: Path) -> None:
    """A mistake in our config is found by both, in the same words, which are printed once."""
    file, value = bootstrap(tmp_path)
    file.write_text(yaml.safe_dump(value).replace("trailers: true", "trialers: true"))
    done = command("check", "--envoy", release, file)
    ours, envoys = done.stdout.splitlines()

    assert 1 == done.returncode
    text = "access: log.trialers: unknown key; did you mean trailers?"
    assert ours.endswith(text)
    assert f"{file}: error: Envoy {release} rejects it, too" == envoys


def test_warnings_pass(tmp_path: Path) -> None:
    """A warning is printed, and the exit code stays 0."""
    file, value = bootstrap(tmp_path)
    file.write_text(yaml.safe_dump(value).replace("do_not_close: true", "do_not_close: false"))
    done = command("check", "--no-envoy", file)

    assert 0 == done.returncode
    assert done.stdout.endswith(f"dynamic_module_config: {NOT_CLOSED}\n")


def test_misspelt_hook(tmp_path: Path) -> None:
    """A method that is nearly a hook is an error of the file that uses the class, told once."""
    (tmp_path / "nearly.py").write_text(
        "from envoy_pyfilter import Filter\n"
        "class Nearly(Filter):\n"
        "    def on_request_header(self, stream, end_of_stream): ...\n"
    )
    file = tmp_path / "envoy.yaml"
    config = f"          python_path: [{tmp_path}]\n"
    file.write_text(ACCESS.replace("filter_name: access", "filter_name: nearly:Nearly"))
    file.write_text(file.read_text() + STRUCT + config)
    done = command("check", "--no-envoy", file)

    text = (
        f"{file}:6: error: {OURS}.filter_name: nearly:Nearly: Nearly.on_request_header is no hook "
        "and is never called; did you mean on_request_headers?\n"
    )
    assert (1, text, "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("words", [("check",), ("run", "--config")])
def test_unreadable_file(words: tuple[str, ...], tmp_path: Path) -> None:
    """A file that is not there, or no text, is told in one line that names it once."""
    missing, binary = tmp_path / "nowhere.yaml", tmp_path / "binary"
    binary.write_bytes(b"a: \xff")

    for file, text in (
        (missing, "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "no text in UTF-8 (byte 3)"),
    ):
        done = command(*words, file)
        assert (1, f"envoy-pyfilter: {file}: {text}\n") == (done.returncode, done.stderr)


def test_run_no_yaml(tmp_path: Path) -> None:
    """``run`` tells in one line where a file stops being YAML."""
    file = tmp_path / "f.yaml"
    file.write_text("a: [\nb")
    done = command("run", "--config", file)

    text = f"{file}:2: error: no YAML: expected ',' or ']', but got '<stream end>'"
    assert (1, f"envoy-pyfilter: {text}\n") == (done.returncode, done.stderr)


def test_own_traceback(tmp_path: Path) -> None:
    """What a user's module raised stands above the sentence that says so."""
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    done = subprocess.run(
        [*COMMAND, "config", "--filter", "broken:Filter"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        check=False,
    )

    traceback, _, last = done.stderr.strip().rpartition("\n")
    assert "broken.py" in traceback
    assert last == (
        "envoy-pyfilter: broken:Filter: cannot import broken: ModuleNotFoundError: No module "
        "named 'no_such_module_at_all'; its traceback stands above"
    )


@pytest.mark.parametrize("sample", ["access.yaml", "access-logger.yaml", "filter.yaml"])
def test_samples(sample: str, release: str) -> None:
    """The samples are right, and each Envoy takes them."""
    file = ROOT / "envoy" / sample
    done = command("check", "--envoy", release, file)

    assert (0, f"{file}: nothing to complain about\n") == (done.returncode, done.stdout)
