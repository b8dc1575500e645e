# SPDX-License-Identifier: Apache-2.0
"""Where entries go, and what happens when nobody takes them."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import bootstrap as b
from .bootstrap import HERE
from .envoy import Envoy
from .load import rapid, rapid_at_once
from .messages import Request
from .site import Site, whole_lines
from .upstream import Upstream
from .waiting import until

DIRECT = [b.direct()]


def file_sink(path: Path | str, **fields: int) -> b.Dict:
    """Give a file sink's config."""
    return {"type": "file", "path": str(path), **fields}


def python_sink(path: Path, **config: str) -> b.Dict:
    """Give the config of the Python sink that writes into a file."""
    return {"type": "python", "sink": "filters:FileSink", "config": {"path": str(path), **config}}


def ids(path: Path) -> list[str]:
    """Request ids of the entries in a file, in order."""
    return [json.loads(line)["request_id"] for line in whole_lines(path)]


def send(here: Site, *names: str) -> bool:
    """Make a request for each id; give true, for conditions that need traffic."""
    with here.client() as client:
        for name in names:
            got = client.fetch(Request(headers=[(b"x-request-id", name.encode())]))
            assert 200 == got.status
    return True


@pytest.fixture
def sink_site(new_site: Callable[[], Site]) -> Callable[..., Site]:
    """Make a site that logs response entries to these sinks; Envoy answers by itself."""

    def make(*sinks: b.Dict) -> Site:
        here = new_site()
        access = {"log": {"request": False}, "sinks": list(sinks)}
        config = {"python_path": [str(HERE)]}
        return here.open([here.filter(access=access, config=config)], routes=DIRECT)

    return make


