# SPDX-License-Identifier: Apache-2.0
"""``metrics`` on real Envoys: their Prometheus page against their own access log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from unit.llm_forms import CHAT, CHAT_STREAM, FORMS

from . import bootstrap as b
from .conftest import SiteMaker
from .envoy import RELEASES, Envoy
from .messages import Answer, Gate, Request
from .prometheus import Labels, samples
from .site import Site
from .test_llm_usage import answer_of
from .upstream import Upstream
from .waiting import until

SIZE = "%REQ(X-SIZE)%"
REQUESTS = {
    "name": "requests_total",
    "type": "counter",
    "labels": {"code": "%RESPONSE_CODE%", "method": "%REQ(:method)%"},
}
SIZES = {"name": "sizes", "type": "histogram", "value": SIZE, "labels": {"kind": "asked"}}
ASKED = {"name": "asked_total", "type": "counter", "value": SIZE}
newest = pytest.mark.parametrize("release", RELEASES[-1:], indirect=True)


def labels(**values: object) -> Labels:
    """Give labels as ``samples`` does."""
    return tuple(sorted((name, str(value)) for name, value in values.items()))


def metered(site: SiteMaker, *metrics: b.Dict, **fields: Any) -> Site:
    """Open a site with these metrics, and Envoy's log with what they count."""
    fields.setdefault("oracle", {"size": SIZE})
    return site(access={"metrics": list(metrics)}, **fields)


def seen(here: Site, name: str) -> dict[Labels, float]:
    """Give the samples of a metric of the site's filter."""
    return samples(here.envoy, here.name, name)


def test_sums_are_those_of_envoys_log(site: SiteMaker, protocol: str) -> None:
    """Counters by labels, counters of a header's number, histograms."""
    routes = [b.direct("/missing", status=404), b.direct()]
    here = metered(site, REQUESTS, SIZES, ASKED, routes=routes)
    sent = [(b"GET", b"/", 7), (b"POST", b"/", 40), (b"GET", b"/missing", 300), (b"GET", b"/", 7)]
    for method, path, size in sent:
        here.fetch(protocol, method=method, path=path, headers=[(b"x-size", b"%d" % size)])
    told = here.oracle(len(sent))
    sizes = [int(line["size"]) for line in told]
    by_code = Counter(labels(code=one["response_code"], method=one["method"]) for one in told)
    assert by_code == seen(here, "requests_total")
    assert {(): sum(sizes)} == seen(here, "asked_total")
    assert {labels(kind="asked"): len(told)} == seen(here, "sizes_count")
    (total,) = seen(here, "sizes_sum").values()
    assert sum(sizes) == pytest.approx(total, rel=0.05)  # Envoy keeps a histogram in steps
    for bound in (10, 50, 500):
        under = sum(size < bound for size in sizes)
        assert under == seen(here, "sizes_bucket")[labels(kind="asked", le=bound)]
    name = f"dynamicmodulescustom.{here.name}.requests_total.code.404.method.GET"
    assert {name: 1} == here.envoy.stats(name.replace(".", "\\."))
    assert (0, 0) == (here.stat("metrics_skipped"), here.stat("metrics_overflow"))


def test_every_stream_once(site: SiteMaker) -> None:
    """Each line of Envoy's log is one, whatever became of the stream."""
    policy = {"redirect_response_codes": [302], "max_internal_redirects": 1}
    routes = [
        b.direct("/direct"),
        b.route("/refused", route={"cluster": "refused"}),
        b.route("/moved", direct_response={"status": 301}),
        b.route(route={"cluster": "upstream", "internal_redirect_policy": policy}),
    ]
    here = metered(site, REQUESTS, routes=routes)
    for path in (b"/direct", b"/refused", b"/moved"):
        here.fetch("HTTP/2", path=path)
    location = (b"location", b"http://e2e.test/direct")
    here.fetch("HTTP/2", answer=Answer(status=302, headers=[location]))
    gate = Gate()
    with here.client("HTTP/2") as client:
        client.open(Request(path=here.upstream.serve(Answer(wait=gate))), ends=True)
        here.fetch("HTTP/2", path=b"/direct")  # so the first one has reached the filter
    gate.open()
    told = here.oracle(7)
    assert 1 == [line["response_code"] for line in told].count(0)
    by_code = Counter(labels(code=one["response_code"], method=one["method"]) for one in told)
    assert by_code == seen(here, "requests_total")


TOKENS = [
    {
        "name": "llm_tokens_total",
        "type": "counter",
        "value": f"%NOTE({direction}_tokens)%",
        "labels": {"model": "%NOTE(model)%", "direction": direction},
    }
    for direction in ("input", "output")
]


