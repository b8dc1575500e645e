# SPDX-License-Identifier: Apache-2.0
"""
Who listens on the access log's socket: it does what Cilium's agent does, and what tests need.

Like the agent it takes many connections, reads each packet into a buffer of fixed size, throws a
longer one away, and closes a connection that gives it an empty packet.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .waiting import until

if TYPE_CHECKING:
    from typing_extensions import Self

BUFFER = 4096  # the agent's --envoy-access-log-buffer-size
_NONE = float("inf")


@contextmanager
def socket_folder() -> Iterator[Path]:
    """Make a folder whose name is short enough for sockets (107 bytes), and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="agent-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Agent:
    """
    A listener on *path*; ``@`` begins an abstract name. A context manager: starts and kills.

    *packets* are those that it got whole, in the order of arrival (of one connection: as sent).
    *truncated* counts packets that were longer than its buffer, *connections* those it accepted.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        kind: socket.SocketKind = socket.SOCK_SEQPACKET,
        buffer: int = BUFFER,
        backlog: int = 128,
    ) -> None:
        """Nothing listens before ``start``."""
        self.path = str(path)
        self.packets: list[bytes] = []
        self.truncated = 0
        self.connections = 0
        self.delay = 0.0
        """Seconds that it takes for each packet."""
        self.hang_up_after = _NONE
        """
        Packets after which it closes a connection, 0: at once; it reads what is on its way then.
        """
        self._kind = kind
        self._buffer = buffer
        self._backlog = backlog
        self._reads = threading.Event()
        self._reads.set()
        self._drains = True
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if not self.path.startswith("@"):
            Path(self.path).unlink(missing_ok=True)

    def start(self) -> None:
        """Listen, also again; a socket file that is there is replaced, as the agent does it."""
        name = self.path
        if name.startswith("@"):
            name = "\0" + name[1:]
        else:
            Path(name).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, self._kind)
        listener.bind(name)
        listener.listen(self._backlog)
        self._listener = listener
        self._drains = True
        self._run(self._accept, listener)

    def kill(self, *, drain: bool = True) -> None:
        """
        Stop listening and close every connection; the socket's file stays, with nobody behind it.

        *drain*: nothing can be sent any more, and what was sent before is read first, so that
        *packets* has all that was ever sent. False: what nobody read is lost, as with SIGKILL.
        """
        if self._listener is None:
            return
        self._drains = drain
        self._listener.shutdown(socket.SHUT_RDWR)  # connect is refused; accept gives what waits
        self._threads[0].join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self._reads.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._listener = None
        self._threads = []

    def freeze(self) -> None:
        """Accept, and read no more (but one packet of each connection that is being waited for)."""
        self._reads.clear()

    def thaw(self) -> None:
        """Read on."""
        self._reads.set()

    def wait_for(self, count: int, *, seconds: float = 20.0) -> list[bytes]:
        """Wait for *count* packets in all; give all that came."""
        until(
            lambda: len(self.packets) >= count,
            lambda: f"{count} packets, got {len(self.packets)}",
            seconds=seconds,
        )
        return list(self.packets)

    def _run(self, target: Callable[[socket.socket], None], one: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(one,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            count = 0
            self._hang_up(connection, count)
            while self._reads.wait() and self._drains and self._read(connection):
                count += 1
                self._hang_up(connection, count)
            self._open.discard(connection)

    def _hang_up(self, connection: socket.socket, count: int) -> None:
        """Take nothing more after so many packets; nobody can send any then."""
        if count == self.hang_up_after:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)

    def _read(self, connection: socket.socket) -> bool:
        """Read a packet; false at the end, and for an empty one."""
        try:
            data, _, flags, _ = connection.recvmsg(self._buffer)
        except OSError:
            return False
        if flags & socket.MSG_TRUNC:
            self.truncated += 1
        elif data:
            self.packets.append(data)
        if self.delay:
            time.sleep(self.delay)
        return bool(data)
