# SPDX-License-Identifier: Apache-2.0
"""``metrics`` in a stub host: values, bounds, hosts, and four workers at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from .configs import Config, read_entries, request
from .conftest import MakeConfig, StartHost
from .host import Host
from .test_logger import END, START, Log, Logger
from .test_threads import load

Dict = dict[str, Any]

ASKS: Dict = {"name": "asks", "type": "counter"}
USERS: Dict = {**ASKS, "labels": {"user": "%REQ(x-user)%"}}

NOTES: dict[str, tuple[str, int | None]] = {
    "int": ("25", 25),
    "zero": ("0", 0),
    "a float": ("12.5", 13),
    "a float that is whole": ("3.0", 3),
    "digits": ("'7'", 7),
    "large": ("2**53", 2**53),
    "too large": ("2**53 + 1", None),
    "less than nothing": ("-1", None),
    "no number": ("'7 tokens'", None),
    "true": ("True", None),
    "a list": ("[5]", None),
    "nothing": ("None", None),
    "empty": ("''", None),
    "not finite": ("'inf'", None),
}


@pytest.mark.parametrize("note", NOTES)
def test_notes(host: Host, scripted: MakeConfig, note: str) -> None:
    """Numbers and texts of digits count; the rest is counted as such, and so is what is absent."""
    value, expected = NOTES[note]
    metric = {**ASKS, "value": "%NOTE(n)%"}
    config = scripted(
        host,
        access=True,
        config={"metrics": [metric]},
        on_request_headers=f"stream.record.note('n', {value})",
    )
    config.stream().exchange()
    assert (expected or 0) == config.stat("asks")
    assert int(expected is None) == config.stat("metrics_skipped")


def users(host: Host, config: Config) -> dict[str, int]:
    """Give the counter's values by user."""
    prefix = f"{config.name}.asks{{user="
    found = host.stats().items()
    return {name[len(prefix) : -1]: n for name, n in found if name.startswith(prefix)}


def ask(config: Config, user: str, *, worker: int = 0) -> None:
    """Make an exchange as that user."""
    stream = config.stream(worker=worker)
    more = [("x-user", user)] if user else []
    stream.request_headers(request(stream.name, *more))
    stream.response_headers()
    stream.finish()


def test_bound(each_host: Host, access: MakeConfig) -> None:
    """The first values have the places, on any worker; what is absent, and other, need none."""
    config = access(each_host, metrics=[{**USERS, "max_label_values": 2}])
    for number, user in enumerate(["other", "", "a", "b", "c", "a", "d", "", "b", "a"]):
        ask(config, user, worker=number % 2)
    assert {"a": 3, "b": 2, "-": 2, "other": 3} == users(each_host, config)
    assert (2, 0) == (config.stat("metrics_overflow"), config.stat("metrics_skipped"))
    config.end()
    said = [line for line in each_host.logged if f"{config.name}: metric asks: more label" in line]
    assert 1 == len(said)


def test_a_new_config_has_new_places(host: Host, access: MakeConfig) -> None:
    """They belong to the config."""
    for user in ("a", "b"):
        config = access(host, metrics=[{**USERS, "max_label_values": 1}])
        ask(config, user)
        assert {user: 1} == users(host, config)


def test_series(host: Host, access: MakeConfig) -> None:
    """When the combinations are too many, all but constants is other."""
    labels = {"code": "%RESPONSE_CODE%", "kind": "in", "user": "%REQ(x-user)%"}
    again = {**labels, "kind": "out"}
    metrics = [{**ASKS, "labels": labels, "max_series": 3}, {**ASKS, "labels": again}]
    config = access(host, metrics=metrics)
    for user in ("a", "b", "a"):
        ask(config, user)
    prefix = f"{config.name}.asks"
    found = {name: n for name, n in host.stats().items() if name.startswith(prefix)}
    assert {
        f"{prefix}{{code=200,kind=in,user=a}}": 2,
        f"{prefix}{{code=200,kind=out,user=a}}": 2,
        f"{prefix}{{code=200,kind=in,user=b}}": 1,
        f"{prefix}{{code=other,kind=out,user=other}}": 1,
    } == found
    assert 1 == config.stat("metrics_overflow")
    asks = f"{config.name}: metric asks: more combinations of label values than max_series allows"
    assert 1 == len([line for line in host.logged if asks in line])


def test_types(each_host: Host, access: MakeConfig) -> None:
    """Counters and histograms get each number, a gauge keeps the last one."""
    metrics = [
        {"name": kind, "type": kind, "value": "%REQ(x-user)%"}
        for kind in ("counter", "gauge", "histogram")
    ]
    config = access(each_host, metrics=metrics)
    for value in ("5", "3"):
        ask(config, value)
    counts = config.counts()
    assert (8, 3, 8) == (counts["counter"], counts["gauge"], counts["histogram"])


