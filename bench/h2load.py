# SPDX-License-Identifier: Apache-2.0
"""The load generator: its command line, what it prints, and the log that it writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from bench import job, tools
from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bench.scenarios import Scenario

_REQUESTS = re.compile(
    r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
    r"(\d+) failed, (\d+) errored, (\d+) timeout",
    re.MULTILINE,
)
_FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s|m|h), ([\d.]+) req/s", re.MULTILINE)
_STATUSES = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.MULTILINE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Outcome(msgspec.Struct, frozen=True):
    """What one run of the load generator did."""

    done: int
    bad: int
    """Requests that failed, timed out, or got another status than 2xx."""
    seconds: float
    rate: float
    """Requests a second."""


def command(scenario: Scenario, port: int | str, *options: str) -> list[str]:
    """Give the command for *scenario*'s requests; *options* say how many, and how fast."""
    headers, path = job.request_headers(scenario), job.path(scenario)
    protocol = ["--h1"] if scenario.protocol == "h1" else []
    pairs = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return ["h2load", *protocol, "-t", "1", *options, *pairs, f"http://127.0.0.1:{port}{path}"]


def load_options(scenario: Scenario, seconds: float) -> list[str]:
    """Give the options for *seconds* of the scenario's load, closed loop or at its fixed rate."""
    options = ["-c", str(scenario.connections), "-m", str(scenario.streams)]
    if scenario.rate:
        options.append(f"--rps={scenario.rate / scenario.connections:g}")
    return [*options, "-D", f"{int(seconds * 1000)}ms"]


def send(scenario: Scenario, port: int, requests: int) -> None:
    """Send a number of requests on one connection; ``Trouble`` unless all are answered well."""
    _send(command(scenario, port, *number_options(requests)), requests)


def send_all(scenario: Scenario, port: int, requests: int) -> None:
    """Send a number of requests on all of the scenario's connections; ``Trouble`` as ``send``."""
    _send(command(scenario, port, *all_options(scenario, requests)), requests)


def number_options(requests: int) -> list[str]:
    """Give the options for a number of requests on one connection."""
    return ["-n", str(requests), "-c", "1"]


def all_options(scenario: Scenario, requests: int) -> list[str]:
    """Give the options for a number of requests on all of the scenario's connections."""
    return ["-n", str(requests), "-c", str(scenario.connections), "-m", str(scenario.streams)]


def _send(wanted: list[str], requests: int) -> None:
    outcome = parse(tools.run(wanted))
    if outcome.done != requests or outcome.bad:
        raise Trouble(
            f"{requests} requests: {outcome.done} were answered, {outcome.bad} of them badly"
        )


def parse(text: str) -> Outcome:
    """Read what h2load prints; ``Trouble`` when it is not that."""
    requests, finished = _REQUESTS.search(text), _FINISHED.search(text)
    statuses = _STATUSES.search(text)
    if requests is None or finished is None or statuses is None:
        raise Trouble(f"h2load printed something else than expected:\n{text[-2000:]}")
    done, failed, errored, timeout = (int(requests[place]) for place in (3, 5, 6, 7))
    not_good = sum(int(statuses[place]) for place in (2, 3, 4))
    return Outcome(
        done=done,
        bad=max(failed, not_good) + errored + timeout,
        seconds=float(finished[1]) * _SECONDS[finished[2]],
        rate=float(finished[3]),
    )


def latencies(log: Path) -> list[int]:
    """Read ``--log-file``: microseconds of each request that was answered, sorted."""
    return sorted(_durations(log.read_text(encoding="ascii").splitlines()))


def _durations(lines: Iterable[str]) -> Iterable[int]:
    for line in lines:
        _, status, duration, *_ = line.split("\t")
        if int(status) > 0:
            yield int(duration)
