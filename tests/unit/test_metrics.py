# SPDX-License-Identifier: Apache-2.0
"""Metrics: declared on the class, counted by Envoy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from envoy_pyfilter import Config, ConfigError, Counter, Filter, Gauge, Histogram, Stream
from envoy_pyfilter.metrics import RESERVED, Metric, declared
from envoy_pyfilter.testing import FakeStream


class Counting(Filter):
    """A filter with each kind of metric."""

    hits = Counter("hits")
    denied = Counter("denied", labels=("tenant", "rule"))
    level = Gauge("level")
    sizes = Histogram("sizes")


@pytest.fixture
def fake() -> FakeStream:
    """Give a stream of a filter of its own."""
    return FakeStream(Counting(Config()))


def test_counter(fake: FakeStream) -> None:
    """A counter adds one, or more."""
    Counting.hits.add(fake.stream)
    Counting.hits.add(fake.stream, 4)
    assert 5 == fake.metric("hits")


def test_labels_by_place_and_name(fake: FakeStream) -> None:
    """Labels stand in their declared order, or are named, or both."""
    Counting.denied.add(fake.stream, 1, "acme", "r1")
    Counting.denied.add(fake.stream, rule="r1", tenant="acme")
    Counting.denied.add(fake.stream, 1, b"acme", rule="r2")
    assert (2, 1, 0) == (
        fake.metric("denied", "acme", "r1"),
        fake.metric("denied", "acme", "r2"),
        fake.metric("denied", "acme", "r3"),
    )


def test_gauge(fake: FakeStream) -> None:
    """A gauge is set, and goes up and down."""
    Counting.level.set(fake.stream, 10)
    Counting.level.add(fake.stream, 3)
    Counting.level.sub(fake.stream)
    assert 12 == fake.metric("level")


def test_histogram(fake: FakeStream) -> None:
    """A histogram takes each value."""
    for value in (3, 1, 3):
        Counting.sizes.record(fake.stream, value)
    assert [3, 1, 3] == fake.histogram("sizes")


def test_instances_count_apart(fake: FakeStream) -> None:
    """Two configs of a class have counters of their own, their streams share them."""
    other = FakeStream(Counting(Config()))
    Counting.hits.add(fake.stream)
    Counting.hits.add(FakeStream(fake.filter).stream)
    assert (2, 0) == (fake.metric("hits"), other.metric("hits"))


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (Counting.denied.add, TypeError, "metric denied needs the labels"),
        (lambda s: Counting.denied.add(s, 1, "a"), TypeError, "metric denied needs the labels"),
        (
            lambda s: Counting.denied.add(s, 1, "a", "b", "c"),
            TypeError,
            "metric denied needs the labels ('tenant', 'rule')",
        ),
        (
            lambda s: Counting.denied.add(s, 1, "a", tenant="b"),
            TypeError,
            "metric denied needs the labels",
        ),
        (
            lambda s: Counting.denied.add(s, tenant="a", ruel="b"),
            TypeError,
            "metric denied needs the labels",
        ),
        (
            lambda s: Counting.hits.add(s, 1.5),  # type: ignore[arg-type]
            TypeError,
            "metric hits: value must be int",
        ),
        (
            lambda s: Counting.hits.add(s, -1),
            ValueError,
            "metric hits: value must be 0 to 2**64 - 1",
        ),
        (
            lambda s: Counting.hits.add(s, 2**64),
            ValueError,
            "metric hits: value must be 0 to 2**64",
        ),
        (
            lambda s: Counter("stray").add(s),
            LookupError,
            "metric stray is not declared on the stream's filter class",
        ),
    ],
)
def test_wrong_use(
    fake: FakeStream, call: Callable[[Stream], None], error: type[Exception], problem: str
) -> None:
    """A metric that is used otherwise than declared says what it needs."""
    with pytest.raises(error, match=re.escape(problem)):
        call(fake.stream)


@pytest.mark.parametrize("result", [1, 2, 3, 9])
def test_envoy_refuses(fake: FakeStream, monkeypatch: pytest.MonkeyPatch, result: int) -> None:
    """What Envoy says to a change is passed on."""
    monkeypatch.setattr(type(fake), "change_metric", lambda *_: result)
    with pytest.raises(LookupError, match=r"metric hits: (no such|wrong|metrics are frozen|9)"):
        Counting.hits.add(fake.stream)


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.", "a..b", "ä", "a-b"])
def test_bad_names(name: str) -> None:
    """Names that Envoy or Prometheus would rewrite are refused."""
    with pytest.raises(ValueError, match="not a metric name"):
        Counter(name)


@pytest.mark.parametrize("label", ["", "a.b", "1a", "a b"])
def test_bad_labels(label: str) -> None:
    """So are labels."""
    with pytest.raises(ValueError, match="metric hits: not a label name"):
        Counter("hits", labels=(label,))


def names(metrics: list[Metric]) -> list[tuple[str, str]]:
    """Kinds and names."""
    return [(metric.kind, metric.name) for metric in metrics]


def test_declared() -> None:
    """A class's metrics are those of its bases, then its own; overridden ones are not."""

    class More(Counting):
        extra = Gauge("extra")
        hits = Counter("hits_of_more")
        twice = extra

    assert [
        ("counter", "hits_of_more"),
        ("counter", "denied"),
        ("gauge", "level"),
        ("histogram", "sizes"),
        ("gauge", "extra"),
    ] == names(declared(More))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"a": Counter("x"), "b": Gauge("x")}, "Bad: two metrics are named x"),
        ({"a": Counter("hook_errors")}, "Bad: the metric name hook_errors is taken"),
    ],
)
def test_bad_declarations(members: dict[str, Any], problem: str) -> None:
    """Two metrics cannot share a stat, nor take one of the package's own."""
    bad = type("Bad", (Filter,), members)
    with pytest.raises(ConfigError, match=re.escape(problem)):
        declared(bad)


def test_reserved_names_could_be_metrics() -> None:
    """The package's own stats are named like any."""
    assert RESERVED == {Counter(name).name for name in RESERVED}


def test_repr() -> None:
    """A metric shows how it was declared."""
    assert "Counter('denied', labels=('tenant', 'rule'))" == repr(Counting.denied)
