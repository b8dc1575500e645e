# SPDX-License-Identifier: Apache-2.0
"""``run`` with a real Envoy, in a pipe and on a terminal, from its start to its end."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from .bootstraps import fetch, given_bootstrap
from .command import (
    ENVIRONMENT,
    RELEASES,
    ROOT,
    Running,
    command,
    is_alive,
    is_pending,
    state,
    until,
)

Start = Callable[..., Running]
LATE = "changed after the access filter's response hook"


def test_demo(start: Start, release: str) -> None:
    """Two entries for a request, JSON in a pipe; the response's has what the client got."""
    running = start("run", "--demo", "--envoy", release)
    answer = fetch(running.url(), "/v1/chat", body="hello you")
    request, response = map(json.loads, running.lines(2))
    envoy = running.envoy()

    assert ("request", "response") == (request["kind"], response["kind"])
    assert request["request_id"] == response["request_id"]
    assert (200, "/v1/chat") == (response["response_code"], response["path"])
    assert LATE == answer.getheader("x-demo") == response["response_headers"]["x-demo"]
    assert "2" == response["response_headers"]["x-ai-input-tokens"]
    assert "x-demo-internal" not in response["response_headers"]
    assert 0 == running.end(signal.SIGINT)
    assert not is_alive(envoy)
    assert f"Envoy {release} listens on {running.url()} (admin: " in running.err
    assert running.err.endswith("Envoy has ended.\n")


def test_terminal(start: Start) -> None:
    """On a terminal entries are rows of a table, headers below; Ctrl-C in that terminal ends it."""
    running = start("run", "--demo", "--envoy", RELEASES[0], terminal=True)
    fetch(running.url(), "/v1/chat")
    until(lambda: "x-demo" in running.out, running.told)
    envoy = running.envoy()

    assert running.out.startswith("\x1b[1mTIME         VERDICT   METHOD  HOST ")
    assert re.search(r"\x1b\[36mFORWARDED\x1b\[0m GET     127.0.0.1", running.out)
    assert re.search(r"\x1b\[32mresponse .* /v1/chat +\x1b\[32m200 .* [\d.]+ ms", running.out)
    assert f"x-demo: {LATE}" in " ".join(running.out.split())
    assert 0 == running.end(signal.SIGINT)
    assert not is_alive(envoy)


def test_no_colour(start: Start) -> None:
    """``NO_COLOR`` leaves the lines, and takes the colours."""
    running = start("run", "--envoy", RELEASES[0], terminal=True, NO_COLOR="1")
    fetch(running.url())
    until(lambda: " response " in running.out, running.told)

    assert "\x1b" not in running.out
    assert " FORWARDED GET     127.0.0.1" in running.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals(start: Start, number: signal.Signals) -> None:
    """SIGTERM and a terminal that closes end Envoy, too."""
    running = start("run", "--envoy", RELEASES[0])
    running.url()
    envoy = running.envoy()

    assert 0 == running.end(number)
    assert not is_alive(envoy)


def test_stubborn_envoy(start: Start) -> None:
    """A second Ctrl-C ends an Envoy that does not react."""
    running = start("run", "--envoy", RELEASES[0])
    running.url()
    envoy = running.envoy()
    os.kill(envoy, signal.SIGSTOP)
    tasks = Path(f"/proc/{envoy}/task")
    until(lambda: {"T"} == {state(task) for task in tasks.iterdir()}, running.told)
    running.process.send_signal(signal.SIGINT)
    until(lambda: is_pending(envoy, signal.SIGTERM), running.told)

    assert 0 == running.end(signal.SIGINT)
    assert not is_alive(envoy)


def test_killed(start: Start, release: str) -> None:
    """When it is killed itself, the kernel ends Envoy."""
    running = start("run", "--envoy", release)
    running.url()
    envoy = running.envoy()

    assert -signal.SIGKILL == running.end(signal.SIGKILL)
    until(lambda: not is_alive(envoy), running.told)


