# SPDX-License-Identifier: Apache-2.0
"""How a file is followed while it grows, is cut and is moved away."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from envoy_pyfilter import _follow
from envoy_pyfilter._follow import Followed, follow

from .command import until

if TYPE_CHECKING:
    import pytest


def test_follow(tmp_path: Path) -> None:
    """A file is followed from where it stood, appears late, and may be moved away."""
    path = tmp_path / "entries"
    seen: list[str] = []
    ended = threading.Event()
    thread = threading.Thread(target=follow, args=(path, seen.append, ended, 4))
    thread.start()

    path.write_bytes(b"old\none\ntw")
    until(lambda: ["one"] == seen, lambda: str(seen))
    with path.open("ab") as file:
        file.write(b"o \xff\n")
    until(lambda: ["one", "two \ufffd"] == seen, lambda: str(seen))
    path.rename(tmp_path / "entries.1")
    path.write_bytes(b"three\n")
    until(lambda: "three" in seen, lambda: str(seen))
    with path.open("ab") as file:
        file.write(b"four\n")
    ended.set()
    thread.join()

    assert ["one", "two \ufffd", "three", "four"] == seen


def test_late_writer(tmp_path: Path) -> None:
    """What is still written to a file after it was moved away comes before the new one's lines."""
    path = tmp_path / "entries"
    with path.open("wb", buffering=0) as old:
        file = Followed(path, 0)
        old.write(b"one\n")
        assert ["one"] == list(file.read())
        path.rename(tmp_path / "entries.1")
        path.write_bytes(b"three\n")
        assert [] == list(file.read())
        old.write(b"two\n")
        seen: list[str] = []

        def has_all() -> bool:
            seen.extend(file.read())
            return "three" in seen

        until(has_all, lambda: str(seen))
    file.close()

    assert ["two", "three"] == seen


def test_a_writer_that_keeps_the_old_file(tmp_path: Path) -> None:
    """The old file is read on while the new one is (logrotate's create, and a writer told late)."""
    path = tmp_path / "entries"
    seen: list[str] = []
    file = Followed(path, 0)

    def comes(line: str) -> None:
        def has_it() -> bool:
            seen.extend(file.read())
            return line in seen

        until(has_it, lambda: str(seen))

    with path.open("wb", buffering=0) as old:
        old.write(b"one\n")
        comes("one")
        path.rename(tmp_path / "entries.1")
        path.write_bytes(b"two\n")
        comes("two")
        old.write(b"three\n")
        comes("three")
        with path.open("ab") as new:
            new.write(b"four\n")
        comes("four")
        old.write(b"five\n")
        comes("five")
    file.close()

    assert ["one", "two", "three", "four", "five"] == seen


def test_quick_rotations(tmp_path: Path) -> None:
    """Each file that had the path when it was looked at is read to its end, in order."""
    path = tmp_path / "entries"
    file = Followed(path, 0)
    seen: list[str] = []
    for number in range(8):
        path.write_bytes(b"%d\n" % number)
        seen += file.read()
        with path.open("ab") as writer:
            path.rename(tmp_path / f"entries.{number}")
            writer.write(b"%d late\n" % number)

    def has_all() -> bool:
        seen.extend(file.read())
        return "7 late" in seen

    until(has_all, lambda: str(seen))
    file.close()

    assert [f"{number}{late}" for number in range(8) for late in ("", " late")] == seen


def test_quiet_files_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moved file into which nobody writes any more is closed; its last words are a line."""

    def held() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(tmp_path in link.readlink().parents for link in links)

    path = tmp_path / "entries"
    path.write_bytes(b"one\ntwo")
    file = Followed(path, 0)
    seen = list(file.read())
    path.rename(tmp_path / "entries.1")
    path.write_bytes(b"three\n")

    def has(line: str) -> bool:
        seen.extend(file.read())
        return line in seen

    until(lambda: has("three"), lambda: str(seen))
    assert (["one", "three"], 2) == (seen, held())
    monkeypatch.setattr(_follow, "_QUIET", 0.0)
    assert (["two"], 1) == (list(file.read()), held())
    file.close()
    assert 0 == held()


def test_last_words_of_a_moved_file(tmp_path: Path) -> None:
    """A last line without an end is a line of its own, and the end of it all waits for nothing."""
    path = tmp_path / "entries"
    path.write_bytes(b"one\ntwo")
    file = Followed(path, 0)
    assert ["one"] == list(file.read())
    path.rename(tmp_path / "entries.1")
    path.write_bytes(b"three\n")

    assert ["two", "three"] == list(file.read(at_end=True))
    file.close()


def test_cut_file(tmp_path: Path) -> None:
    """A file that was cut (logrotate's copytruncate) is read from its start again."""
    path = tmp_path / "entries"
    path.write_bytes(b"one\ntwo\n")
    file = Followed(path, 0)
    assert ["one", "two"] == list(file.read())
    path.write_bytes(b"new\n")

    assert ["new"] == list(file.read())
    file.close()
