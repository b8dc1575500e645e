# SPDX-License-Identifier: Apache-2.0
"""The module and its configs in the process: start, refusal, validation, ends on any thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .builds import Build, build_stub
from .configs import FILTERS, Config, request
from .conftest import MakeConfig, StartHost
from .header import read_table
from .host import Host, Word

VERSIONS: dict[str, str] = read_table()["abi_version_string"]


@pytest.mark.parametrize("release", sorted(VERSIONS))
def test_each_release_hears_its_version(start: StartHost, release: str) -> None:
    """The answer to ``on_program_init`` is what that Envoy compares with; the log says which."""
    host = start(release, log_level=1)
    assert VERSIONS[release] == host.abi
    (line,) = [e["text"] for e in host.opened if "log" in e]
    assert f"in a host like Envoy {release} (ABI {VERSIONS[release]})" in line


def test_older_host_is_refused_by_name(start: StartHost) -> None:
    """1.37 lacks ``is_validation_mode``: NULL, with a sentence in the log."""
    host = start("1.37")
    assert "" == host.abi
    sentence = (
        "envoy_pyfilter: this Envoy is older than 1.38 (it lacks the callback is_validation_mode);"
        " supported are Envoy 1.38, 1.39 and 1.40"
    )
    assert [sentence] == [e["text"] for e in host.opened if "log" in e]


def test_closed_and_opened_again(start: StartHost) -> None:
    """Closing leaves the code where it is; a second load in the same process works."""
    host = start()
    config = Config.access(host)
    config.stream().exchange()
    config.end()
    assert [{"hook": "close", "closed": True, "mapped": True}] == host("close", str(host.module))
    opened = host("reopen", str(host.module))
    assert VERSIONS["1.40"] == opened[-1]["abi"]
    assert ["request", "response"] == _exchange(host)


def _exchange(host: Host) -> list[str]:
    config = Config.access(host)
    config.stream().exchange()
    return config.kinds()


def test_validation_mode_touches_nothing(start: StartHost, tmp_path: Path) -> None:
    """A config is checked and thrown away: no thread, no file, no folder entry."""
    host = start(validation=1)
    before, listing = host.idle(), sorted(tmp_path.rglob("*"))
    sinks = [
        {"type": "file", "path": str(tmp_path / "never.log")},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": str(tmp_path / "x")}},
    ]
    config = Config.access(host, sinks=sinks, python_path=[str(FILTERS)])
    assert config.accepted, config.events
    assert before == host.left()
    config.end()
    assert before == host.idle()
    assert listing == sorted(tmp_path.rglob("*"))


def test_a_refused_config_leaves_nothing(host: Host) -> None:
    """Bad configs, one after the other: the reason is in the log, nothing else happened."""
    before = host.idle()
    bad: list[tuple[Word, Any]] = [
        ("access", b"\xff\x00"),
        ("access", b"[]"),
        ("access", {"sinks": [{"type": "file", "path": "/nowhere/at/all.log"}]}),
        ("access", {"log": {"fields": ["no_such_field"]}}),
        ("access", {"state": {"k": "%NO(such)%"}}),
        ("no_such_filter", {}),
        ("no.such.module:Class", {}),
        (None, {}),
        (b"\xff", {}),
    ]
    for name, config in bad:
        refused = Config(host, name, config)
        assert not refused.accepted, (name, config)
        assert any(e.get("level") == 4 for e in refused.events), (name, config, refused.events)
    assert before == host.idle()


def test_an_empty_config(start: StartHost) -> None:
    """The NULL buffer is a config without any key: entries go to the process's stdout."""
    host = start()
    config = Config(host, "access", None)
    assert config.accepted
    config.stream().exchange()
    config.end()
    assert ["request", "response"] == [
        json.loads(line)["kind"] for line in host.stdout().splitlines()
    ]


@pytest.mark.parametrize("thread", ["", "@0", "@1", "@x"], ids=["main", "own", "worker", "other"])
def test_config_destroyed_on_any_thread(host: Host, scripted: MakeConfig, thread: str) -> None:
    """The last reference to a config can be dropped anywhere; entries and hooks are complete."""
    config = scripted(host, access=True, on_config_destroy="saw('destroyed')")
    config.stream().exchange()
    config.stream(worker=1).exchange()
    config.end(thread=thread)
    assert ["destroyed"] == config.seen()
    assert 4 == len(config.entries())


def test_configs_leave_no_thread_and_no_file(host: Host) -> None:
    """Fifty configs one after the other, each with entries."""
    _exchange(host)
    before = host.idle()
    for _ in range(50):
        assert ["request", "response"] == _exchange(host)
    assert before == host.idle()


def test_python_sink_ends_with_its_config(host: Host) -> None:
    """Its thread and its descriptor go; every record was handed over before."""
    _exchange(host)
    before = host.idle()
    target = host.folder / f"{host.name('sink')}.py"
    sink = {"type": "python", "sink": "filters:FileSink", "config": {"path": str(target)}}
    config = Config.access(host, sinks=[sink], python_path=[str(FILTERS)])
    assert config.accepted, config.events
    assert before["threads"] + 1 == host.left()["threads"]
    for _ in range(20):
        config.stream().exchange()
    config.end()
    batches = target.read_text().splitlines()
    assert 40 == sum(line.count("'kind'") for line in batches)
    assert "('closed', [])" == batches[-1]
    assert before == host.idle()


