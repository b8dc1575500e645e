# SPDX-License-Identifier: Apache-2.0
"""``tail`` as a process: entries from real sockets, from files, and how it ends."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from .command import ENVIRONMENT, ROOT, Done, Running, command, until
from .packets import DENIED, RESPONSE, START, Sender, packet

Start = Callable[..., Running]
TWO = '{"kind":"request","path":"/1"}\n{"kind":"response","path":"/2","response_code":200}\n'


@pytest.fixture
def listening(start: Start) -> Callable[..., Running]:
    """Start ``tail`` on a socket, and wait until it listens."""

    def starter(path: Path | str, *arguments: str, **keywords: Any) -> Running:
        running = start("tail", "--socket", path, *arguments, **keywords)
        until(lambda: f"Listening on {path}." in running.err, running.told)
        return running

    return starter


def entries(running: Running, count: int) -> list[dict[str, Any]]:
    """Give what it wrote as JSON, once there are so many lines."""
    return [json.loads(line) for line in running.lines(count)]


def last(running: Running) -> str:
    """Give the line with which it ended."""
    return running.err.splitlines()[-1]


# --- the socket ---


def test_packets(listening: Start, folder: Path) -> None:
    """Each packet is a line of JSON; Ctrl-C ends it with a line about what there was."""
    path = folder / "s"
    running = listening(path)
    assert 0o660 == stat.S_IMODE(path.lstat().st_mode)
    with Sender(path) as sender:
        sender.send(packet(), packet(RESPONSE, after=1500, status=200), packet(DENIED))
        request, response, denied = entries(running, 3)

    assert ["request", "response", "denied"] == [one["kind"] for one in (request, response, denied)]
    assert (START, START) == (request["time_unix_nano"], response["start_time_unix_nano"])
    assert (200, 1500) == (response["response_code"], response["duration_us"])
    assert {"x-request-id": "id-1"} == request["request_headers"]
    assert 0 == running.end(signal.SIGINT)
    assert "envoy-pyfilter: 3 received, 3 shown, 0 truncated, 0 unreadable" == last(running)
    assert not path.exists()


def test_many_connections(listening: Start, folder: Path) -> None:
    """Connections come and go side by side; entries of one keep their order."""
    path = folder / "s"
    running = listening(path)

    def send(who: int) -> None:
        with Sender(path) as sender:
            for number in range(50):
                sender.send(packet(path=f"/{who}/{number}"))

    threads = [threading.Thread(target=send, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    paths = [one["path"] for one in entries(running, 400)]
    for thread in threads:
        thread.join()

    for who in range(8):
        assert [f"/{who}/{number}" for number in range(50)] == [
            one for one in paths if one.startswith(f"/{who}/")
        ]


def test_bad_packets(listening: Start, folder: Path) -> None:
    """What cannot be shown is counted, told the first time, and harms nothing else."""
    path = folder / "s"
    running = listening(path)
    large = packet(headers={"x": "y" * 5000})
    for _ in range(2):
        with Sender(path) as sender:
            sender.send(b"\xff\xff", large, packet(), b"")
            assert b"" == sender.socket.recv(1)  # it hung up
    with Sender(path) as sender:
        sender.send(packet())
        running.lines(3)

    assert 0 == running.end(signal.SIGTERM)
    told = running.err.splitlines()[1:]
    assert told[0].startswith("envoy-pyfilter: a packet is no cilium.LogEntry: ")
    assert [
        (
            f"envoy-pyfilter: a packet of {len(large)} bytes was cut at 4096, as the agent would "
            "do: --max-packet takes larger ones"
        ),
        ("envoy-pyfilter: a packet without bytes came; as the agent would, it ends the connection"),
        "envoy-pyfilter: 9 received, 3 shown, 2 truncated, 2 unreadable, 2 empty",
    ] == told[1:]


def test_signal_loses_nothing(listening: Start, folder: Path) -> None:
    """A signal amid packets: each that the socket took is shown, and the next sender is told."""
    running = listening(folder / "s")
    sent = 0
    with Sender(folder / "s") as sender, Sender(folder / "s") as other:
        other.send(packet())
        with suppress(BrokenPipeError, ConnectionResetError):
            while True:
                sender.send(packet())
                sent += 1
                if sent == 2000:
                    running.process.send_signal(signal.SIGTERM)
    assert 0 == running.wait()
    assert sent >= 2000
    assert sent + 1 == running.out.count("\n")
    assert f"{sent + 1} received, {sent + 1} shown" in last(running)


def test_max_packet(listening: Start, folder: Path) -> None:
    """A larger buffer takes larger packets, of exactly its size as well."""
    large = packet(headers={"x": "y" * 5000})
    running = listening(folder / "s", "--max-packet", str(len(large)))
    with Sender(folder / "s") as sender:
        sender.send(large)
        (entry,) = entries(running, 1)

    assert "y" * 5000 == entry["request_headers"]["x"]


def test_abstract_name(listening: Start) -> None:
    """An abstract name has no file."""
    name = f"@envoy-pyfilter-{os.getpid()}"
    running = listening(name, "--count", "1")
    with Sender(name) as sender:
        sender.send(packet())

        assert 0 == running.wait()
    assert not Path(name).exists()


def test_stale_socket(listening: Start, folder: Path) -> None:
    """A socket that its owner left behind is replaced."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(path))
    listening(path, "--count", "1", "--mode", "0606")

    assert 0o606 == stat.S_IMODE(path.lstat().st_mode)
    with Sender(path) as sender:
        sender.send(packet())


