# SPDX-License-Identifier: Apache-2.0
"""The access logger's hooks: what it asks of a log, its fields, its stats, and odd lives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .configs import REQUEST_HEADERS, RESPONSE_HEADERS, RESPONSE_TRAILERS, read_entries
from .configs import request as ordinary
from .conftest import StartHost
from .host import Event, Host, Word, pairs
from .test_threads import joined, written

LOGGED = -2  # the stub's source of values by callback
NOT_SET, START, PERIODIC, END = 0, 4, 5, 6
TIMING = (1767225600123456768, 5_000_000, 100_000, 200_999, -1, -1, 4_000_000, 4_500_000)


class Logger:
    """One config, with a logger on each thread of the host."""

    def __init__(self, host: Host, name: Word = "access", **config: Any) -> None:
        """Load it; its entries go to ``log`` unless *config* names sinks."""
        self.host = host
        self.name = host.name("l")
        self.log = host.folder / f"{self.name}.log"
        file = {"type": "file", "path": str(self.log)}
        whole = {"instance": self.name, "sinks": [file], **config}
        self.events = host("logger", self.name, name, json.dumps(whole))
        self.accepted = any(event.get("accepted") for event in self.events)
        self.ended = not self.accepted
        host.made.append(self)

    def end(self) -> None:
        """Flush and destroy the loggers on their threads, then the config."""
        if not self.ended:
            self.ended = True
            self.host("logger_destroy", self.name)

    def entries(self) -> list[Event]:
        """End it and return its entries."""
        self.end()
        return read_entries(self.log)

    def counts(self) -> dict[str, int]:
        """Return its stats that are not zero."""
        prefix = f"{self.name}."
        found = self.host.stats().items()
        return {name[len(prefix) :]: n for name, n in found if name.startswith(prefix) and n}


class Log:
    """A stream that no filter of ours sees, and that is logged."""

    def __init__(self, host: Host, *, worker: int = 0) -> None:
        """Make it on a worker."""
        self.host = host
        self.name = host.name("b")
        host.line(f"@{worker} bare {self.name}")
        self.ended = False
        host.made.append(self)
        self.map(REQUEST_HEADERS, ordinary(self.name))

    def map(self, number: int, headers: Any) -> Log:
        """Give it a header map."""
        self.host("map", self.name, number, more=pairs(headers))
        return self

    def tells(self, callback: str, kind: str, *values: Word) -> Log:
        """Have a callback answer: s text, n a number, S and N several."""
        self.host("state", self.name, LOGGED, "", callback, kind, *values)
        return self

    def write(self, logger: Logger, log_type: int = END) -> list[Event]:
        """Call the log hook."""
        return self.host("log", self.name, logger.name, log_type)

    def end(self) -> None:
        """End the stream."""
        if not self.ended:
            self.ended = True
            self.host("destroy", self.name)


def test_an_ordinary_log(each_host: Host) -> None:
    """Headers, attributes, addresses and bytes, as a filter's entry has them."""
    logger = Logger(each_host)
    log = Log(each_host, worker=1)
    log.map(RESPONSE_HEADERS, [(":status", 200), ("set-cookie", "secret"), ("x", "1")])
    log.map(RESPONSE_TRAILERS, [("grpc-status", 7)])
    log.tells("get_timing_info", "N", *TIMING).tells("get_bytes_info", "N", 10, 20, 30, 40)
    log.tells("get_downstream_remote_address", "S", "10.0.0.1", 1234)
    log.tells("get_downstream_local_address", "S", "::1", 80)
    log.tells("get_response_code_details", "s", "via_upstream").tells("get_response_flags", "n", 0)
    log.tells("get_upstream_cluster", "s", "items")
    log.write(logger)
    (entry,) = logger.entries()
    expected = {
        "kind": "response",
        "start_time_unix_nano": TIMING[0],
        "request_id": log.name,
        "method": "GET",
        "path": "/",
        "response_code": 200,
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "upstream_cluster": "items",
        "downstream_remote_address": "10.0.0.1:1234",
        "downstream_local_address": "[::1]:80",
        "response_headers": {"set-cookie": "[redacted]", "x": "1"},
        "response_trailers": {"grpc-status": "7"},
        "grpc_status": 7,
        "bytes_received": 10,
        "bytes_sent": 20,
        "upstream_wire_bytes_received": 30,
        "upstream_wire_bytes_sent": 40,
        "worker": 1,
        "access_log_type": "DownstreamEnd",
        "time_to_first_upstream_tx_byte_us": 100,
        "time_to_last_upstream_tx_byte_us": 200,
        "time_to_first_downstream_tx_byte_us": 4000,
        "time_to_last_downstream_tx_byte_us": 4500,
    }
    assert expected == {name: entry.get(name) for name in expected}
    assert not {"time_to_first_upstream_rx_byte_us", "downstream_tls_version"} & entry.keys()
    assert 5000 <= entry["duration_us"] < 6000


