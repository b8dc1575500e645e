# SPDX-License-Identifier: Apache-2.0
"""
What becomes of entries on their way to the agent's socket, whatever the agent does.

``agent.py`` listens; its kill reads first what was sent before, so that each entry is either got,
or dropped and counted. Envoy answers the requests by itself.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from envoy_pyfilter import _cilium

from . import bootstrap as b
from .agent import Agent, socket_folder
from .envoy import Envoy, validate
from .load import rapid, rapid_at_once
from .messages import Request
from .site import Site
from .upstream import Upstream
from .waiting import until

DIRECT = [b.direct()]
DROPPED = ("dropped_ring_full", "dropped_queue_full", "dropped_too_large", "dropped_sink")
KINDS = {0: "request", 1: "response", 2: "denied"}

Open = Callable[..., Site]


def cilium_sink(path: Path | str, **fields: Any) -> b.Dict:
    """Give the sink's config."""
    return {"type": "cilium", "socket": str(path), **fields}


@cache
def log_entry() -> Any:
    """Give protobuf's class of the message."""
    return _cilium.message_class()


def told(packets: list[bytes]) -> list[tuple[str, str]]:
    """Kind and request id of each packet, as protobuf's own runtime reads them."""
    found = []
    for packet in packets:
        entry = log_entry().FromString(packet)
        ids = [one.value for one in entry.http.headers if one.key == "x-request-id"]
        found.append((KINDS[entry.entry_type], ids[0]))
    return found


def both(*names: str) -> list[tuple[str, str]]:
    """Give the entries of these requests, one after the other."""
    return [(kind, name) for name in names for kind in ("request", "response")]


def send(here: Site, *names: str) -> bool:
    """Make a request for each id; give true, for conditions that need traffic."""
    with here.client() as client:
        for name in names:
            got = client.fetch(Request(headers=[(b"x-request-id", name.encode())]))
            assert 200 == got.status
    return True


def dropped(here: Site) -> int:
    """Sum up what was dropped, by whatever reason."""
    return sum(here.stat(name) for name in DROPPED)


def written(here: Site) -> int:
    """Sum up the entries that rings took."""
    return sum(here.stat(f"entries_{kind}") for kind in KINDS.values())


def all_told(here: Site, agent: Agent) -> None:
    """Wait until each entry is got or counted as dropped; none is got twice."""

    def adds_up() -> bool:
        send(here, "one more")
        refused = here.stat("dropped_ring_full")
        return len(agent.packets) + dropped(here) == written(here) + refused

    until(
        adds_up,
        lambda: (len(agent.packets), written(here), {name: here.stat(name) for name in DROPPED}),
    )
    assert len(agent.packets) == len(set(agent.packets))
    until(lambda: send(here, "more") and here.stat("cilium_queue_depth") == 0, "an empty queue")


@pytest.fixture
def open_site(new_site: Callable[[], Site]) -> Open:
    """Make a site that sends its entries to an agent; *fields* are the sink's."""

    def make(path: Path | str, **fields: Any) -> Site:
        here = new_site()
        access = {"sinks": [cilium_sink(path, **fields)]}
        return here.open([here.filter(access=access)], routes=DIRECT)

    return make


def test_entries_come(open_site: Open, agent: Agent) -> None:
    """The agent gets a packet for each entry, over one connection, and the stats say so."""
    here = open_site(agent.path)
    send(here, "a", "b", "c")
    assert both("a", "b", "c") == told(agent.wait_for(6))
    until(lambda: send(here, "d") and here.stat("cilium_sent") >= 6, "cilium_sent")
    assert (1, 1) == (agent.connections, here.stat("cilium_connected"))
    assert (0, 0) == (here.stat("cilium_reconnects"), dropped(here))
    all_told(here, agent)


