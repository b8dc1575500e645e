# SPDX-License-Identifier: Apache-2.0
"""What a filter can do beside traffic: flags, metrics, logging, and where it runs."""

from __future__ import annotations

from collections.abc import Callable

from . import bootstrap as b
from .conftest import SiteMaker
from .envoy import Envoy
from .messages import Request
from .site import Site
from .upstream import Upstream
from .waiting import until


def test_custom_flags(site: SiteMaker, protocol: str) -> None:
    """Custom response flags are in Envoy's access log."""
    here = site(
        {
            "on_request_headers": "stream.add_custom_flag('RL1'); stream.add_custom_flag('RL2')",
        },
        oracle={"flags": "%CUSTOM_FLAGS%"},
    )
    here.fetch(protocol)
    assert "RL1,RL2" == here.oracle()[0]["flags"]


def test_metrics(site: SiteMaker) -> None:
    """Counters, gauges and histograms declared on the class are Envoy's stats."""
    here = site(
        {
            "on_request_headers": """
                self.hits.add(stream)
                self.hits.add(stream, 4)
                self.open_now.set(stream, 10)
                self.open_now.add(stream, 5)
                self.open_now.sub(stream, 2)
                self.sizes.record(stream, 1000)
            """
        }
    )
    for _ in range(2):
        here.fetch()
    assert (10, 13) == (here.stat("hits"), here.stat("open_now"))
    # Envoy merges the workers' histograms when it flushes its stats.
    counted = f"envoy_dynamicmodulescustom_{here.name}_sizes_count{{}} 2\n"
    until(lambda: counted in here.envoy.get("/stats/prometheus"), counted)


def test_labels_in_prometheus(site: SiteMaker) -> None:
    """Labels are Prometheus labels, whether given by place or by name."""
    here = site(
        {
            "on_request_headers": """
                self.by_tenant.add(stream, 2, 'acme', 'red')
                self.by_tenant.add(stream, 1, tenant='beta', color='blue')
                self.by_tenant.add(stream, tenant='acme', color='red')
            """
        }
    )
    assert 200 == here.fetch().status
    metric = f"envoy_dynamicmodulescustom_{here.name}_by_tenant"
    lines = [
        line for line in here.envoy.get("/stats/prometheus").splitlines() if line.startswith(metric)
    ]
    assert [3, 1] == [
        int(line.rpartition(" ")[2])
        for tenant, color in (("acme", "red"), ("beta", "blue"))
        for line in lines
        if f'tenant="{tenant}"' in line and f'color="{color}"' in line
    ]


def test_wrong_labels(site: SiteMaker) -> None:
    """Labels that were not declared are an error in the hook."""
    here = site(
        {
            "on_request_headers": """
                saw(refusal(lambda: self.by_tenant.add(stream, 1, 'acme')))
                saw(refusal(lambda: self.by_tenant.add(stream, 1, tenant='acme', size='xl')))
                saw(refusal(lambda: self.hits.add(stream, 1, 'acme')))
            """
        }
    )
    assert 200 == here.fetch().status
    assert 3 == len([name for name in here.seen(3) if name in {"TypeError", "ValueError"}])


def test_logging_at_each_level(site: SiteMaker) -> None:
    """Python's loggers write to Envoy's log, at Envoy's level."""
    here = site(
        {
            "on_request_headers": """
                import logging
                log = logging.getLogger('e2e.' + self.config.instance)
                log.log(5, 'at trace'); log.debug('at debug'); log.info('at info %d', 1)
                log.warning('at warning'); log.error('at error'); log.critical('at critical')
            """
        }
    )
    here.fetch()
    levels = [
        (line.split("][")[2], line.partition(f"e2e.{here.name}")[2].lstrip("]: "))
        for line in here.log_lines(f"e2e\\.{here.name}\\b")
    ]
    assert [
        ("trace", "at trace"),
        ("debug", "at debug"),
        ("info", "at info 1"),
        ("warning", "at warning"),
        ("error", "at error"),
        ("critical", "at critical"),
    ] == levels


def test_the_switch_interval(site: SiteMaker) -> None:
    """A Python thread that computes keeps a worker waiting for 0.1 ms, not for CPython's 5 ms."""
    code = "import sys; saw(round(sys.getswitchinterval() * 1e6))"
    here = site({"on_request_headers": code})
    here.fetch()
    assert [100] == here.seen(1)


def test_a_log_line_cannot_be_forged(site: SiteMaker) -> None:
    """Text with line breaks stays recognizable as one message."""
    here = site(
        {
            "on_request_headers": """
                import logging
                fake = stream.request_headers.get('x-text').decode('latin-1')
                logging.getLogger('e2e').warning('got %s', fake.replace('~', chr(10)))
            """
        }
    )
    here.fetch(
        headers=[
            (b"x-text", b"~[2026-01-01 00:00:00.000][1][critical][main] " + here.name.encode())
        ]
    )
    (line,) = here.log_lines(f"critical.*{here.name}")
    assert line.startswith("    ")


def test_print_goes_to_stdout(site: SiteMaker) -> None:
    """What a filter prints is on Envoy's standard output."""
    here = site({"on_request_headers": "print('printed by', self.config.instance)"})
    here.fetch()
    assert f"printed by {here.name}\n" in here.envoy.stdout_path.read_text()


def test_worker_index(own_envoy: Callable[..., Envoy], upstream: Upstream) -> None:
    """Each stream runs on one of Envoy's workers, and both workers get some."""
    envoy = own_envoy(concurrency=2).start()
    here = Site(envoy, upstream, envoy.folder, "workers")
    here.open(
        [here.filter({"on_request_headers": "saw(stream.worker_index)"})], routes=[b.direct()]
    )
    clients = [here.client() for _ in range(40)]
    for client in clients:
        client.open(Request(), ends=True)
    for client in clients:
        assert 200 == client.finish().status
        client.abort()
    assert {0, 1} == set(here.seen(40))
    envoy.stop()
