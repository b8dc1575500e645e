# SPDX-License-Identifier: Apache-2.0
"""An Envoy to which nobody speaks: what came with our filter sleeps, as the kernel counts it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from . import bootstrap as b
from .agent import Agent
from .bootstrap import HERE
from .envoy import Envoy
from .site import Site
from .upstream import Upstream
from .waiting import until

QUIET = 1.0  # seconds; a timer of ours would be shorter
_FIELD = re.compile(r"^(Name|voluntary_ctxt_switches):\s*(.*)$", re.MULTILINE)


def sleeps(envoy: Envoy) -> dict[int, tuple[str, int]]:
    """Give the name of each thread, and how often it went to sleep."""
    found = {}
    for task in Path(f"/proc/{envoy.pid}/task").iterdir():
        with suppress(FileNotFoundError):
            fields = dict(_FIELD.findall((task / "status").read_text()))
            found[int(task.name)] = (fields["Name"], int(fields["voluntary_ctxt_switches"]))
    return found


def test_nothing_wakes_an_idle_envoy(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, agent: Agent
) -> None:
    """The threads of all kinds of sinks sleep on: before the first request, and after some."""
    envoy = own_envoy().start()
    before = sleeps(envoy)
    site = Site(envoy, upstream, tmp_path, "idle")
    lines = tmp_path / "python.txt"
    sinks = [
        {"type": "file", "path": str(site.entries_path)},
        {"type": "cilium", "socket": agent.path},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": str(lines)}},
    ]
    access = {"log": {"request": False}, "sinks": sinks}
    hooks = {"on_request_headers": "pass"}
    ours = site.filter(hooks, access=access, config={"python_path": [str(HERE)]})
    site.open([ours], routes=[b.direct()])

    def counts() -> dict[int, tuple[str, int]]:
        """Of those that came with us; Envoy's log of the test has a thread, too."""
        added = {thread: one for thread, one in sleeps(envoy).items() if thread not in before}
        return {thread: one for thread, one in added.items() if one[0] != "AccessLogFlush"}

    def asleep() -> bool:
        then = counts()
        time.sleep(QUIET)
        return then == counts()

    assert "pyfilter_flush" in {name for name, _ in counts().values()}
    assert len(counts()) >= 2  # the Python sink's has no name of its own
    until(asleep, counts)
    idle = counts()
    for _ in range(10):
        assert 200 == site.fetch().status
    until(lambda: 10 == len(agent.packets) == len(site.entries(10)), lambda: agent.packets)
    until(lambda: lines.exists() and 10 == lines.read_text().count("'response'"), lines)
    assert all(count > idle[thread][1] for thread, (_, count) in counts().items())
    until(asleep, counts)
