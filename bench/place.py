# SPDX-License-Identifier: Apache-2.0
"""The folder that a run writes into: its own while it lasts, and tried before anything is run."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RAW, TEXT = "results.json", "report.md"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make *folder*, and keep other runs out of it; ``Trouble`` when it cannot be written into."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Trouble(f"--out {folder}: another run writes into it") from error
        with _told(folder):
            tempfile.TemporaryFile(dir=folder).close()
            for name in (RAW, TEXT):
                if (folder / name).is_dir():
                    raise IsADirectoryError(None, "a folder stands where a file goes", name)
        yield
    finally:
        os.close(descriptor)


def put(path: Path, data: bytes) -> None:
    """Write a file; whoever reads it finds all of it, or what was there before."""
    new = path.with_name(f".{path.name}.new")
    with _told(path.parent):
        new.write_bytes(data)
        new.replace(path)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename != str(folder) else ""
        raise Trouble(f"--out {folder} cannot be written into: {error.strerror}{where}") from error
