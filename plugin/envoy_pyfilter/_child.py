# SPDX-License-Identifier: Apache-2.0
"""
Become another program that is told to end when its parent dies, however that happens.

``python -I _child.py PARENT PROGRAM ARGUMENTS...``: *PARENT* is the pid of the caller, whose thread
that called has to live as long as the program. A file of its own, because between a ``fork`` and an
``exec`` of a process with threads no Python may run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PR_SET_PDEATHSIG = 1  # linux/prctl.h; an exec keeps it


def become(command: list[str], environment: Mapping[str, str]) -> None:
    """Run *command* in this process; OSError when it cannot be started."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would an exec
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(command[0], command, environment)  # noqa: S606 (the arguments are the caller's)


def main(parent: str, *command: str) -> None:
    """Run *command* in this process, until *parent* is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before it could matter
        sys.exit(1)
    become([*command], os.environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
