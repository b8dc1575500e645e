# SPDX-License-Identifier: Apache-2.0
"""``config``: what it prints, and that each Envoy takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from .command import ROOT, command

GATE = ROOT / "envoy"


def printed(*arguments: str, cwd: Path = ROOT) -> Any:
    """Give what ``config`` prints, read as YAML."""
    done = command("config", *arguments, cwd=cwd)
    assert 0 == done.returncode, done.stderr
    return yaml.safe_load(done.stdout)


def names(bootstrap: Any) -> list[str]:
    """Name the HTTP filters of a bootstrap, ours by their filter_name."""
    listener = bootstrap["static_resources"]["listeners"][0]
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    return [one["typed_config"].get("filter_name", one["name"]) for one in filters]


def config(filter_: Any) -> Any:
    """Give the value of a filter's Struct."""
    return filter_["typed_config"]["filter_config"]["value"]


def test_default() -> None:
    """The access filter is printed with every key and its default."""
    (access,) = printed()

    assert {
        "instance": "access",
        "on_error": "deny",
        "python_path": [],
        "log": {
            "request": True,
            "response_at": "stream_complete",
            "compat": "none",
            "request_headers": {
                "include": ["*"],
                "exclude": [],
                "redact": [],
                "reveal": [],
            },
            "response_headers": {
                "include": ["*"],
                "exclude": [],
                "redact": [],
                "reveal": [],
            },
            "trailers": True,
        },
        "sinks": [{"type": "file", "path": "/dev/stdout", "format": "json", "ring_bytes": 4 << 20}],
        "state": {},
        "state_metadata": True,
        "metrics": [],
    } == config(access)


def test_own_filter() -> None:
    """A filter that logs nothing stands behind the access filter, with its own keys."""
    access, gate = printed("--filter", "gate:Gate", "--set", "header=x-squad", cwd=GATE)

    assert "access" == access["typed_config"]["filter_name"]
    assert {
        "instance": "Gate",
        "on_error": "deny",
        "python_path": [str(GATE)],
        "header": "x-squad",
    } == config(gate)


def test_access_before_own_filter() -> None:
    """The keys of the access filter that stands before one's own are set, too."""
    access, gate = printed(
        *["--filter", "gate:Gate", "--set", "header=x-squad"],
        *["--set-access", "log.request=false", "--set-access", "instance=mine"],
        cwd=GATE,
    )

    assert (False, "mine") == (config(access)["log"]["request"], config(access)["instance"])
    assert "x-squad" == config(gate)["header"]


def test_access_alone() -> None:
    """The access filter is the chosen one, so ``--set`` says its keys."""
    (access,) = printed("--set", "log.request=false")

    assert not config(access)["log"]["request"]


def test_keys_without_a_value() -> None:
    """A key whose default is no value is named in a comment, unless it is set."""
    bare = command("config").stdout
    narrow = command("config", "--set", "log.fields=[path, method]").stdout

    assert bare.startswith("# Not set, so not shown (access): statistics, log.")
    assert "log.fields" in bare.splitlines()[0]
    assert "log.fields" not in narrow
    assert ["path", "method"] == config(yaml.safe_load(narrow)[0])["log"]["fields"]


def test_subclass_of_access(tmp_path: Path) -> None:
    """A filter that writes entries itself stands alone."""
    text = "from envoy_pyfilter import AccessFilter\nclass Mine(AccessFilter): pass\n"
    (tmp_path / "mine.py").write_text(text)
    (mine,) = printed("--filter", "mine:Mine", "--set", "log.request=false", cwd=tmp_path)

    assert ("Mine", False) == (config(mine)["instance"], config(mine)["log"]["request"])


def test_order() -> None:
    """A response passes the filters from last to first, so the late change stands before ours."""
    bootstrap = printed("--bootstrap", "--demo")
    (listener,) = bootstrap["static_resources"]["listeners"]
    assert [10000, 9901] == [
        part["address"]["socket_address"]["port_value"] for part in (listener, bootstrap["admin"])
    ]

    assert [
        "envoy.filters.http.header_mutation",
        "access",
        "envoy.filters.http.router",
    ] == names(bootstrap)