def test_file_is_appended_to(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """What was in the file stays."""
    path = tmp_path / "log.json"
    path.write_text('{"request_id": "before"}\n')
    send(sink_site(file_sink(path)), "one", "two")
    until(lambda: len(ids(path)) == 3, path.read_text)
    assert ["before", "one", "two"] == ids(path)


def test_two_sinks(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Every sink gets every entry."""
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    here = sink_site(*[file_sink(path) for path in paths])
    send(here, "a", "b")
    until(lambda: [2, 2] == [len(ids(path)) for path in paths], paths)
    assert paths[0].read_text() == paths[1].read_text()


def test_two_configs_share_a_file(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Two configs with one path write whole lines into it, all of them."""
    path = tmp_path / "log.json"
    sites = [sink_site(file_sink(path)) for _ in range(2)]
    names = [[f"{number}-{n}" for n in range(2000)] for number in range(2)]
    rapid_at_once(zip([here.port for here in sites], names, strict=True))
    until(lambda: len(ids(path)) == 4000, lambda: len(ids(path)))
    assert Counter([*names[0], *names[1]]) == Counter(ids(path))


def test_rotation(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A file that was moved away is made anew; each entry is in one of the two."""
    path, old = tmp_path / "log.json", tmp_path / "log.json.1"
    here = sink_site(file_sink(path))
    send(here, "before")
    until(lambda: ids(path), path)
    path.rename(old)
    send(here, "after")
    until(lambda: ids(path), path)
    assert (["before"], ["after"]) == (ids(old), ids(path))


def test_rotation_under_load(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Five rotations while requests come in: every entry is somewhere, once."""
    path = tmp_path / "log.json"
    here = sink_site(file_sink(path))
    names = [str(number) for number in range(20_000)]
    sender = threading.Thread(target=rapid, args=(here.port, names))
    sender.start()
    files = []
    for number in range(5):
        until(lambda: path.exists() and path.stat().st_size, "entries")
        files.append(path.rename(tmp_path / f"log.{number}"))
        until(path.exists, "the new file")
    sender.join()
    files.append(path)
    until(lambda: sum(len(ids(file)) for file in files) >= 20_000, "all entries")
    assert Counter(names) == Counter(one for file in files for one in ids(file))


def test_removed_file(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A file that was removed is made anew."""
    path = tmp_path / "log.json"
    here = sink_site(file_sink(path))
    send(here, "before")
    until(lambda: ids(path), path)
    path.unlink()
    send(here, "after")
    until(lambda: ids(path), path)
    assert ["after"] == ids(path)


def test_folder_that_goes_and_comes(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Without its folder the sink counts errors; when the folder is back, it goes on."""
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "log.json"
    here = sink_site(file_sink(path))
    send(here, "before")
    until(lambda: ids(path), path)
    shutil.rmtree(folder)

    def counted() -> int:
        send(here, "lost or late")
        return here.stat("sink_errors")

    until(counted, "sink_errors")
    folder.mkdir()
    send(here, "after")
    until(lambda: path.exists() and ids(path)[-1:] == ["after"], path)


def test_dev_stdout(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> None:
    """Standard output may be a pipe; the entries are on it, and nothing else of ours."""
    read, write = os.pipe()
    envoy = own_envoy(stdout=write).start()
    os.close(write)
    here = Site(envoy, upstream, tmp_path, "out")
    here.open([here.filter(access={"sinks": [file_sink("/dev/stdout")]})], routes=DIRECT)
    send(here, "one")
    envoy.stop()
    with os.fdopen(read) as pipe:
        entries = [json.loads(line) for line in pipe]
    assert [("request", "one"), ("response", "one")] == [
        (entry["kind"], entry["request_id"]) for entry in entries
    ]


def test_dev_full(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A full disk stops no request; what cannot be kept is dropped and counted."""
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    here = sink_site(file_sink(link, ring_bytes=65536))
    for _ in range(3):
        assert 1000 == len(rapid(here.port, [str(n) for n in range(1000)]))
    until(lambda: send(here, "x") and here.stat("sink_errors"), "sink_errors")
    until(lambda: send(here, "x") and here.stat("dropped_ring_full"), "dropped_ring_full")
    assert here.envoy.alive


@contextmanager
def fifo_reader(path: Path) -> Iterator[list[str]]:
    """Read request ids from a FIFO on a thread, until the block ends."""
    found: list[str] = []
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    stop = threading.Event()

    def run() -> None:
        rest = b""
        while not stop.wait(0.002):
            try:
                data = os.read(fd, 1 << 20)
            except BlockingIOError:
                continue
            *lines, rest = (rest + data).split(b"\n")
            found.extend(json.loads(line)["request_id"] for line in lines)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        os.close(fd)


def test_fifo(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A FIFO's reader gets every entry."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with fifo_reader(path) as found:
        here = sink_site(file_sink(path))
        names = [str(number) for number in range(3000)]
        assert names == rapid(here.port, names, connections=1)
        until(lambda: len(found) == 3000, lambda: len(found))
        assert names == found


def test_fifo_without_reader(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Without a reader entries wait; the first reader gets them."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    here = sink_site(file_sink(path))
    send(here, "early")
    with fifo_reader(path) as found:
        until(lambda: found == ["early"], lambda: found)


def test_vanished_reader(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A reader that goes away stops nothing; what overflows is counted, a new one reads on."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with fifo_reader(path) as found:
        here = sink_site(file_sink(path, ring_bytes=65536))
        send(here, "one")
        until(lambda: found == ["one"], lambda: found)
    for _ in range(3):
        assert 1000 == len(rapid(here.port, ["lost"] * 1000))
    until(lambda: send(here, "lost") and here.stat("dropped_ring_full"), "dropped_ring_full")
    with fifo_reader(path) as found:
        until(lambda: send(here, "back") and "back" in found, "the entries after")
    assert here.envoy.alive


def test_reader_that_stalls(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A reader that holds the FIFO open and doesn't read blocks no worker and loses no order."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    here = sink_site(file_sink(path, ring_bytes=65536))
    names = [str(number) for number in range(5000)]
    assert names == rapid(here.port, names, connections=1)
    until(lambda: send(here, "x") and here.stat("dropped_ring_full"), "dropped_ring_full")
    (said,) = here.log_lines(f"{path}: a worker's ring is full")
    assert "ring_bytes is 65536" in said
    os.close(fd)
    with fifo_reader(path) as found:
        until(lambda: send(here, "end") and "end" in found, "the entries after")
        kept = [int(name) for name in found if name.isdigit()]
    assert sorted(kept) == kept


def test_full_tmpfs(own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path) -> None:
    """A disk that is full and then has room again: requests go on, and so do entries later."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here, so no small file system; /dev/full is tested")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=256k tmpfs {disk} && exec "$0" "$@"'
    envoy = own_envoy(wrapper=["unshare", "-rm", "sh", "-c", mount]).start()
    seen_from_here = Path(f"/proc/{envoy.pid}/root{disk}")
    here = Site(envoy, upstream, tmp_path, "full")
    sink = file_sink(disk / "log.json", ring_bytes=65536)
    here.open([here.filter(access={"log": {"request": False}, "sinks": [sink]})], routes=DIRECT)

    assert 3000 == len(rapid(here.port, [str(number) for number in range(3000)]))
    until(lambda: send(here, "x") and here.stat("sink_errors"), "sink_errors")
    (seen_from_here / "log.json").rename(seen_from_here / "old.json")
    os.truncate(seen_from_here / "old.json", 0)
    until(
        lambda: send(here, "room") and "room" in ids(seen_from_here / "log.json"),
        "entries after there is room again",
    )
    for line in whole_lines(seen_from_here / "log.json"):
        json.loads(line)
    envoy.stop()


# --- Python sinks ---


def batches(path: Path) -> list[tuple[str, list[b.Dict]]]:
    """Read what the Python sink wrote: its thread's name and its records."""
    return [ast.literal_eval(line) for line in whole_lines(path)]


def test_python_sink(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """Records come in batches on a thread of the sink, and hold what the file's lines hold."""
    python, file = tmp_path / "python", tmp_path / "log.json"
    here = sink_site(python_sink(python), file_sink(file))
    names = [str(number) for number in range(500)]
    rapid(here.port, names)
    until(lambda: sum(len(records) for _, records in batches(python)) == 500, "all records")

    found = batches(python)
    assert 1 == len({thread for thread, _ in found})
    assert "MainThread" not in found[0][0]
    records = [record for _, batch in found for record in batch]
    until(lambda: len(ids(file)) == 500, file)
    for record, line in zip(records, whole_lines(file), strict=True):
        entry = json.loads(line)
        known = {key: value for key, value in record.items() if value not in (None, {}, [], ())}
        assert entry.items() <= {**known, **{k: entry[k] for k in entry if not entry[k]}}.items()
    here.close()
    until(lambda: batches(python)[-1] == ("closed", []), "close()")


def test_python_sink_that_raises(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A sink that raises is counted each time and logged once; traffic goes on."""
    here = sink_site(python_sink(tmp_path / "python", fail="no more room"))
    send(here, *["x"] * 20)
    until(lambda: send(here, "x") and here.stat("sink_errors"), "sink_errors")
    until(lambda: send(here, "x") and here.stat("dropped_sink") >= 20, "dropped_sink")
    assert 1 == len(here.log_lines("RuntimeError: no more room"))
    here.close()


def test_python_sink_empties_at_the_end(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path
) -> None:
    """SIGTERM waits for what the Python sink has not taken yet, and closes it."""
    envoy = own_envoy().start()
    here = Site(envoy, upstream, tmp_path, "python")
    path = tmp_path / "python.log"
    access = {"log": {"request": False}, "sinks": [python_sink(path)]}
    config = {"python_path": [str(HERE)]}
    here.open([here.filter(access=access, config=config)], routes=DIRECT)
    names = [str(number) for number in range(3000)]
    answered = rapid(here.port, names, connections=1)
    envoy.stop()
    found = [record["request_id"] for _, batch in batches(path) for record in batch]
    assert names == answered == found


def test_python_sink_that_hangs(sink_site: Callable[..., Site], tmp_path: Path) -> None:
    """A sink that takes its time blocks no worker; what overflows is counted, the rest comes."""
    path, released = tmp_path / "python", tmp_path / "released"
    sink = python_sink(path, wait_for=str(released))
    here = sink_site({**sink, "ring_bytes": 65536})
    names = [str(number) for number in range(3000)]
    assert names == rapid(here.port, names, connections=1)
    until(lambda: send(here, "x") and here.stat("dropped_ring_full"), "dropped_ring_full")
    released.touch()

    def found() -> list[str]:
        return [record["request_id"] for _, batch in batches(path) for record in batch]

    until(lambda: send(here, "end") and "end" in found(), "the entries after")
    kept = [int(name) for name in found() if name.isdigit()]
    assert sorted(set(kept)) == kept


# --- the end of the process ---


def test_stuck_sinks_do_not_keep_envoy(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path
) -> None:
    """Envoy ends, and cleanly, although nobody takes what is left in any of the sinks."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "full").symlink_to("/dev/full")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    sinks = [
        file_sink(tmp_path / "fifo"),
        file_sink(tmp_path / "full"),
        python_sink(tmp_path / "python", wait_for=str(tmp_path / "never")),
    ]
    envoy = own_envoy().start()
    here = Site(envoy, upstream, tmp_path, "stuck")
    config = {"python_path": [str(HERE)]}
    here.open([here.filter(access={"sinks": sinks}, config=config)], routes=DIRECT)
    assert 2000 == len(rapid(here.port, [str(number) for number in range(2000)]))
    envoy.stop()
    os.close(reader)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_end_after_all_answers(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path, concurrency: int
) -> None:
    """20,000 requests and SIGTERM at once: each answered request is in the file, once."""
    envoy = own_envoy(concurrency=concurrency).start()
    here = Site(envoy, upstream, tmp_path, "end")
    sink = file_sink(here.entries_path, ring_bytes=32 << 20)
    here.open([here.filter(access={"sinks": [sink]})], routes=DIRECT)
    names = [str(number) for number in range(20_000)]
    answered = rapid(here.port, names)
    envoy.stop()

    entries = [json.loads(line) for line in here.entries_path.read_text().splitlines()]
    expected = Counter(names)
    assert 20_000 == len(answered)
    for kind in ("request", "response"):
        assert expected == Counter(e["request_id"] for e in entries if e["kind"] == kind)
    assert 40_000 == len(entries)


def test_end_in_the_middle(
    own_envoy: Callable[..., Envoy], upstream: Upstream, tmp_path: Path
) -> None:
    """SIGTERM while requests come in: what was answered is in the file, nothing twice."""
    envoy = own_envoy(concurrency=2).start()
    here = Site(envoy, upstream, tmp_path, "middle")
    sink = file_sink(here.entries_path, ring_bytes=32 << 20)
    here.open([here.filter(access={"sinks": [sink]})], routes=DIRECT)
    names = [str(number) for number in range(100_000)]
    answered: list[str] = []
    sender = threading.Thread(target=lambda: answered.extend(rapid(here.port, names)), daemon=True)
    sender.start()
    until(lambda: len(whole_lines(here.entries_path)) > 10_000, "traffic")
    envoy.stop(sig=signal.SIGTERM)
    sender.join(20)

    entries = [json.loads(line) for line in here.entries_path.read_text().splitlines()]
    responses = Counter(e["request_id"] for e in entries if e["kind"] == "response")
    assert 5_000 < len(answered) < 100_000
    assert set(answered) <= responses.keys()
    assert {1} == set(responses.values())