def test_tokens_of_llms(new_site: Callable[[], Site], protocol: str) -> None:
    """Tokens by model and direction are those that each API said; another response is skipped."""
    here = new_site()
    usage = {"instance": here.name, "paths": ["/answer/*"], "sinks": [], "metrics": TOKENS}
    here.open([b.py_filter("llm_usage", usage)])
    expected: Counter[Labels] = Counter()
    for form in [*FORMS.values(), CHAT, CHAT_STREAM]:
        here.fetch(protocol, answer=answer_of(form), method=b"POST", body=[b"{}"])
        expected[labels(model=form.model, direction="input")] += form.input
        expected[labels(model=form.model, direction="output")] += form.output
    here.fetch(protocol, answer=Answer(body=[b"hello"]))
    here.oracle(len(FORMS) + 3)
    assert expected == seen(here, "llm_tokens_total")
    assert 2 == here.stat("metrics_skipped")


USERS = {
    "name": "users_total",
    "type": "counter",
    "labels": {"user": "%REQ(x-user)%"},
    "max_label_values": 3,
}


def test_more_values_than_allowed(site: SiteMaker, protocol: str) -> None:
    """The first ones have their own sample, the rest is other; it is counted, and said once."""
    here = metered(site, USERS, routes=[b.direct()])
    users = [b"u%d" % (n % 8) for n in range(24)]
    with here.client(protocol) as client:
        for user in users:
            client.fetch(Request(headers=[(b"x-user", user)]))
    here.oracle(len(users))
    found = seen(here, "users_total")
    assert {labels(user=user): 3 for user in ("u0", "u1", "u2")} | {
        labels(user="other"): 15
    } == found
    assert 15 == here.stat("metrics_overflow")
    assert 1 == len(
        here.log_lines(f"{here.name}: metric users_total: more label values than max_label_values")
    )


HOSTILE = {
    "a line": (b"a\r\nforged: 1", "a__forged:_1"),
    "quotes": (b'a"} 5\\', 'a"}_5\\'),
    "tags of statsd": (b"a|c|#b:1,d:2;e", "a_c_#b:1_d:2_e"),
    "no UTF-8": (b"a\xff\xfeb", "a\ufffd\ufffdb"),
    "UTF-8": ("model-é😀".encode(), "model-é😀"),
    "dots": (b"gpt-4.1", "gpt-4.1"),
    "another label": (b"a.code.200", "a_code_200"),
    "long": (b"x" * 4000, "x" * 128),
    "zero": (b"a\0b", "a_b"),
    "lines of Unicode": ("a\u2028b\u0085c".encode(), "a_b_c"),
    "nothing": (b"", "-"),
}


def test_hostile_values(site: SiteMaker) -> None:
    """No value breaks a page of Envoy's, or looks like another stat."""
    labelled = {"user": "%FILTER_STATE(user)%", "code": "200"}
    metric = {**USERS, "labels": labelled, "max_label_values": 99}
    hooks = {
        "on_request_headers": "user = stream.request_headers.get('x-user').decode()\n"
        "stream.filter_state.set('user', bytes.fromhex(user))"
    }
    here = site(hooks, access={"metrics": [metric]}, routes=[b.direct()])
    for value, _ in HOSTILE.values():
        here.fetch(headers=[(b"x-user", value.hex().encode())])
    here.oracle(len(HOSTILE))
    expected = {labels(user=shown, code=200): 1 for _, shown in HOSTILE.values()}
    assert expected == seen(here, "users_total")
    prefix = f"dynamicmodulescustom.{here.name}.users_total.code.200.user."
    wanted = {f"{prefix}{shown}: 1" for _, shown in HOSTILE.values()}
    page = here.envoy.get(f"/stats?filter={here.name}").split("\n")
    assert wanted == {line for line in page if "users_total" in line}
    assert all(": " in line for line in page if line)


def test_what_is_no_number(site: SiteMaker) -> None:
    """It is not counted, but that it was not; a fraction is rounded."""
    here = metered(site, ASKED, routes=[b.direct()])
    values = (b"5", b"2.5", b"", b"x", b"-1", b"1e2", b"0x10", b"9007199254740993", b"nan", b"7")
    for value in values:
        here.fetch(headers=[(b"x-size", value)] if value else [])
    here.oracle(len(values))
    assert {(): 5 + 3 + 100 + 7} == seen(here, "asked_total")
    assert 6 == here.stat("metrics_skipped")


def test_a_gauge_and_redacted_labels(site: SiteMaker) -> None:
    """A gauge has the last stream's value; a secret is none in a label."""
    left = {
        "name": "left",
        "type": "gauge",
        "value": "%RESP(x-left)%",
        "labels": {"who": "%REQ(authorization)%"},
    }
    here = metered(site, left)
    for value in (b"90", b"80"):
        here.fetch(
            answer=Answer(headers=[(b"x-left", value)]), headers=[(b"authorization", b"secret")]
        )
    here.oracle(2)
    assert {labels(who="[redacted]"): 80} == seen(here, "left")
    assert "secret" not in here.envoy.get("/stats")