@pytest.mark.parametrize(
    ("given", "kind", "address"),
    [
        ("example.com:443", "LOGICAL_DNS", {"address": "example.com", "port_value": 443}),
        ("127.0.0.1:80", "STATIC", {"address": "127.0.0.1", "port_value": 80}),
        ("[::1]:80", "STATIC", {"address": "::1", "port_value": 80}),
    ],
)
def test_upstream(given: str, kind: str, address: dict[str, object]) -> None:
    """A name is resolved by Envoy, an address is taken as it is."""
    (cluster,) = printed("--bootstrap", "--upstream", given)["static_resources"]["clusters"]
    (endpoints,) = cluster["load_assignment"]["endpoints"]

    assert kind == cluster["type"]
    assert address == endpoints["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]


REFUSED = {
    "unknown key": (
        ["--set", "log.respnse_headers={}"],
        "access: log.respnse_headers: unknown key; did you mean response_headers?",
    ),
    "no value": (
        ["--set", "log.request"],
        "--set log.request: expected KEY=VALUE, such as log.request=false",
    ),
    "no mapping": (
        ["--set", "log=1", "--set", "log.request=1"],
        "--set log.request=1: log has a value already",
    ),
    "no mapping for access": (
        ["--filter", "gate:Gate", "--set-access", "log=1", "--set-access", "log.request=1"],
        "--set-access log.request=1: log has a value already",
    ),
    "unknown key of access": (
        ["--filter", "gate:Gate", "--set-access", "logs.request=1"],
        "access: logs: unknown key; did you mean log?",
    ),
    "access is the filter": (
        ["--set-access", "log.request=false"],
        (
            "--set-access log.request=false: no access filter stands before access, which is one "
            "itself: --set says its keys"
        ),
    ),
    "no YAML": (["--set", "state={"], "--set state={: the value is no YAML"),
    "no filter": (
        ["--filter", "json:JSONDecoder"],
        "json:JSONDecoder: JSONDecoder is not a subclass of envoy_pyfilter.Filter",
    ),
    "no class": (
        ["--filter", "envoy_pyfilter:Fliter"],
        "envoy_pyfilter:Fliter: envoy_pyfilter has no Fliter; did you mean Filter?",
    ),
    "unknown name": (
        ["--filter", "acess"],
        (
            "acess: no filter is registered by this name, and it is not module:Class; "
            "did you mean access?"
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """A mistake is told in one sentence."""
    arguments, text = REFUSED[case]
    done = command("config", *arguments, cwd=GATE)

    assert (1, f"envoy-pyfilter: {text}\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    "arguments", [["--upstream", "80"], ["--port", "65536"], ["--filter", ":x"]]
)
def test_usage(arguments: list[str]) -> None:
    """An argument that cannot be read is told as argparse does."""
    done = command("config", *arguments)

    assert 2 == done.returncode
    assert f"argument {arguments[0]}: {arguments[1]}: expected " in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["--demo", "--upstream", "example.com:80"], ["--filter", "gate:Gate"]],
    ids=["plain", "demo", "own filter"],
)
def test_accepted(release: str, arguments: list[str], tmp_path: Path) -> None:
    """What it prints, ``check`` and each Envoy take."""
    done = command("config", "--bootstrap", *arguments, cwd=GATE)
    file = tmp_path / "envoy.yaml"
    file.write_text(done.stdout)
    checked = command("check", "--envoy", release, file)

    assert (0, f"{file}: nothing to complain about\n") == (checked.returncode, checked.stdout)


def test_logger() -> None:
    """The access logger is printed with every key that it has, and is what Envoy takes."""
    (logger,) = printed("--logger", "--set", "instance=edge")
    value = logger["typed_config"]["logger_config"]["value"]
    assert ["instance", "python_path", "log", "sinks", "metrics"] == list(value)
    assert ["request_headers", "response_headers", "trailers"] == list(value["log"])
    assert ("access", "edge") == (logger["typed_config"]["logger_name"], value["instance"])


def test_bootstrap_of_a_logger(tmp_path: Path, release: str) -> None:
    """Envoy's own checks pass."""
    file = tmp_path / "envoy.yaml"
    whole = printed("--logger", "--bootstrap")
    assert ["envoy.filters.http.router"] == names(whole)
    file.write_text(yaml.safe_dump(whole))
    done = command("check", "--envoy", release, file)
    assert (0, f"{file}: nothing to complain about\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--filter", "access"), "--filter has no place beside --logger: a logger is no filter"),
        (
            ("--set", "log.aborted=false"),
            (
                "access logger: log.aborted: the filter of Envoy's access log says which streams "
                "are logged, got false; expected true, or no such key"
            ),
        ),
    ],
)
def test_what_no_logger_has(arguments: tuple[str, ...], message: str) -> None:
    """It is told as Envoy would be told."""
    done = command("config", "--logger", *arguments)
    assert (1, f"envoy-pyfilter: {message}\n") == (done.returncode, done.stderr)
