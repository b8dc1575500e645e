# SPDX-License-Identifier: Apache-2.0
"""The key ``metrics``: what becomes of it, and what is refused with which words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy_pyfilter import _logger
from envoy_pyfilter._config import load
from envoy_pyfilter._metrics_config import MetricConfig
from envoy_pyfilter.errors import ConfigError
from envoy_pyfilter.plan_spec import MeasureSpec, MetricSpec, Part

from .test_docs import ROW, keys

Dict = dict[str, Any]

DOCS = Path(__file__).parents[2] / "docs"

ONE: Dict = {"name": "a", "type": "counter"}
WORD = "; expected 1 to 128 letters, digits and underscores, none of the digits first"
TEXT = "; expected 1 to 128 bytes without white space, commas, semicolons and bars"
COMMAND = "; expected one command and nothing else, like %BYTES_SENT%"


def metrics(*entries: Dict, filter_name: str = "access") -> tuple[MetricSpec, ...]:
    """Load a filter with these."""
    config = json.dumps({"sinks": [], "metrics": entries}).encode()
    plan = load(filter_name, config, validating=True).plan
    assert plan is not None
    return plan.metrics


def refusal(*entries: Dict, filter_name: str = "access") -> str:
    """Give the message of what is refused, without the filter's name."""
    with pytest.raises(ConfigError) as caught:
        metrics(*entries, filter_name=filter_name)
    return str(caught.value).removeprefix(f"{filter_name}: ")


def literal(text: str) -> tuple[Part, ...]:
    """Give the parts of a constant."""
    return (Part(op="literal", text=text.encode()),)


def test_the_plainest() -> None:
    """Without anything, it counts streams."""
    counted = MeasureSpec(value=(), labels=())
    expected = MetricSpec(
        name="a",
        type="counter",
        labels=(),
        max_label_values=100,
        max_series=1000,
        measures=(counted,),
    )
    assert (expected,) == metrics(ONE)
    assert () == metrics()


def test_two_numbers_of_one_metric() -> None:
    """Entries of one name are one metric; labels stand in the order of their names."""
    entries = [
        {
            **ONE,
            "value": f"%NOTE({which})%",
            "labels": {"model": "%NOTE(model)%", "direction": which},
            **limits,
        }
        for which, limits in (("in", {"max_label_values": 5}), ("out", {"max_series": 7}))
    ]
    (metric,) = metrics(*entries)
    assert ("direction", "model") == metric.labels
    assert (5, 7) == (metric.max_label_values, metric.max_series)
    model = (Part(op="note", text=b"model"),)
    for which, measure in zip(("in", "out"), metric.measures, strict=True):
        value = (Part(op="note", text=which.encode()),)
        assert MeasureSpec(value=value, labels=(literal(which), model)) == measure


def test_metrics_of_a_logger() -> None:
    """An access logger has them without labels."""
    config = {"sinks": [], "metrics": [ONE, {**ONE, "name": "b", "value": "%BYTES_SENT%"}]}
    spec = _logger.load("access", json.dumps(config).encode(), validating=True)
    assert ["a", "b"] == [metric.name for metric in spec.metrics]