def test_two_workers(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Any, release: str
) -> None:
    """Both count into one stat, and both keep the one bound."""
    envoy = own_envoy(concurrency=2).start()
    here = Site(envoy, upstream, tmp_path, "two")
    metrics = [REQUESTS, USERS, SIZES]
    here.open([here.filter(access={"metrics": metrics})], routes=[b.direct()])

    def crowd(first: int) -> None:
        with here.client("HTTP/1.1") as client:
            for number in range(40):
                user = (b"x-user", b"u%d" % ((first + number) % 10))
                client.fetch(Request(headers=[user, (b"x-size", b"1")]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(crowd, range(8)))
    told = here.oracle(320)
    workers = {entry["worker"] for entry in here.responses(320, others=320)}
    assert {0, 1} == workers
    assert {labels(code=200, method="GET"): len(told)} == seen(here, "requests_total")
    found = seen(here, "users_total")
    assert (4, 320) == (len(found), sum(found.values()))
    assert {32.0} == {n for one, n in found.items() if one != labels(user="other")}
    assert {labels(kind="asked"): 320} == seen(here, "sizes_count")
    assert release in envoy.release
    envoy.stop()


def test_an_access_logger(new_site: Callable[[], Site], protocol: str) -> None:
    """It has counters, gauges and histograms without labels, of each stream's last log."""
    here = new_site()
    metrics = [
        {"name": "logs_total", "type": "counter"},
        {"name": "sent_total", "type": "counter", "value": "%BYTES_SENT%"},
        {"name": "sent", "type": "histogram", "value": "%BYTES_SENT%"},
        {"name": "last_sent", "type": "gauge", "value": "%BYTES_SENT%"},
    ]
    logger = here.logger({"metrics": metrics})
    http = {"access_log_options": {"flush_access_log_on_new_request": True}}
    here.open([], loggers=[logger], http=http, routes=[b.direct(body="hello")])
    for _ in range(3):
        here.fetch(protocol)
    ends = [line for line in here.oracle(6) if line["response_code"]]
    sent = [int(line["bytes_sent"]) for line in ends]
    instance = f"{here.name}.logger"
    assert {(): len(ends)} == samples(here.envoy, instance, "logs_total")
    assert {(): sum(sent)} == samples(here.envoy, instance, "sent_total")
    assert {(): len(ends)} == samples(here.envoy, instance, "sent_count")
    assert {(): sent[-1]} == samples(here.envoy, instance, "last_sent")


def test_a_bad_config(site: SiteMaker) -> None:
    """It is refused with its reason, and the one that is there counts on."""
    here = metered(site, USERS, routes=[b.direct()])
    bad = {**USERS, "labels": {"le": "x"}}
    assert not here.offer([here.filter(access={"metrics": [bad]})], routes=[b.direct()])
    assert here.log_lines(r'metrics\[0\].labels.le: .*, got "le"; expected another name')
    here.fetch(headers=[(b"x-user", b"a")])
    here.oracle(1)
    assert {labels(user="a"): 1} == seen(here, "users_total")


def test_a_new_config(site: SiteMaker) -> None:
    """What has labels goes with the old config; what has none goes on."""
    here = metered(site, USERS, ASKED, routes=[b.direct()])
    here.fetch(headers=[(b"x-user", b"a"), (b"x-size", b"5")])
    here.oracle(1)
    assert {labels(user="a"): 1} == seen(here, "users_total")
    metrics = [USERS, ASKED, REQUESTS]
    assert here.offer([here.filter(access={"metrics": metrics})], routes=[b.direct()])
    until(lambda: not seen(here, "users_total"), "the old config's end")
    here.fetch(headers=[(b"x-user", b"b"), (b"x-size", b"6")])
    here.oracle(2)
    assert {labels(user="b"): 1} == seen(here, "users_total")
    assert {(): 11} == seen(here, "asked_total")


@pytest.mark.parametrize("strip", [False, True])
def test_names(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Any, *, strip: bool
) -> None:
    """Envoy's runtime key takes its own prefix away."""
    key = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix"
    envoy = own_envoy(runtime={key: strip}).start()
    here = Site(envoy, upstream, tmp_path, "edge")
    here.open([here.filter(access={"metrics": [REQUESTS]})], routes=[b.direct()])
    here.fetch()
    here.oracle()
    prefix = "" if strip else "envoy_dynamicmodulescustom_"
    page = envoy.get("/stats/prometheus").split("\n")
    assert f'{prefix}edge_requests_total{{code="200",method="GET"}} 1' in page
    envoy.stop()