def test_absent_at_the_start(open_site: Open) -> None:
    """Without an agent, or even its folder, requests go on and entries wait for it."""
    with socket_folder() as folder:
        path = folder / "sockets" / "access_log.sock"
        here = open_site(path)
        send(here, "early")
        until(lambda: here.log_lines("nobody takes the connection: No such file"), "a log line")
        until(lambda: send(here, "early") and here.stat("cilium_queue_depth") > 0, "the depth")
        assert 0 == here.stat("cilium_connected")
        path.parent.mkdir()
        with Agent(path) as agent:
            assert both("early") == told(agent.wait_for(2))[:2]
            all_told(here, agent)
            assert (1, 1) == (here.stat("cilium_connected"), here.stat("sink_errors"))


def test_restarted(open_site: Open, agent: Agent) -> None:
    """The agent replaces its socket each time it starts; nothing is lost or sent twice."""
    here = open_site(agent.path)
    names = [str(number) for number in range(5)]
    for count, name in enumerate(names, 1):
        send(here, name)
        assert both(*names[:count]) == told(agent.wait_for(2 * count))
        agent.kill()
        agent.start()
    all_told(here, agent)
    assert 4 <= here.stat("cilium_reconnects")
    assert 0 == dropped(here)


def test_closes_after_each_packet(open_site: Open, agent: Agent) -> None:
    """An agent that closes its connection after each packet gets everything, once."""
    agent.hang_up_after = 1
    here = open_site(agent.path)
    names = [str(number) for number in range(500)]
    assert names == rapid(here.port, names, connections=1)
    all_told(here, agent)
    assert 0 == dropped(here)
    assert Counter(both(*names)) == Counter(one for one in told(agent.packets) if one[1].isdigit())


def test_slow(open_site: Open, agent: Agent) -> None:
    """What the socket has no room for waits; the connection stays, and the order too."""
    agent.freeze()
    here = open_site(agent.path)
    names = [str(number) for number in range(1000)]
    assert names == rapid(here.port, names, connections=1)
    until(lambda: send(here, "x") and here.stat("cilium_queue_depth") > 1000, "the depth")
    agent.thaw()
    assert both(*names) == told(agent.wait_for(2000))[:2000]
    all_told(here, agent)
    assert (1, 0) == (agent.connections, here.stat("cilium_reconnects"))
    assert 0 == dropped(here)


@pytest.mark.parametrize("drop", ["oldest", "newest"])
def test_full_queue(open_site: Open, drop: str) -> None:
    """Over its limit the queue drops the oldest or the newest; it is counted, and logged once."""
    with socket_folder() as folder:
        here = open_site(folder / "agent.sock", queue={"entries": 10, "drop": drop})
        names = [str(number) for number in range(50)]
        assert names == rapid(here.port, names, connections=1)
        until(lambda: send(here, "last") and here.stat("dropped_queue_full") >= 90, "drops")
        assert 1 == len(
            here.log_lines(f"{folder}/agent.sock: the queue is full; entries are dropped")
        )
        with Agent(folder / "agent.sock") as agent:
            all_told(here, agent)
            found = told(agent.packets)[:10]
        assert (both(*names[:5]) == found) is (drop == "newest")
        assert drop == "newest" or not {name for _, name in found} & set(names[:45])


def test_stream_socket(open_site: Open) -> None:
    """A STREAM socket is told by name, once; the right one gets what waited."""
    with socket_folder() as folder:
        path = folder / "agent.sock"
        with Agent(path, kind=socket.SOCK_STREAM):
            here = open_site(path)
            send(here, "a")
            message = f"{path}: the socket there is of another type than SEQPACKET"
            until(lambda: here.log_lines(message), "a log line")
        with Agent(path) as agent:
            assert both("a") == told(agent.wait_for(2))
    assert 1 == len(here.log_lines(message))


def test_abstract_name(open_site: Open) -> None:
    """A name that begins with @ is no file."""
    with Agent(f"@envoy-pyfilter-e2e-{os.getpid()}") as agent:
        here = open_site(agent.path)
        send(here, "a")
        assert both("a") == told(agent.wait_for(2))