def test_secrets(host: Host, access: MakeConfig) -> None:
    """What entries do not show is no label either."""
    log = {"request_headers": {"redact": ["x-user"]}}
    config = access(host, metrics=[USERS], log=log)
    ask(config, "hunter2")
    assert {"[redacted]": 1} == users(host, config)


def test_without_sinks_and_entries(each_host: Host, access: MakeConfig) -> None:
    """Metrics need neither."""
    log = {"request": False, "aborted": False, "redirected": False}
    labels = {"code": "%RESPONSE_CODE%", "path": "%FIELD(path)%"}
    config = access(each_host, metrics=[{**ASKS, "labels": labels}], sinks=[], log=log)
    config.stream().exchange()
    gone = config.stream()
    gone.request_headers()
    gone.finish()
    assert {f"asks{{code={code},path=/}}": 1 for code in (0, 200)} == config.counts()


@pytest.mark.parametrize("when", ["end_of_stream", "stream_complete"])
def test_once(host: Host, access: MakeConfig, when: str) -> None:
    """A stream counts once, whenever its entry is written."""
    config = access(host, metrics=[ASKS], log={"response_at": when})
    config.stream().exchange()
    assert (1, 1) == (config.stat("asks"), config.stat("entries_response"))


def test_state_first(host: Host, access: MakeConfig) -> None:
    """A label can be what this filter's own state has."""
    labels = {"user": "%FILTER_STATE(s)%"}
    config = access(host, metrics=[{**ASKS, "labels": labels}], state={"s": "%REQ(x-user)%!"})
    ask(config, "a")
    assert {"a!": 1} == users(host, config)


def test_no_metrics_no_stats(host: Host, access: MakeConfig) -> None:
    """Without metrics there are no stats of them."""
    config = access(host)
    assert not any("metrics_" in name for name in host.stats() if name.startswith(config.name))


def test_a_metric_that_envoy_refuses(host: Host) -> None:
    """The config is refused, and nothing of it is used again."""
    host("fail", "define_metric")
    config = Config.access(host, metrics=[USERS])
    host("fail")
    assert not config.accepted


def test_validation(start: StartHost) -> None:
    """The same checks, and nothing left."""
    host = start(validation=1)
    config = Config.access(host, metrics=[USERS])
    assert config.accepted
    config.end()


def test_a_logger(each_host: Host) -> None:
    """An access logger counts the last log of each stream."""
    metrics = [
        ASKS,
        {"name": "sizes", "type": "histogram", "value": "%REQ(x-size)%"},
        {"name": "left", "type": "gauge", "value": "%REQ(x-size)%"},
    ]
    logger = Logger(each_host, metrics=metrics, sinks=[], log={"fields": ["kind"]})
    for size in (b"5", b"7"):
        log = Log(each_host)
        each_host("map", log.name, 0, more=[f"x-size={size.decode()}"])
        log.write(logger, START)
        log.write(logger, END)
    counts = logger.counts()
    assert (2, 12, 7) == (counts["asks"], counts["sizes"], counts["left"])
    logger.end()


def check_load(host: Host) -> None:
    """Four workers, a new label with each stream: nothing is lost, and the bound holds."""
    labels = {"id": "%REQ(x-request-id)%", "code": "%RESPONSE_CODE%"}
    metrics = [
        {"name": "all", "type": "counter"},
        {**ASKS, "labels": labels, "max_label_values": 50, "max_series": 40},
        {**ASKS, "name": "few", "labels": {"code": "%RESPONSE_CODE%"}},
    ]
    config = Config.access(host, metrics=metrics, log={"request": False})
    load(host, config)
    stats = host.stats()
    config.end()
    codes = Counter(entry["response_code"] for entry in read_entries(config.log))
    total = sum(codes.values())
    assert stats[f"{config.name}.all"] == total
    few = {f"{config.name}.few{{code={code}}}": n for code, n in codes.items()}
    assert few == {name: n for name, n in stats.items() if name.startswith(f"{config.name}.few")}
    asks = {name: n for name, n in stats.items() if name.startswith(f"{config.name}.asks")}
    assert total == sum(asks.values())
    assert 40 < len(asks) <= 41
    over = sum(n for name, n in asks.items() if "id=other" in name)
    assert 0 < over <= stats[f"{config.name}.metrics_overflow"] < total


def test_four_workers(start_tsan: StartHost) -> None:
    """Under ThreadSanitizer."""
    check_load(start_tsan(concurrency=4))


def test_four_workers_under_asan(start: StartHost) -> None:
    """Under AddressSanitizer, where every borrowed byte is freed after its hook."""
    check_load(start(concurrency=4))