def test_per_route_config(host: Host, scripted: MakeConfig) -> None:
    """Made before the filter's config; read by a stream; destroyed on a worker."""
    config = scripted(host, on_request_headers="saw(getattr(stream.route_config, 'tenant', 0))")
    route = host.name("r")
    text = json.dumps({"tenant": "a", "limit": 5})
    (answer,) = host("route", route, "filters:Scripted__on_request_headers", text)
    assert answer["accepted"]
    config.stream(route=route).exchange()
    config.stream().exchange()
    host.line(f"@1 route_destroy {route}")
    assert ["a", 0] == config.seen()


@pytest.mark.parametrize("text", [b"", b"null", b"[1]", b'{"no_such": 1}', b'{"limit": "x"}'])
def test_refused_route_config(host: Host, scripted: MakeConfig, text: bytes) -> None:
    """A bad per-route config is refused with a reason."""
    scripted(host, on_request_headers="pass")
    events = host("route", host.name("r"), "filters:Scripted__on_request_headers", text)
    if text == b"":
        assert events[-1]["accepted"]  # no key at all
    else:
        assert not events[-1]["accepted"]
        assert any("log" in e for e in events)


def test_metrics_that_envoy_refuses(start: StartHost) -> None:
    """Frozen, or whatever else: the config is refused, and the process goes on."""
    host = start()
    host("fail", "define_metric")
    refused = Config.access(host)
    assert not refused.accepted
    assert any("metrics_result 3" in e.get("text", "") for e in refused.events)
    host("fail")
    assert ["request", "response"] == _exchange(host)


def test_metrics_with_and_without_labels(each_host: Host, scripted: MakeConfig) -> None:
    """Each kind has two spaces of ids; ours never mixes them up."""
    config = scripted(
        each_host,
        on_request_headers="""
            self.hits.add(stream)
            self.hits.add(stream, 4)
            self.by_tenant.add(stream, 2, tenant="a", color="b")
            self.open_now.set(stream, 7)
            self.open_now.sub(stream, 2)
            self.sizes.record(stream, 11)
        """,
    )
    config.stream().exchange()
    assert {
        "hits": 5,
        "by_tenant{tenant=a,color=b}": 2,
        "open_now": 5,
        "sizes": 11,
    } == config.counts()


def test_log_levels(each_host: Host, scripted: MakeConfig) -> None:
    """Python's logging goes to Envoy's log, at its level, and no line can be forged."""
    config = scripted(
        each_host,
        on_request_headers="""
            import logging
            logging.getLogger("user").debug("not shown")
            logging.getLogger("user").info("one\\r\\ntwo")
            logging.getLogger("user").error("three")
        """,
    )
    stream = config.stream()
    stream.request_headers()
    told = [(e["level"], e["text"]) for e in stream.events if "log" in e]
    assert [(2, "[user] one\\r\n    two"), (4, "[user] three")] == told


def test_bodies_metadata_and_attributes_from_python(host: Host, scripted: MakeConfig) -> None:
    """What the host lends in pieces, with NULL pieces between them, arrives whole."""
    config = scripted(
        host,
        on_request_headers="""
            saw(stream.attribute("request.path"), stream.attribute("response.code"))
            saw(stream.metadata.get("ns", "text"), stream.metadata.get("ns", "list"))
            saw(sorted(stream.metadata.keys("ns")), stream.metadata.namespaces())
            saw(stream.filter_state.get("key"), stream.filter_state.get("none"))
            saw(stream.request_headers.get_all("x-a"), stream.request_headers.get("x-none"))
        """,
        on_request_body="""
            saw(stream.request_body.read(), stream.request_body.size)
            stream.request_body.drain(min(3, stream.request_body.size))
            stream.request_body.append(b"++")
            saw(stream.request_body.read())
        """,
    )
    stream = config.stream()
    stream.attribute(0, "/path")
    stream.put_state(0, "ns", "text", "s", "value")
    stream.put_state(0, "ns", "list", "N", "1", "2.5")
    stream.put_state(-1, None, "key", "s", b"\x00\xff")
    stream.request_headers(request(stream.name, ("x-a", "1"), ("x-a", None)), end=False)
    stream.request_body("abcdef")
    stream.request_body(None)
    assert [
        ("/path", None),
        ("value", [1.0, 2.5]),
        (["list", "text"], ["ns"]),
        (b"\x00\xff", None),
        ([b"1", b""], None),
        (b"abcdef", 6),
        b"def++",
        (b"", 0),
        b"++",
    ] == config.seen()


def test_the_stub_host_sees_breaches(asan_build: Build, tmp_path: Path) -> None:
    """The judge works: a leak that the stub host makes itself is reported at its end."""
    host = Host(asan_build, build_stub(asan_build.sanitize, "1.40"), tmp_path)
    host("leak")
    with pytest.raises(AssertionError, match="LeakSanitizer"):
        host.end()
