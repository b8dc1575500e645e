# SPDX-License-Identifier: Apache-2.0
"""
The agent's socket by itself, under sanitizers: what is sent once, what waits, what is dropped.

The listener is ``tests/e2e/agent.py``; its kill reads what was sent before, so that what was sent
can be compared with what was got.
"""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

import pytest
from e2e.agent import Agent

from .sinks import RING_BYTES, Sinks
from .test_flusher import looked
from .test_sinks import until

PATIENCE_MS = 5000  # sink.h
PRODUCERS = 4


def texts(agent: Agent, count: int) -> list[str]:
    """Wait for that many packets; what stands in them."""
    return [packet.rstrip(b".").decode() for packet in agent.wait_for(count)]


def put(sinks: Sinks, *numbers: int, length: int = 0) -> None:
    """Put packets with these numbers."""
    for number in numbers:
        sinks.packet(str(number), length=length)


def fill(sinks: Sinks, count: int) -> None:
    """Put packets of 1,000 bytes, waiting for the flusher where it does not keep up."""
    for number in range(count):
        until(lambda n=number: sinks("packet", 0, 0, 1000, str(n)) == 0)  # type: ignore[misc]


def counted(sinks: Sinks, what: str, wanted: int, sink: int = 0) -> None:
    """Wait until a count, of which each answer is what was added, adds up to *wanted*."""
    found = 0

    def adds_up() -> bool:
        nonlocal found
        found += sinks(what, sink)
        assert found <= wanted
        return found == wanted

    until(adds_up)


def told(sinks: Sinks, text: str) -> int:
    """Count the log's lines that have this text."""
    return sum(text in line for line in sinks.log.read_text().splitlines())


def test_packets_come_whole_and_in_order(sinks: Sinks, agent: Agent) -> None:
    """Each packet is one of the socket, whatever its length."""
    sinks.agent(0, agent.path)
    lengths = [1, 5, 4000, *range(100, 400)]
    for number, length in enumerate(lengths):
        sinks.packet(str(number % 10), length=length)
    assert lengths == [len(packet) for packet in agent.wait_for(len(lengths))]
    assert [str(n % 10) for n in range(len(lengths))] == texts(agent, len(lengths))
    until(lambda: sinks("queued") == 0)
    counted(sinks, "sent", len(lengths))
    assert 1 == sinks("connected")
    sinks("release", 0)


def test_ring_that_wraps(sinks: Sinks, agent: Agent) -> None:
    """Packets of all lengths go many times around a small ring."""
    sinks.agent(0, agent.path)
    dice = random.Random(1)  # noqa: S311 (the same lengths each time)
    lengths = [dice.randrange(1, 4000) for _ in range(500)]
    for length in lengths:
        until(lambda n=length: sinks("packet", 0, 0, n, "x") == 0)  # type: ignore[misc]
    assert lengths == [len(packet) for packet in agent.wait_for(len(lengths))]
    sinks("release", 0)


def test_absent_at_the_start(sinks: Sinks, path: Path) -> None:
    """Packets wait for an agent that comes later, be its folder missing or only its socket."""
    where = path.parent / "later" / "agent.sock"
    sinks.agent(0, where)
    put(sinks, 0, 1)
    until(lambda: told(sinks, f"{where}: nobody takes the connection: No such file") == 1)
    assert 0 == sinks("connected")
    where.parent.mkdir()
    with Agent(where) as agent:
        put(sinks, 2)
        assert ["0", "1", "2"] == texts(agent, 3)
        until(lambda: told(sinks, "delivered again") == 1)
        counted(sinks, "sent", 3)
        assert (0, 1) == (sinks("reconnects"), sinks("errors"))
    sinks("release", 0)


def test_nobody_behind_the_file(sinks: Sinks, agent: Agent) -> None:
    """A socket's file that a dead agent left behind is like no agent."""
    agent.kill()
    sinks.agent(0, agent.path)
    put(sinks, 0)
    until(lambda: told(sinks, "Connection refused") == 1)
    agent.start()
    assert ["0"] == texts(agent, 1)
    sinks("release", 0)