REFUSED: list[tuple[list[Dict], str]] = [
    ([{"name": "a"}], "metrics[0].type: missing; expected counter, gauge or histogram"),
    ([{"type": "counter"}], "metrics[0].name: missing; expected a string"),
    ([{**ONE, "lables": {}}], "metrics[0].lables: unknown key; did you mean labels?"),
    (
        [{**ONE, "type": "summary"}],
        'metrics[0].type: unknown value, got "summary"; expected counter, gauge or histogram',
    ),
    *(
        ([{**ONE, "name": name}], f'metrics[0].name: not a metric\'s name, got "{name}"{WORD}')
        for name in ("", "1a", "a-b", "a.b", "a:b", "a\u00e9")
    ),
    (
        [{**ONE, "name": "hook_errors"}],
        (
            "metrics[0].name: the filter has a stat of this name already, "
            'got "hook_errors"; expected another name'
        ),
    ),
    (
        [{**ONE, "type": "histogram"}],
        "metrics[0].value: a histogram needs a value; expected a command, like %BYTES_SENT%",
    ),
    (
        [{**ONE, "type": "gauge"}],
        "metrics[0].value: a gauge needs a value; expected a command, like %BYTES_SENT%",
    ),
    *(
        ([{**ONE, "value": text}], f'metrics[0].value: not a value, got "{text}"{COMMAND}')
        for text in ("5", "%NOTE(a)%%NOTE(b)%", "%NOTE(a)%0")
    ),
    (
        [{**ONE, "value": "%NOET(a)%"}],
        "metrics[0].value: at character 1: unknown command %NOET%; did you mean NOTE?",
    ),
    (
        [{**ONE, "labels": {"a": "%FIELD(rout_name)%"}}],
        "metrics[0].labels.a: at character 1: unknown field rout_name; did you mean route_name?",
    ),
    (
        [{**ONE, "labels": {"a": ""}}],
        "metrics[0].labels.a: empty; expected a format, like %RESPONSE_CODE%",
    ),
    *(
        ([{**ONE, "labels": {"a": text}}], f"metrics[0].labels.a: not a label's value, got {shown}")
        for text, shown in (
            ("a b", f'"a b"{TEXT}'),
            ("a,b", f'"a,b"{TEXT}'),
            ("a\nb", f'"a\\nb"{TEXT}'),
            ("\u00e9" * 65, f'"{"é" * 59}...{TEXT}'),
        )
    ),
    ([{**ONE, "labels": {"a": 5}}], "metrics[0].labels.a: wrong type, got 5; expected a string"),
    (
        [{**ONE, "labels": {"a-b": "c"}}],
        f'metrics[0].labels.a-b: not a label\'s name, got "a-b"{WORD}',
    ),
    *(
        (
            [{**ONE, "labels": {name: "c"}}],
            (
                f"metrics[0].labels.{name}: Prometheus keeps this label for itself, "
                f'got "{name}"; expected another name'
            ),
        )
        for name in ("le", "quantile", "__name__")
    ),
    (
        [{**ONE, "labels": {f"l{n}": "c" for n in range(9)}}],
        "metrics[0].labels: too many labels, got 9; expected at most 8",
    ),
    (
        [{**ONE, "max_label_values": 0}],
        "metrics[0].max_label_values: not allowed, got 0; expected an integer >= 1",
    ),
    (
        [{**ONE, "max_label_values": 10001}],
        "metrics[0].max_label_values: not allowed, got 10001; expected an integer <= 10000",
    ),
    (
        [{**ONE, "max_series": 1.5}],
        "metrics[0].max_series: wrong type, got 1.5; expected an integer or null",
    ),
    (
        [ONE, {**ONE, "type": "gauge", "value": "%DURATION%"}],
        (
            'metrics[1].type: the metric a is of another type in metrics[0], got "gauge"; '
            "expected counter"
        ),
    ),
    (
        [{**ONE, "labels": {"a": "b"}}, ONE],
        "metrics[1].labels: the metric a has other labels in metrics[0], got []; expected a",
    ),
    ([ONE, ONE], "metrics[1]: the same as metrics[0]: it would be counted twice"),
    (
        [
            {**ONE, "labels": {"a": "b"}, "max_series": 5},
            {**ONE, "labels": {"a": "c"}},
            {**ONE, "labels": {"a": "d"}, "max_series": 6},
        ],
        "metrics[2].max_series: the metric has another max_series in metrics[0], got 6; expected 5",
    ),
]


@pytest.mark.parametrize(("entries", "message"), REFUSED)
def test_what_is_refused(entries: list[Dict], message: str) -> None:
    """It names the key, the value and what was expected."""
    assert message == refusal(*entries)


def test_stats_of_the_class() -> None:
    """What a class counts itself is taken, too."""
    expected = "metrics[0].name: the filter has a stat of this name already"
    found = refusal({**ONE, "name": "usage_found"}, filter_name="llm_usage")
    assert found.startswith(expected)


LOGGER: list[tuple[Dict, str]] = [
    (
        {**ONE, "labels": {"a": "b"}},
        (
            "metrics[1].labels: Envoy gives the metrics of an access logger no labels, "
            'got {"a": "b"}; expected none, or the access filter'
        ),
    ),
    (
        {**ONE, "value": "%NOTE(a)%"},
        "metrics[1].value: an access logger cannot tell %NOTE(a)%",
    ),
    (
        {**ONE, "name": "entries_progress"},
        (
            "metrics[1].name: the filter has a stat of this name already, "
            'got "entries_progress"; expected another name'
        ),
    ),
]


@pytest.mark.parametrize(("entry", "message"), LOGGER)
def test_what_a_logger_refuses(entry: Dict, message: str) -> None:
    """It says what Envoy cannot do there."""
    config = {"sinks": [], "metrics": [{**ONE, "name": "first"}, entry]}
    with pytest.raises(ConfigError) as caught:
        _logger.load("access", json.dumps(config).encode(), validating=True)
    assert f"access logger: {message}" == str(caught.value)


def test_every_key_is_documented() -> None:
    """Each key has a row with its default, and each row is a key."""
    text = (DOCS / "metrics.md").read_text()
    assert dict(keys(MetricConfig, "metrics[].")) == dict(ROW.findall(text))


@pytest.mark.parametrize("page", ["metrics.md", "llm.md"])
def test_the_examples_load(page: str) -> None:
    """Metrics that the page shows are taken as they stand there."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    shown = [yaml.safe_load(block) for block in blocks if "metrics:" in block]
    assert shown
    for block in shown:
        config = block.get("filter_config", {}).get("value", block)
        assert metrics(*config["metrics"])