TLS = {
    "downstream_tls_version": ("get_downstream_tls_version", "TLSv1.3"),
    "downstream_tls_cipher": ("get_downstream_tls_cipher", "AES"),
    "downstream_peer_subject": ("get_downstream_peer_subject", 'CN="a"\n'),
    "downstream_peer_fingerprint_256": ("get_downstream_peer_cert_digest", "ab12"),
    "tls_ja3_fingerprint": ("get_ja3_hash", "ja3"),
    "tls_ja4_fingerprint": ("get_ja4_hash", "ja4"),
    "requested_server_name": ("get_requested_server_name", "example.org"),
    "upstream_tls_version": ("get_upstream_tls_version", "TLSv1.2"),
    "upstream_peer_issuer": ("get_upstream_peer_issuer", "CN=ca"),
}


def test_tls(each_host: Host) -> None:
    """Texts, lists, numbers and truths of TLS; what is not UTF-8 is repaired and told."""
    logger = Logger(each_host)
    log = Log(each_host)
    for callback, value in TLS.values():
        log.tells(callback, "s", value)
    log.tells("get_downstream_peer_uri_san", "S", "spiffe://a", 'b"', b"\xff")
    log.tells("get_downstream_peer_cert_v_end", "n", 1767225600).tells("is_mtls", "n", 1)
    log.write(logger)
    (entry,) = logger.entries()
    assert {name: value for name, (_, value) in TLS.items()}.items() <= entry.items()
    assert ["spiffe://a", 'b"', "\ufffd"] == entry["downstream_peer_uri_san"]
    assert (1767225600, True) == (entry["downstream_peer_cert_v_end"], entry["downstream_mtls"])
    assert True is entry["invalid_utf8"]
    assert "downstream_peer_cert_v_start" not in entry


def test_without_tls_nothing_of_it_is_asked(host: Host) -> None:
    """One question, and no field, where there is no TLS."""
    logger = Logger(host)
    log = Log(host).tells("get_downstream_peer_subject", "s", "CN=a")
    log.write(logger)
    assert "downstream_peer_subject" not in logger.entries()[0]


def test_a_list_that_is_too_long(host: Host) -> None:
    """More names than there is room for are left out, not cut."""
    logger = Logger(host)
    log = Log(host).tells("get_downstream_tls_version", "s", "TLSv1.3")
    log.tells("get_downstream_peer_dns_san", "S", *[f"n{i}" for i in range(65)])
    log.tells("get_downstream_peer_uri_san", "S", *[f"n{i}" for i in range(64)])
    log.write(logger)
    (entry,) = logger.entries()
    assert "downstream_peer_dns_san" not in entry
    assert 64 == len(entry["downstream_peer_uri_san"])


def test_kinds(each_host: Host) -> None:
    """Every type that Envoy knows, one that it does not know yet, and what each counts as."""
    logger = Logger(each_host, log={"fields": ["kind", "access_log_type"]})
    log = Log(each_host)
    for log_type in range(15):
        log.write(logger, log_type)
    counts = logger.counts()
    found = [(one["kind"], one.get("access_log_type")) for one in logger.entries()]
    assert ["NotSet", "TcpConnectionEnd", "DownstreamEnd", "UdpSessionEnd"] == [
        name for kind, name in found if kind == "response"
    ]
    assert ("progress", None) == found[14]
    assert {"entries_response": 4, "entries_progress": 11} == counts


def test_no_header_at_all(each_host: Host) -> None:
    """A connection of TCP has no maps."""
    logger = Logger(each_host)
    name = each_host.name("b")
    each_host.line(f"@0 bare {name}")
    each_host("log", name, logger.name, 3)
    each_host("destroy", name)
    (entry,) = logger.entries()
    assert (0, "TcpConnectionEnd") == (entry["response_code"], entry["access_log_type"])
    assert set() == entry.keys() & {"method", "path", "request_headers"}