def test_restarts(sinks: Sinks, agent: Agent) -> None:
    """An agent that is started again gets what comes after, and nothing twice."""
    sinks.agent(0, agent.path)
    for number in range(5):
        put(sinks, number)
        assert [str(n) for n in range(number + 1)] == texts(agent, number + 1)
        agent.kill()
        agent.start()
    put(sinks, 5)
    texts(agent, 6)
    counted(sinks, "sent", 6)
    assert [str(n) for n in range(6)] == texts(agent, 6)
    assert 5 <= sinks("reconnects")
    sinks("release", 0)


def test_a_new_socket_beside_the_old_one(sinks: Sinks, agent: Agent) -> None:
    """When the path names another socket, packets go there although the old one is still read."""
    sinks.agent(0, agent.path)
    put(sinks, 0)
    texts(agent, 1)
    Path(agent.path).rename(f"{agent.path}.old")
    put(sinks, 1)  # the file is gone for now; who listens is not
    assert ["0", "1"] == texts(agent, 2)
    with Agent(agent.path) as other:
        put(sinks, 2)
        assert ["2"] == texts(other, 1)
    assert ["0", "1"] == texts(agent, 2)
    sinks("release", 0)


def test_hangs_up_after_each_packet(sinks: Sinks, agent: Agent) -> None:
    """An agent that closes after each packet gets all of them, in order, over many connections."""
    agent.hang_up_after = 1
    sinks.agent(0, agent.path)
    for number in range(20):
        put(sinks, number)
        texts(agent, number + 1)
    assert [str(n) for n in range(20)] == texts(agent, 20)
    assert agent.connections > 5
    sinks("release", 0)


def test_slow(sinks: Sinks, agent: Agent) -> None:
    """What the socket has no room for waits, on the one connection, and comes when there is."""
    agent.freeze()
    sinks.agent(0, agent.path)
    fill(sinks, 400)
    until(lambda: sinks("queued") > 200)  # the socket holds about 90
    sinks("move", 0, 2000)
    until(lambda: told(sinks, "the agent does not keep up") == 1)
    agent.thaw()
    assert [str(n) for n in range(400)] == texts(agent, 400)
    until(lambda: told(sinks, "delivered again") == 1)
    assert (1, 0, 0) == (agent.connections, sinks("reconnects"), sinks("overflowed"))
    sinks("release", 0)


def test_killed_while_frozen(sinks: Sinks, agent: Agent) -> None:
    """What waits behind an agent that never reads goes to the next one."""
    agent.freeze()
    sinks.agent(0, agent.path)
    fill(sinks, 200)
    until(lambda: sinks("queued") > 50)
    agent.kill()
    taken = len(agent.packets)
    assert 0 < taken < 200
    agent.start()
    agent.thaw()
    assert [str(n) for n in range(200)] == texts(agent, 200)
    sinks("release", 0)


@pytest.mark.parametrize("oldest", [False, True], ids=["newest", "oldest"])
def test_full_queue(sinks: Sinks, path: Path, *, oldest: bool) -> None:
    """Over its number of entries the queue drops by its policy, and counts; it says so once."""
    sinks("limits", 0, 10, 1 << 20)
    sinks.agent(0, path, oldest=oldest)
    put(sinks, *range(25))
    until(lambda: told(sinks, "the queue is full; entries are dropped") == 1)
    counted(sinks, "overflowed", 15)
    until(lambda: sinks("queued") == 10)
    with Agent(path) as agent:
        kept = range(15, 25) if oldest else range(10)
        assert [str(n) for n in kept] == texts(agent, 10)
        counted(sinks, "sent", 10)
    sinks("release", 0)