def test_a_successor(listening: Start, folder: Path) -> None:
    """The file of another that took the place meanwhile stays."""
    path = folder / "s"
    running = listening(path)
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(path))
        other.listen()

        assert 0 == running.end()
        Sender(path).socket.close()


def test_filters(listening: Start, folder: Path) -> None:
    """What is not asked for is counted and not shown; ``--count`` counts what is."""
    running = listening(
        folder / "s", "--status", "5xx,404", "--path", "/v1/*", "--count", "2", "--method", "get"
    )
    with Sender(folder / "s") as sender:
        for path, status in [("/v1/a", 200), ("/v1/a?b", 404), ("/v2", 500), ("/v1/b", 503)]:
            sender.send(packet(path=path), packet(RESPONSE, after=7, status=status, path=path))

        assert 0 == running.wait()
    assert [(404, 7), (503, 7)] == [
        (one["response_code"], one["duration_us"]) for one in entries(running, 2)
    ]
    assert "envoy-pyfilter: 8 received, 2 shown, 0 truncated, 0 unreadable" == last(running)


def test_too_many_connections(start: Start, folder: Path) -> None:
    """When the system allows no more connections it says so and ends in order."""
    path = folder / "s"
    running = start("tail", "--socket", path)
    until(lambda: "Listening" in running.err, running.told)
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (32, 32))
    with ExitStack() as senders:
        with suppress(ConnectionError, FileNotFoundError):  # it may end before the last
            for _ in range(32):
                senders.enter_context(Sender(path))

        assert 1 == running.wait()
    assert f"envoy-pyfilter: --socket {path}: Too many open files" == last(running)
    assert not path.exists()


def test_reader_leaves(listening: Start, folder: Path) -> None:
    """When nobody reads any more it ends, without a word and before the next entry."""
    read, write = os.pipe()
    running = listening(folder / "s", stdout=(read, write))
    os.close(read)

    assert 0 == running.wait()
    assert f"Listening on {folder / 's'}. Ctrl-C ends it.\n" == running.err
    assert not (folder / "s").exists()


def test_slow_reader(listening: Start, folder: Path) -> None:
    """While nobody reads it waits, and a signal ends it all the same."""
    read, write = os.pipe()
    same = os.dup(write)
    running = listening(folder / "s", stdout=(read, write))
    with Sender(folder / "s") as sender:
        sender.socket.setblocking(False)

        def is_stuck() -> bool:
            try:
                sender.send(packet(headers={"x": "y" * 3000}))
            except BlockingIOError:
                return not select.select([], [same], [], 0)[1]
            return False

        until(is_stuck, running.told)

        assert 0 == running.end(signal.SIGTERM)
    os.close(read)
    os.close(same)
    assert " 0 truncated, 0 unreadable" in last(running)


# --- files ---


