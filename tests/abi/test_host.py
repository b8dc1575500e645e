# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what one test leaves behind, and what an error tells."""

from __future__ import annotations

import pytest

from .configs import Config
from .conftest import SharedHosts, StartHost
from .host import HostDiedError


def test_left_configs_are_ended(shared_hosts: SharedHosts) -> None:
    """A config with a stream in flight, and a callback that fails, are gone for the next test."""
    host = shared_hosts.get("1.40")
    before = host.idle()
    config = Config.scripted(host, access=True, on_request_headers="stream.keep_reachable()")
    stream = config.stream()
    stream.request_headers()
    host("fail", "*")
    assert before != host.left()
    shared_hosts.tidy()

    assert before == host.idle()
    assert (True, True) == (config.ended, stream.ended)
    assert ["request", "response"] == config.kinds()
    assert host is shared_hosts.get("1.40")


def test_a_host_in_an_unknown_state_is_replaced(shared_hosts: SharedHosts) -> None:
    """A config that was ended behind the test's back: the next test gets another host."""
    host = shared_hosts.get("1.40")
    config = Config.access(host)
    host("config_destroy", config.name)
    shared_hosts.tidy()

    assert host is not shared_hosts.get("1.40")


def test_a_dead_host_says_how(start: StartHost) -> None:
    """The error has the signal and what the process wrote last."""
    host = start()
    config = Config.scripted(
        host,
        on_request_headers="""
            import logging, signal
            logging.getLogger("tests").warning("its last log line")
            print("its last output", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    with pytest.raises(
        HostDiedError, match=r"died of 'request_headers .*; killed by SIGKILL"
    ) as dead:
        config.stream().request_headers()
    assert "its last output" in str(dead.value)
    assert "its last log line" in str(dead.value)
    with pytest.raises(HostDiedError, match="died before 'left'; killed by SIGKILL"):
        host.left()


def test_a_host_that_exits_says_its_code(start: StartHost) -> None:
    """So it does with an exit code."""
    host = start()
    config = Config.scripted(host, on_request_headers="os._exit(7)")
    with pytest.raises(HostDiedError, match=r"died of 'request_headers .*; exit code 7"):
        config.stream().request_headers()