@pytest.mark.parametrize("oldest", [False, True], ids=["newest", "oldest"])
def test_full_queue_in_bytes(sinks: Sinks, path: Path, *, oldest: bool) -> None:
    """The bytes of packets are bounded too; one that alone is larger is dropped by itself."""
    sinks("limits", 0, 100, 1000)
    sinks.agent(0, path, oldest=oldest)
    put(sinks, *range(7), length=300)
    sinks.packet("large", length=1001)
    counted(sinks, "overflowed", 5)
    with Agent(path) as agent:
        kept = (4, 5, 6) if oldest else (0, 1, 2)
        assert [str(n) for n in kept] == texts(agent, 3)
        assert 0 == sinks("overflowed")
    sinks("release", 0)


def test_small_queue_drops_nothing_while_the_agent_takes(sinks: Sinks, agent: Agent) -> None:
    """The queue fills only behind an agent that takes nothing."""
    sinks("limits", 0, 1, 4000)
    sinks.agent(0, agent.path)
    for number in range(100):
        until(lambda n=number: sinks("packet", 0, 0, 10, str(n)) == 0)  # type: ignore[misc]
    assert [str(n) for n in range(100)] == texts(agent, 100)
    assert 0 == sinks("overflowed")
    sinks("release", 0)


def test_newest_limits_hold(sinks: Sinks, path: Path) -> None:
    """Who asks for the socket last says how much may wait, for all."""
    sinks("limits", 0, 2, 1000)
    sinks.agent(0, path)
    put(sinks, *range(4))
    counted(sinks, "overflowed", 2)
    sinks("limits", 0, 3, 1000)
    sinks.agent(1, path)
    put(sinks, *range(4, 7))
    counted(sinks, "overflowed", 2)
    with Agent(path) as agent:
        assert ["0", "1", "4"] == texts(agent, 3)
    sinks("release", 0)
    sinks("release", 1)


def test_limits_go_with_who_asked_for_them(sinks: Sinks, path: Path) -> None:
    """A config that is refused, or removed, leaves no limits behind, whichever it is."""
    for number, entries in enumerate((5, 3, 1)):
        sinks("limits", 0, entries, 1000)
        sinks.agent(number, path)
    sinks("release", 2)
    put(sinks, *range(4))
    counted(sinks, "overflowed", 1)
    sinks("limits", 0, 1, 1000)
    sinks.agent(2, path)
    sinks("release", 1)
    sinks("release", 2)
    put(sinks, *range(4, 7))
    counted(sinks, "overflowed", 1)
    with Agent(path) as agent:
        assert ["0", "1", "2", "4", "5"] == texts(agent, 5)
    sinks("release", 0)


def test_larger_than_any_socket(sinks: Sinks, agent: Agent) -> None:
    """A packet that no socket takes is dropped and counted; the others come."""
    assert 0 == sinks("agent", 0, 1 << 20, 0, agent.path)
    size = 1 << 18
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        assert size - 1000 > probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    sinks.packet("before")
    sinks.packet("large", length=size)
    sinks.packet("after")
    assert ["before", "after"] == texts(agent, 2)
    counted(sinks, "sent", 2)
    assert 1 == sinks("too_large")
    sinks("release", 0)


def test_larger_than_the_ring(sinks: Sinks, agent: Agent) -> None:
    """The ring refuses what it can never hold, its frame included."""
    sinks.agent(0, agent.path)
    too_large = 2  # sink_result
    assert too_large == sinks("packet", 0, 0, RING_BYTES - 3, "x")
    assert 0 == sinks("packet", 0, 0, RING_BYTES - 4, "x")
    until(lambda: agent.truncated == 1)
    sinks("release", 0)


def test_socket_of_another_type(sinks: Sinks, path: Path) -> None:
    """A STREAM socket is said to be one, and packets wait for the right one."""
    with Agent(path, kind=socket.SOCK_STREAM):
        sinks.agent(0, path)
        put(sinks, 0)
        until(lambda: told(sinks, "is of another type than SEQPACKET") == 1)
    with Agent(path) as agent:
        assert ["0"] == texts(agent, 1)
    sinks("release", 0)