def test_two_filters_and_two_workers_share(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, agent: Agent
) -> None:
    """All filters and workers of a process send over one connection; a stream's order is kept."""
    envoy = own_envoy(concurrency=2).start()
    sites = [Site(envoy, upstream, tmp_path, name) for name in ("one", "two")]
    for here in sites:
        access = {"sinks": [cilium_sink(agent.path)]}
        here.open([here.filter(access=access)], routes=DIRECT)
    names = [[f"{here.name}-{number}" for number in range(1000)] for here in sites]
    rapid_at_once(zip([here.port for here in sites], names, strict=True))
    found = told(agent.wait_for(4000))
    assert Counter(both(*names[0], *names[1])) == Counter(found)
    place = {one: index for index, one in enumerate(found)}
    for name in [*names[0], *names[1]]:
        assert place["request", name] < place["response", name]
    assert 1 == agent.connections
    envoy.stop()


def test_updated_config(open_site: Open) -> None:
    """A config that comes with other limits changes them for what waits already."""
    with socket_folder() as folder:
        path = folder / "agent.sock"
        here = open_site(path, queue={"entries": 4})
        send(here, "a", "b")
        until(lambda: send(here, "over") and here.stat("dropped_queue_full"), "a full queue")
        access = {"sinks": [cilium_sink(path, queue={"entries": 8})]}
        here.open([here.filter(access=access)], routes=DIRECT)
        send(here, "c")
        with Agent(path) as agent:
            assert both("a", "b") == told(agent.wait_for(6))[:4]
            until(lambda: ("response", "c") in told(agent.packets), lambda: told(agent.packets))
            assert 1 == agent.connections


def test_validation_opens_nothing(release: str, tmp_path: Path, agent: Agent) -> None:
    """A config is only looked at: nobody connects."""
    ours = b.py_filter("access", {"sinks": [cilium_sink(agent.path)]})
    whole = b.bootstrap(tmp_path / "none.json", [])
    del whole["dynamic_resources"]
    one = b.listener("one", filters=[ours], routes=DIRECT)
    del one["@type"]
    whole["static_resources"]["listeners"] = [one]
    result = validate(release, tmp_path, whole)
    assert 0 == result.returncode, result.stderr
    agent.kill()
    assert 0 == agent.connections


def test_sigterm_delivers_what_waits(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, agent: Agent
) -> None:
    """An agent that takes its time gets all that waited when Envoy is told to end."""
    envoy = own_envoy().start()
    here = Site(envoy, upstream, tmp_path, "end")
    agent.freeze()
    here.open([here.filter(access={"sinks": [cilium_sink(agent.path)]})], routes=DIRECT)
    names = [str(number) for number in range(500)]
    assert names == rapid(here.port, names, connections=1)
    agent.delay = 0.0005
    agent.thaw()
    envoy.stop()
    assert both(*names) == told(agent.wait_for(1000))  # the last are in the socket still


def test_sigterm_without_an_agent(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path
) -> None:
    """Envoy ends although nobody ever takes what waits, and says how much that was."""
    with socket_folder() as folder:
        envoy = own_envoy().start()
        here = Site(envoy, upstream, tmp_path, "end")
        access = {"sinks": [cilium_sink(folder / "agent.sock")]}
        here.open([here.filter(access=access)], routes=DIRECT)
        send(here, "a", "b")
        envoy.stop()
        assert 1 == len(here.log_lines("agent.sock: 4 entries were not delivered"))


# --- chaos ---


def percentile(seconds: list[float], part: float = 0.99) -> float:
    """Give the value that this part of all does not exceed."""
    return sorted(seconds)[int(len(seconds) * part)]


def kill_and_restart(agent: Agent, answered: list[str], kills: int, within: int) -> None:
    """Kill the agent and start it again, each after up to *within* more answers, until found."""
    dice = random.Random(kills)  # noqa: S311 (the same moments each time)

    def wait() -> None:
        moment = len(answered) + dice.randrange(within)
        until(lambda: len(answered) >= moment, f"{moment} answers", seconds=60.0)

    for _ in range(kills):
        wait()
        agent.kill()
        wait()
        connections = agent.connections
        agent.start()
        until(lambda n=connections: agent.connections > n, "a connection")  # type: ignore[misc]


