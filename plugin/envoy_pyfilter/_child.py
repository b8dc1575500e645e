# SPDX-License-Identifier: Apache-2.0
"""
Become another program that is told to end when its parent dies, however that happens.

``python -I _child.py PARENT PROGRAM ARGUMENTS...``: *PARENT* is the pid of the caller, whose thread
that called has to live as long as the program. A file of its own, because between a ``fork`` and an
``exec`` of a process with threads no Python may run.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; an exec keeps it


def main(parent: str, *command: str) -> None:
    """Run *command* in this process."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before it could matter
        sys.exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would an exec
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606 (the arguments are the caller's)


if __name__ == "__main__":
    main(*sys.argv[1:])