def test_each_trouble_is_said(sinks: Sinks, path: Path) -> None:
    """Nobody who accepts, then nobody who reads: two sentences, though errno is the same."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(str(path))
            sinks.agent(0, path)
            until(lambda: told(sinks, "nobody takes the connection") == 1)
            fill(sinks, 300)
            listener.accept()[0].close()
            until(lambda: sinks("connected") == 1)
            until(lambda: 0 < sinks("queued") < 300)
            sinks("move", 0, 2000)
            until(lambda: told(sinks, "the agent does not keep up") == 1)
            assert 1 == sinks("errors")
    sinks("release", 0)
    sinks("move", 0, PATIENCE_MS + 1000)


def test_backlog_that_is_full(sinks: Sinks, path: Path) -> None:
    """Connecting does not wait either: packets wait while nobody accepts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.connect(str(path))
            sinks.agent(0, path)
            put(sinks, 0)
            until(lambda: told(sinks, "nobody takes the connection;") == 1)
            listener.accept()[0].close()
            connection = listener.accept()[0]
            assert b"0" == connection.recv(10)
            connection.close()
    sinks("release", 0)


def test_abstract_name(sinks: Sinks) -> None:
    """A name that begins with @ is no file."""
    name = f"@envoy-pyfilter-{os.getpid()}"
    with Agent(name) as agent:
        sinks.agent(0, name)
        put(sinks, 0)
        assert ["0"] == texts(agent, 1)
        agent.kill()
        agent.start()
        put(sinks, 1)
        assert ["0", "1"] == texts(agent, 2)
    sinks("release", 0)


@pytest.mark.parametrize(
    ("name", "refused"),
    [("/" + "x" * 106, 0), ("/" + "x" * 107, 1), ("@" + "x" * 106, 0), ("@" + "x" * 107, 1)],
    ids=["107", "108", "abstract 107", "abstract 108"],
)
def test_length_of_a_path(sinks: Sinks, name: str, refused: int) -> None:
    """A socket's address holds 107 bytes; a longer path gives no sink."""
    assert refused == sinks("agent", 0, RING_BYTES, 0, name)
    if not refused:
        sinks("release", 0)


def test_two_spellings_share_a_connection(sinks: Sinks, agent: Agent) -> None:
    """Sinks of one socket share its connection and its queue, however its path is written."""
    folder = Path(agent.path).parent
    sinks.agent(0, agent.path)
    sinks("agent", 1, 2 * RING_BYTES, 0, f"{folder}/../{folder.name}//./agent.sock")
    sinks.packet("0", 0)
    sinks.packet("1", 1)
    assert ["0", "1"] == sorted(texts(agent, 2))
    assert 1 == agent.connections
    sinks("release", 0)
    sinks("release", 1)


def test_a_folder_that_comes_later_is_the_same(sinks: Sinks, path: Path) -> None:
    """A path means one connection, also when its folder was not there at first, behind a link."""
    link = path.parent / "link"
    link.symlink_to(path.parent / "folder")
    sinks.agent(0, link / "agent.sock")
    until(lambda: told(sinks, "nobody takes the connection") == 1)  # so no try meets the listener
    (path.parent / "folder").mkdir()
    sinks("agent", 1, 2 * RING_BYTES, 0, link / "agent.sock")
    with Agent(link / "agent.sock") as agent:
        sinks.packet("0", 0)
        sinks.packet("1", 1)
        assert ["0", "1"] == sorted(texts(agent, 2))
        assert 1 == agent.connections
    sinks("release", 0)
    sinks("release", 1)


def test_validation_opens_nothing(sinks: Sinks, agent: Agent) -> None:
    """While a config is validated nobody connects, and no thread is there to do it."""
    sinks("validate")
    sinks.agent(0, agent.path)
    full = 1
    assert full == sinks("packet", 0, 0, 10, "x")
    sinks("release", 0)
    sinks.end()
    assert 0 == agent.connections