def test_file(start: Start, tmp_path: Path) -> None:
    """What a file gets is shown, also what comes after it was moved away."""
    file = tmp_path / "entries"
    file.write_text('{"kind":"request","path":"/0"}\n')
    running = start("tail", file, "--kind", "response")
    until(lambda: is_open(running, file), running.told)
    with file.open("a") as more:
        more.write(f"{TWO}no\x1b entry{'.' * 99}\n\n")
        more.write('{"kind":"other"}\n{"kind":"response","response_code":"abc"}\n')
    running.lines(1)
    file.rename(tmp_path / "entries.1")
    file.write_text(TWO.replace("/2", "/3"))

    assert ["/2", "/3"] == [one["path"] for one in entries(running, 2)]
    assert 0 == running.end()
    shown = f"no\\x1b entry{'.' * (80 - 9)}..."
    told = f"envoy-pyfilter: {file}: a line is no entry in JSON: {shown}"
    assert told == running.err.splitlines()[0]
    assert "envoy-pyfilter: 7 received, 2 shown, 0 truncated, 3 unreadable" == last(running)


def is_open(running: Running, file: Path) -> bool:
    """Tell whether the process has a file open."""
    folder = Path(f"/proc/{running.process.pid}/fd")
    with suppress(FileNotFoundError):  # it is opening and closing others
        return any(file == one.readlink() for one in folder.iterdir())
    return False


def test_several_files(start: Start, tmp_path: Path) -> None:
    """Files are followed side by side, from their start when asked; one may come later."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(TWO)
    running = start("tail", "--from-start", one, two, "--count", "4")
    running.lines(2)
    two.write_text(TWO)

    assert 0 == running.wait()
    assert f"{two} is not there yet; it is shown from its start once it is.\n" in running.err
    assert ["/1", "/2"] * 2 == [entry["path"] for entry in entries(running, 4)]


def test_socket_and_file(listening: Start, folder: Path) -> None:
    """Both at once."""
    (folder / "entries").write_text(TWO)
    running = listening(folder / "s", str(folder / "entries"), "--from-start")
    with Sender(folder / "s") as sender:
        sender.send(packet(path="/packet"))

        assert {"/1", "/2", "/packet"} == {one["path"] for one in entries(running, 3)}


def tail_stdin(text: bytes, *arguments: str) -> Done:
    """Run it with this on stdin."""
    done = subprocess.run(
        [sys.executable, "-m", "envoy_pyfilter", "tail", "-", *arguments],
        input=text,
        capture_output=True,
        env=ENVIRONMENT,
        check=False,
    )
    return Done(
        returncode=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode()
    )


def test_stdin() -> None:
    """It reads stdin to its end, a last line without an end included."""
    text = '{"kind":"request","path":"/\\ud800\\u009b\\u2028","n":12345678901234567890}'
    done = tail_stdin(f"{TWO}{text}".encode())

    assert f"{TWO}{text}\n" == done.stdout
    assert 0 == done.returncode
    assert "envoy-pyfilter: 3 received, 3 shown, 0 truncated, 0 unreadable\n" == done.stderr


def test_fifo(start: Start, tmp_path: Path) -> None:
    """A FIFO may be opened and closed by those who write into it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    running = start("tail", path, "--count", "4")
    for number in (1, 2):
        path.write_text(TWO)
        running.lines(2 * number)

    assert 0 == running.wait()


@contextmanager
def without_protobuf(folder: Path) -> Iterator[dict[str, str]]:
    """Give an environment in which Python does not find protobuf."""
    text = "import sys\nsys.modules['google.protobuf'] = None\n"
    (folder / "sitecustomize.py").write_text(text)
    yield {"PYTHONPATH": str(folder)}


def test_without_protobuf(start: Start, folder: Path) -> None:
    """Only the socket needs protobuf, and says how to get it."""
    with without_protobuf(folder) as env:
        socket_ = start("tail", "--socket", folder / "s", **env)
        (folder / "entries").write_text(TWO)
        file = start("tail", folder / "entries", "--from-start", "--count", "2", **env)

        assert (1, 0) == (socket_.wait(), file.wait())
    text = (
        "envoy-pyfilter: tail --socket reads protobuf messages, and the Python package protobuf "
        "is not here: pip install 'envoy-pyfilter[tail]'\n"
    )
    assert text == socket_.err
    assert not (folder / "s").exists()


