# SPDX-License-Identifier: Apache-2.0
"""
The agent's socket, call by call: when it is tried again, and that nothing is tried in between.

The clock stands (``parts/kernel.h``), so each time is exact, and a second's pause takes none.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from e2e.agent import Agent

from .sinks import Sinks
from .test_agent import counted, fill, put, texts, told
from .test_flusher import asleep
from .test_sinks import until

TRIES = 30
PAUSES = [10, 20, 40, 80, 160, 320, 640] + [1000] * TRIES  # ms, the longest ones


def tried_at(sinks: Sinks, count: int) -> list[int]:
    """Wait for more tries than that; the times of so many, in ms."""
    until(lambda: sinks("tries") > count)
    return [sinks("tried_at", 0, number) for number in range(count)]


def check_pauses(times: list[int], *, first: int = 0) -> None:
    """Check that each pause is in the second half of its longest one, and not always the same."""
    pauses = [later - earlier for earlier, later in pairwise(times)]
    for pause, longest in zip(pauses, PAUSES[first:], strict=False):
        assert longest // 2 <= pause <= longest, pauses
    assert len(set(pauses[-10:])) > 1, pauses


def test_waiting_takes_no_time(sinks: Sinks, agent: Agent) -> None:
    """A socket without room does not keep the flusher awake."""
    agent.freeze()
    sinks.agent(0, agent.path)
    fill(sinks, 200)
    until(lambda: sinks("queued") > 50)
    sinks("move", 0, 2000)
    until(lambda: told(sinks, "does not keep up") == 1)
    asleep(sinks)
    agent.thaw()
    agent.wait_for(200)
    sinks("release", 0)


def test_an_idle_connection_takes_no_time(sinks: Sinks, agent: Agent) -> None:
    """With nothing to send the flusher sleeps, be the agent there or gone."""
    sinks.agent(0, agent.path)
    put(sinks, 0)
    texts(agent, 1)
    counted(sinks, "sent", 1)
    asleep(sinks)
    agent.kill()
    until(lambda: sinks("connected") == 0)
    until(lambda: told(sinks, "Connection refused") == 1)
    asleep(sinks)
    sinks("release", 0)


def test_pauses_between_tries(sinks: Sinks, path: Path) -> None:
    """An absent agent is tried after longer and longer, up to a second, at no fixed distance."""
    sinks("stand")
    sinks.agent(0, path)
    asleep(sinks)
    assert 1 == sinks("tries")
    put(sinks, 0)
    check_pauses(tried_at(sinks, TRIES)[1:], first=1)  # the first was before there was a packet
    with Agent(path) as agent:
        assert ["0"] == texts(agent, 1)
    sinks("release", 0)


def test_closes_before_it_took_anything(sinks: Sinks, agent: Agent) -> None:
    """An agent that closes at once is like no agent; the packet waits for one that stays."""
    agent.hang_up_after = 0
    sinks("stand")
    sinks("closed", 0, 1)
    sinks.agent(0, agent.path)
    until(lambda: told(sinks, "the connection was closed before it took anything") == 1)
    asleep(sinks)
    assert 1 == sinks("tries")
    put(sinks, 0)
    check_pauses(tried_at(sinks, TRIES))
    assert [] == agent.packets
    agent.hang_up_after = float("inf")
    sinks("closed", 0, 0)
    assert ["0"] == texts(agent, 1)
    until(lambda: told(sinks, "delivered again") == 1)
    counted(sinks, "sent", 1)
    assert 1 == sinks("errors")
    sinks("release", 0)


def test_room_that_is_none(sinks: Sinks, agent: Agent) -> None:
    """When poll tells of room again and again and there is none, the clock says when to try."""
    sinks.agent(0, agent.path)
    asleep(sinks)
    sinks("stand")
    sinks("no_room", 0, 1)
    first = sinks("tries")
    put(sinks, 0)
    times = tried_at(sinks, first + 2 * TRIES)[first:]
    check_pauses(times[1::2])  # each second try is at once, because poll tells of room
    assert times[2::2] == times[3::2]
    sinks("no_room", 0, 0)
    assert ["0"] == texts(agent, 1)
    sinks("release", 0)


def test_rings_take_turns(sinks: Sinks, agent: Agent) -> None:
    """No worker's packets wait for all of another's, however few the queue holds."""
    sinks("limits", 0, 1, 4000)
    sinks.agent(0, agent.path)
    asleep(sinks)
    sinks("hold")
    for number in range(20):
        sinks.packet(str(number // 10), slot=number // 10)
    sinks("go")
    assert texts(agent, 20) in (["0", "1"] * 10, ["1", "0"] * 10)
    sinks("release", 0)