def killed_under_load(here: Site, agent: Agent, requests: int, kills: int) -> None:
    """Kill the agent at random moments under load; each entry is got once, or counted."""
    quiet: list[list[float]] = [[], [], []]
    for seconds in quiet:  # the first time warms up
        rapid(here.port, [f"quiet-{n}" for n in range(requests // 20)], seconds=seconds)
    answered: list[str] = []
    loud: list[float] = []
    within = requests // kills // 2
    killer = threading.Thread(target=kill_and_restart, args=(agent, answered, kills, within))
    killer.start()
    sent = 0
    while sent < requests or killer.is_alive():
        names = [str(number) for number in range(sent, sent + 1000)]
        rapid(here.port, names, answered=answered, seconds=loud)
        sent += len(names)
    killer.join()
    assert sent == len(answered) == len(set(answered))
    all_told(here, agent)
    assert kills <= here.stat("cilium_reconnects")
    drops = ", ".join(f"{name} {here.stat(name)}" for name in DROPPED)
    print(f"{kills} kills: got {len(agent.packets)} of {written(here)} entries; {drops}")
    p99 = percentile(quiet[1])
    print(
        f"p99 against a quiet agent: {percentile(loud) / p99:.2f};"
        f" quiet against itself: {percentile(quiet[2]) / p99:.2f}"
    )


# Two workers' rings, of which the kernel gives a page when it is first written.
RINGS = 2 * (4 << 20)


def memory(envoy: Envoy) -> int:
    """Bytes of memory that the process holds."""
    pages = Path(f"/proc/{envoy.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def frozen_under_load(
    here: Site, agent: Agent, requests: int, turns: int, seconds: float = 0.0
) -> None:
    """
    Load Envoy while the agent reads nothing: it answers, drops what is over, and stays flat.

    Each turn has so many requests, and takes so many *seconds* at least.
    """
    agent.freeze()
    names = [str(number) for number in range(requests)]
    used = []
    for _ in range(turns):
        end = time.monotonic() + seconds
        assert requests == len(rapid(here.port, names))
        time.sleep(max(0.0, end - time.monotonic()))  # the rate, not a wait for something
        used.append(memory(here.envoy))
    until(lambda: send(here, "x") and here.stat("dropped_queue_full"), "drops")
    assert used[-1] - used[0] < RINGS + (4 << 20), used
    print(f"{turns * requests} requests; memory, from the first turn on: {used[0]} +")
    print([one - used[0] for one in used])
    agent.thaw()
    all_told(here, agent)
    assert 0 == here.stat("cilium_reconnects")


def test_killed_at_random(open_site: Open, agent: Agent) -> None:
    """Some thousand requests while the agent is killed and started again."""
    here = open_site(agent.path, queue={"entries": 500})
    killed_under_load(here, agent, 6_000, 10)


def test_frozen(open_site: Open, agent: Agent) -> None:
    """An agent that accepts and never reads."""
    here = open_site(agent.path, queue={"entries": 1000})
    frozen_under_load(here, agent, 2_000, 4)


@pytest.mark.long
@pytest.mark.parametrize("entries", [2000, 8192])
def test_killed_a_hundred_times(
    own_envoy: Callable[..., Envoy],
    upstream: Upstream,
    tmp_path: Path,
    agent: Agent,
    entries: int,
) -> None:
    """200,000 requests at least, and 100 kills at random moments."""
    envoy = own_envoy(concurrency=2, level="info").start()
    here = Site(envoy, upstream, tmp_path, "killed")
    sink = cilium_sink(agent.path, queue={"entries": entries})
    here.open([here.filter(access={"sinks": [sink]})], routes=DIRECT)
    killed_under_load(here, agent, 200_000, 100)
    envoy.stop()


@pytest.mark.long
def test_frozen_for_a_minute(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, agent: Agent
) -> None:
    """A minute at 5,000 requests a second."""
    envoy = own_envoy(concurrency=2, level="info").start()
    here = Site(envoy, upstream, tmp_path, "frozen")
    here.open([here.filter(access={"sinks": [cilium_sink(agent.path)]})], routes=DIRECT)
    frozen_under_load(here, agent, 5_000, 60, 1.0)
    envoy.stop()