# --- what it refuses ---


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "tail: expected --socket PATH, or a FILE, or - for stdin"),
        (
            ["-", "--status", "abc"],
            "--status abc: expected 404, 5xx, 400-499, or several with commas",
        ),
        (["-", "--kind", "requst"], "--kind requst: no such kind; did you mean request?"),
        (
            ["--socket", "/" + "x" * 107],
            f"--socket /{'x' * 107}: 108 bytes; a socket's path has at most 107",
        ),
        (["--socket", "@"], "--socket '@': expected a path, or @ and a name"),
        (["--socket", "/no/where/s"], "--socket /no/where/s: there is no folder /no/where"),
        (
            ["--socket", "/etc/passwd"],
            "--socket /etc/passwd: there is something else than a socket; it stays",
        ),
        (["--socket", "/etc"], "--socket /etc: there is something else than a socket; it stays"),
        (["--socket", "/etc/passwd/s"], "--socket /etc/passwd/s: Not a directory"),
        (
            ["--socket", "@x", "--mode", "0600"],
            "--mode has no meaning for an abstract name: it has no file",
        ),
        (["-", "--mode", "0600"], "--mode is that of a socket's file: it needs --socket PATH"),
        (["/etc"], "/etc: expected a file of JSON lines, a FIFO or - for stdin"),
        (["/no/where/file"], "/no/where/file: there is no folder /no/where"),
        (["/etc/passwd/file"], "/etc/passwd/file: Not a directory"),
    ],
)
def test_refused(arguments: list[str], text: str) -> None:
    """What cannot be is told in one line, with exit code 2."""
    done = command("tail", *arguments)

    assert (2, f"envoy-pyfilter: {text}\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--count", "0", "expected a number of 1 or more"),
        ("--mode", "rw", "expected a mode, such as 0660"),
        ("--max-packet", "0", "expected a number of bytes, 1 to 1048576"),
    ],
)
def test_usage(option: str, value: str, text: str) -> None:
    """A value that is none is told as argparse does."""
    done = command("tail", "-", option, value)

    assert 2 == done.returncode
    assert done.stderr.endswith(f"error: argument {option}: {value}: {text}\n")


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_somebody_listens(folder: Path, kind: socket.SocketKind) -> None:
    """A socket on which somebody listens stays theirs, whichever type it has."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            other.listen(0)
        done = command("tail", "--socket", path)

    text = f"envoy-pyfilter: --socket {path}: somebody listens there already\n"
    assert (2, text) == (done.returncode, done.stderr)
    assert path.is_socket()


def test_somebody_has_the_name(listening: Start) -> None:
    """An abstract name has one owner."""
    name = f"@envoy-pyfilter-{os.getpid()}-taken"
    listening(name)
    done = command("tail", "--socket", name)

    text = f"envoy-pyfilter: --socket {name}: somebody listens there already\n"
    assert (2, text) == (done.returncode, done.stderr)


def test_a_socket_as_file(listening: Start, folder: Path) -> None:
    """Who gives a socket as a file is told the option."""
    listening(folder / "s")
    done = command("tail", folder / "s")

    assert 2 == done.returncode
    assert f": --socket {folder / 's'} listens there\n" in done.stderr


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Take from this process what root may, and from *folder* what others may."""
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_no_permission(folder: Path) -> None:
    """What the user may not do is told."""
    file = folder / "entries"
    file.touch(mode=0)
    command("tail", "--socket", "@")  # all modules are loaded before
    with unprivileged(folder):
        socket_ = command("tail", "--socket", folder / "s")
        unreadable = command("tail", file)

    text = f"envoy-pyfilter: --socket {folder / 's'}: no permission to make a socket in {folder}\n"
    assert (2, text) == (socket_.returncode, socket_.stderr)
    assert (2, f"envoy-pyfilter: {file}: Permission denied\n") == (
        unreadable.returncode,
        unreadable.stderr,
    )


def test_docs() -> None:
    """The page has each option, and no other."""
    shown = set(re.findall(r"--[a-z][a-z-]+", command("tail", "--help").stdout)) - {"--help"}

    page = (ROOT / "docs" / "tail.md").read_text().splitlines()
    text = "\n".join(one for one in page if not one.startswith("$ envoy-pyfilter run"))

    assert shown == set(re.findall(r"--[a-z][a-z-]+", text))