def test_the_end_delivers_what_waits(sinks: Sinks, agent: Agent) -> None:
    """When nobody uses the socket any more, the agent still gets what it takes in time."""
    agent.freeze()
    sinks.agent(0, agent.path)
    fill(sinks, 300)
    until(lambda: sinks("queued") > 150)
    sinks("release", 0)
    agent.thaw()
    sinks.end()
    assert [str(n) for n in range(300)] == texts(agent, 300)
    assert 0 == told(sinks, "not delivered")


def test_the_end_gives_up(sinks: Sinks, path: Path) -> None:
    """What nobody takes within the patience of all sinks is logged with its number."""
    sinks.agent(0, path)
    put(sinks, *range(3))
    until(lambda: sinks("queued") == 3)
    sinks("release", 0)
    sinks("move", 0, PATIENCE_MS + 1000)
    until(lambda: told(sinks, f"{path}: 3 entries were not delivered") == 1)


def test_a_new_sink_takes_over_what_waits(sinks: Sinks, path: Path) -> None:
    """A sink of the same socket that comes while the last one ends keeps its queue alive."""
    sinks.agent(0, path)
    put(sinks, 0)
    until(lambda: sinks("queued") == 1)
    seen = looked(sinks)
    sinks("release", 0)
    until(seen)
    sinks("agent", 1, 2 * RING_BYTES, 0, path)
    sinks("move", 0, PATIENCE_MS + 1000)
    sinks.packet("1", 1)
    with Agent(path) as agent:
        assert ["0", "1"] == texts(agent, 2)
    sinks("release", 1)


# --- four producers ---


def numbers(agent: Agent) -> list[list[int]]:
    """Give the numbers that came from each producer, in their order."""
    found: list[list[int]] = [[] for _ in range(PRODUCERS)]
    for packet in agent.packets:
        slot, number = packet.split()[:2]
        found[int(slot)].append(int(number))
    return found


def test_four_producers_and_every_kind_of_sink(sinks: Sinks, agent: Agent, tmp_path: Path) -> None:
    """A file, the agent and a Python sink, under one load: all is there, or counted as refused."""
    count = 2000
    file = tmp_path / "lines"
    sinks.open(0, file, 1 << 20)
    assert 0 == sinks("agent", 1, 1 << 20, 0, agent.path)
    sinks("python", 2, 1 << 20)
    sinks("load", 0, count)
    refused = sinks("join")

    def came() -> int:
        return file.read_text().count("\n") + len(agent.packets) + sinks("taken")

    until(lambda: 3 * PRODUCERS * count == refused + came())
    counted(sinks, "sent", len(agent.packets), 1)
    for found in numbers(agent):
        assert sorted(set(found)) == found
    for sink in range(3):
        sinks("release", sink)


def test_restarts_under_load(sinks: Sinks, agent: Agent) -> None:
    """Killed and started again and again: each packet is got once, or counted as dropped."""
    rounds, count = 10, 200
    sinks("limits", 0, 500, 1 << 20)
    assert 0 == sinks("agent", 0, 1 << 20, 0, agent.path)
    dice = random.Random(2)  # noqa: S311 (the same points each time)
    for _ in range(rounds):
        before = len(agent.packets)
        sinks("load", 0, count, 100)
        agent.wait_for(before + 1)
        agent.kill()
        agent.hang_up_after = dice.randrange(1, 300)
        agent.start()
        lost = sinks("join")  # so far
    agent.hang_up_after = float("inf")

    def adds_up() -> bool:
        nonlocal lost
        lost += sinks("overflowed")
        return PRODUCERS * rounds * count == lost + len(agent.packets)

    until(adds_up)
    assert len(agent.packets) == len(set(agent.packets))
    counted(sinks, "sent", len(agent.packets))
    sinks("release", 0)