@pytest.mark.parametrize("callback", ["*", "access_logger_get_timing_info"])
def test_callbacks_that_answer_false(host: Host, callback: str) -> None:
    """An entry is written with what there is."""
    logger = Logger(host)
    log = Log(host)
    host("fail", callback)
    log.write(logger)
    host("fail")
    assert ["response"] == [entry["kind"] for entry in logger.entries()]


def test_metadata(each_host: Host, path: Path, agent: Any, request: pytest.FixtureRequest) -> None:
    """Formats read metadata of each kind; 1.38 tells texts alone."""
    sink = {"type": "cilium", "socket": str(path), "policy_name": "%DYNAMIC_METADATA(n:k)%"}
    logger = Logger(each_host, sinks=[sink])
    for kind, value in (("s", "text"), ("n", "1.5"), ("b", "1")):
        log = Log(each_host)
        each_host("state", log.name, 0, "n", "k", kind, value)
        log.write(logger)
    packets = agent.wait_for(3)
    found = [next((v for v in (b"text", b"1.5", b"true") if v in one), b"-") for one in packets]
    logger.end()
    texts_alone = request.node.callspec.params["each_host"] == "1.38"
    assert [b"text", *([b"-", b"-"] if texts_alone else [b"1.5", b"true"])] == found


def test_a_progress_is_no_packet(host: Host, path: Path, agent: Any) -> None:
    """The agent knows no such thing."""
    logger = Logger(host, sinks=[{"type": "cilium", "socket": str(path)}])
    log = Log(host)
    for log_type in (START, PERIODIC, END):
        log.write(logger, log_type)
    assert 1 == len(agent.wait_for(1))
    assert {"entries_response": 1} == {
        name: n for name, n in logger.counts().items() if name.startswith("entries")
    }
    logger.end()


def test_refused(host: Host) -> None:
    """A bad config is refused with a reason, and nothing of it is used again."""
    for name, config in (("acces", {}), ("access", {"log": {"request": True}})):
        logger = Logger(host, name, **config)
        assert not logger.accepted
        assert any(e.get("text", "").count("access logger: log") for e in logger.events)


def test_a_metric_that_envoy_refuses(host: Host) -> None:
    """So is one whose stats cannot be defined."""
    host("fail", "define_metric")
    logger = Logger(host)
    host("fail")
    assert not logger.accepted


def test_validation(start: StartHost) -> None:
    """No thread, no file."""
    host = start(validation=1)
    before = host.left()
    logger = Logger(host)
    assert logger.accepted
    assert before == host.left()
    assert not logger.log.exists()
    logger.end()


def test_flush_tells_what_sinks_counted(host: Host) -> None:
    """With no further log, a flush tells Envoy what was lost."""
    logger = Logger(host, sinks=[{"type": "file", "path": "/dev/full"}])
    Log(host).write(logger)
    while "sink_errors" not in logger.counts():
        host("logger_flush", logger.name)
    logger.end()


def test_beside_a_filter(host: Host, access: Callable[..., Any]) -> None:
    """A filter and a logger of one process share a file; each line is whole."""
    logger = Logger(host)
    config = access(host, sinks=[{"type": "file", "path": str(logger.log)}])
    for _ in range(20):
        config.stream().exchange()
        Log(host).write(logger)
    config.end()
    kinds = [entry["kind"] for entry in logger.entries()]
    assert (20, 40) == (kinds.count("request"), kinds.count("response"))


def test_an_end_with_entries_waiting(start: StartHost) -> None:
    """All that was logged is in the file when the config is gone; nothing is left."""
    host = start(concurrency=2)
    before = host.left()
    logger = Logger(host)
    logs = [Log(host, worker=worker) for worker in (0, 1)]
    for number in range(500):
        logs[number % 2].write(logger)
    assert 500 == len(logger.entries())
    assert before["files"] == host.idle()["files"]


def test_four_workers(start_tsan: StartHost) -> None:
    """Under ThreadSanitizer: each worker's entries are in the file, once."""
    host = start_tsan(concurrency=4)
    logger = Logger(host)
    host("load", logger.name, 200, 1)
    assert 800 == joined(host)["responses"]
    logger.end()
    assert {"response": 800} == written(logger.log)