def test_reader_leaves(start: Start) -> None:
    """When nobody reads the entries any more, it ends: ``envoy-pyfilter run | head -1``."""
    read, write = os.pipe()
    running = start("run", "--envoy", RELEASES[0], stdout=(read, write))
    url = running.url()
    envoy = running.envoy()
    os.close(read)
    with contextlib.suppress(http.client.HTTPException, OSError):  # it ends before it answers
        fetch(url)

    assert 0 == running.wait()
    assert not is_alive(envoy)
    assert "Traceback" not in running.err


def test_envoy_dies(start: Start) -> None:
    """An Envoy that dies by itself is told, with exit code 1."""
    running = start("run", "--envoy", RELEASES[0])
    running.url()
    os.kill(running.envoy(), signal.SIGKILL)

    assert 1 == running.wait()
    assert running.err.endswith("envoy-pyfilter: Envoy was ended by SIGKILL\n")


def test_rejected_config(start: Start, tmp_path: Path, release: str) -> None:
    """An Envoy that does not start says why, and the exit code is 1."""
    file = given_bootstrap(tmp_path, log={"reqest": True})
    running = start("run", "--config", file, "--envoy", release)

    assert 1 == running.wait()
    last = running.err.splitlines()[-1]
    assert last.startswith("envoy-pyfilter: Envoy ended with exit code 1 before it was ready: ")
    assert "access: log.reqest: unknown key; did you mean request?" in running.err


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _HelloServer6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_upstream_of_one_family(start: Start, release: str, address: str) -> None:
    """A name with addresses of both families reaches the server that listens on one of them."""
    kind = _HelloServer6 if ":" in address else http.server.ThreadingHTTPServer
    with kind((address, 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            upstream = f"localhost:{server.server_address[1]}"
            running = start("run", "--upstream", upstream, "--envoy", release)
            url = running.url()
            codes = [fetch(url).status for _ in range(20)]
        finally:
            server.shutdown()
            thread.join()

    assert [200] * 20 == codes


def test_second_run(start: Start, release: str) -> None:
    """A port at which another run listens is refused, as any that is taken."""
    first = start("run", "--envoy", release)
    port = first.url().rpartition(":")[2]
    second = start("run", "--port", port, "--envoy", release)

    assert 1 == second.wait()
    text = f"envoy-pyfilter: Envoy cannot listen on 127.0.0.1:{port}: Address already in use; "
    assert second.err.splitlines()[-1].startswith(text)


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_port_in_use(start: Start, release: str, option: str) -> None:
    """A port that is taken is told with the option that chooses another."""
    with taken_port() as port:
        running = start("run", option, str(port), "--envoy", release)

        assert 1 == running.wait()
    text = (
        f"envoy-pyfilter: Envoy cannot listen on 127.0.0.1:{port}: Address already in use; "
        f"{option} chooses another port, 0 a free one"
    )
    assert text == running.err.splitlines()[-1]


def test_address_in_use(start: Start, tmp_path: Path) -> None:
    """In a bootstrap of one's own it is the file that names another address."""
    with taken_port() as port:
        file = given_bootstrap(tmp_path)
        value = yaml.safe_load(file.read_text())
        address = value["static_resources"]["listeners"][0]["address"]["socket_address"]
        address["port_value"] = port
        file.write_text(yaml.safe_dump(value))
        running = start("run", "--config", file, "--envoy", RELEASES[0])

        assert 1 == running.wait()
    text = (
        f"envoy-pyfilter: Envoy cannot listen on 127.0.0.1:{port}: Address already in use; "
        f"{file} has to name another address"
    )
    assert text == running.err.splitlines()[-1]


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """Listen on a port of loopback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_ports(start: Start) -> None:
    """``--port`` and ``--admin-port`` are what they say."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, admin = one.getsockname()[1], two.getsockname()[1]
    running = start("run", "--port", port, "--admin-port", admin, "--envoy", RELEASES[0])

    assert f"http://127.0.0.1:{port}" == running.url()
    assert f"(admin: http://127.0.0.1:{admin})" in running.err
    assert 200 == fetch(f"http://127.0.0.1:{admin}", "/ready").status


def test_own_config(start: Start, tmp_path: Path) -> None:
    """A bootstrap without an admin address gets one; entries are followed into their file."""
    entries = tmp_path / "entries"
    entries.write_text("an old line\n")
    sinks = [{"type": "file", "path": str(entries)}]
    file = given_bootstrap(tmp_path, admin=False, sinks=sinks)
    running = start("run", "--config", file, "--envoy", RELEASES[0])
    answer = fetch(running.url())
    kinds = [json.loads(line)["kind"] for line in running.lines(2)]

    assert 503 == answer.status
    assert ["request", "response"] == kinds
    assert 0 == running.end()


def test_own_filter(start: Start, tmp_path: Path) -> None:
    """The README's filter denies as the README says; the access filter before it tells."""
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    (tmp_path / "gate.py").write_text(found[1])
    running = start(
        *["run", "--filter", "gate:Gate", "--set", "header=x-squad", "--envoy", RELEASES[0]],
        cwd=tmp_path,
    )
    refused = fetch(running.url())
    passed = fetch(running.url(), **{"x-squad": "blue"})
    codes = [json.loads(line).get("response_code") for line in running.lines(4)]

    assert (403, 200) == (refused.status, passed.status)
    assert {403, 200} == {code for code in codes if code}  # workers write in any order


def test_readme_filter() -> None:
    """The README's filter is the sample."""
    sample = (ROOT / "envoy" / "gate.py").read_text().split("\n", 1)[1]

    assert f"```python\n{sample}```" in (ROOT / "README.md").read_text()


def test_logging(start: Start, tmp_path: Path) -> None:
    """What a filter logs is on stderr, without a flag."""
    text = (
        "import logging\nfrom envoy_pyfilter import Filter\n"
        "class Chatty(Filter):\n"
        "    def on_request_headers(self, stream, end_of_stream):\n"
        "        logging.getLogger('chat').info('hello from %s', 'the filter')\n"
    )
    (tmp_path / "chatty.py").write_text(text)
    running = start("run", "--filter", "chatty:Chatty", "--envoy", RELEASES[0], cwd=tmp_path)
    fetch(running.url())

    until(lambda: "[chat] hello from the filter\n" in running.err, running.told)
    assert 0 == running.end()


def test_refusals(tmp_path: Path) -> None:
    """What cannot be run is told in one sentence, before Envoy starts."""
    file = given_bootstrap(tmp_path)
    both = command("run", "--config", file, "--port", "0")
    missing = command("run", "--config", tmp_path / "no.yaml")
    wrong = command("run", "--set", "log.reqest=1")

    text = "envoy-pyfilter: --port has no place beside --config, which says all\n"
    assert (1, text) == (both.returncode, both.stderr)
    text = f"envoy-pyfilter: {tmp_path / 'no.yaml'}: No such file or directory\n"
    assert (1, text) == (missing.returncode, missing.stderr)
    text = "envoy-pyfilter: access: log.reqest: unknown key; did you mean request?\n"
    assert (1, text) == (wrong.returncode, wrong.stderr)


@pytest.mark.parametrize("words", ["run", "config", "check envoy/access.yaml", "doctor"])
def test_closed_output(words: str) -> None:
    """Without a stdout to write to there is one sentence; without a stderr nobody misses it."""
    line = f'exec "{sys.executable}" -m envoy_pyfilter {words} >&-'
    done, silent = (
        subprocess.run(
            ["/bin/sh", "-c", line + more],
            env=ENVIRONMENT,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        for more in ("", " 2>&-")
    )

    text = "envoy-pyfilter: stdout is closed, where the results go (> /dev/null drops them)\n"
    assert (1, text) == (done.returncode, done.stderr)
    assert (1, "") == (silent.returncode, silent.stderr)


def test_last_entries(start: Start) -> None:
    """Entries that Envoy writes while it ends are printed, too."""
    running = start("run", "--envoy", RELEASES[0])
    url = running.url()
    for _ in range(200):
        fetch(url)

    assert 0 == running.end()
    assert 400 == len(running.out.splitlines())
