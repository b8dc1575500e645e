# SPDX-License-Identifier: Apache-2.0
"""
Listens on a UNIX socket as Cilium's agent does: many connections, one packet an entry.

1. ``Listener`` makes the socket. What it finds at the path is replaced only if it is a socket on
   which nobody listens.
2. ``read`` takes new connections and gives the packets that are there, without waiting.
3. ``hang_up`` lets nobody connect or send any more; ``read`` still gives what was sent before.
4. ``close`` removes the socket's file, unless it is another one by now.

As the agent does, a connection is closed at a packet without bytes, and a packet that is larger
than the buffer is cut.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envoy_pyfilter._console import Refusal, WrongUse
from envoy_pyfilter.plan_spec import LONGEST_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PACKET = 4096  # bytes; the agent's default
LARGEST_PACKET = 1 << 20  # more than the kernel takes unless it is told to
MODE = 0o660  # as the agent's socket has it
_AT_ONCE = 64  # packets of a connection before the others get their turn
_CREDENTIALS = socket.CMSG_SPACE(12)  # room for them alone: what else is sent along is dropped


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: its bytes as far as the buffer went, and how many it had."""

    data: bytes
    size: int

    @property
    def is_cut(self) -> bool:
        """Whether the buffer was too small for it."""
        return self.size > len(self.data)


def address(path: str) -> str | bytes:
    """Give the address of a path, or of an abstract name ``@...``; WrongUse if it cannot be one."""
    size = len(os.fsencode(path))
    if size > LONGEST_SOCKET:
        raise WrongUse(
            f"--socket {path}: {size} bytes; a socket's path has at most {LONGEST_SOCKET}"
        )
    if path in ("", "@") or "\0" in path:
        raise WrongUse(f"--socket {path!r}: expected a path, or @ and a name")
    return b"\0" + os.fsencode(path[1:]) if path.startswith("@") else path


def _is_listened_to(path: str) -> bool:
    """Ask the socket at *path*; any answer but a refusal comes from somebody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except PermissionError as error:
            raise WrongUse(f"--socket {path}: no permission to ask who listens there") from error
        except OSError:  # a full queue, or a socket of another type: there is somebody
            return True
        return True


def _make_room(path: str) -> None:
    """Remove a socket that its owner left behind; WrongUse when something else is there."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        folder = Path(path).parent
        if not folder.is_dir():
            raise WrongUse(f"--socket {path}: there is no folder {folder}") from None
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise WrongUse(f"--socket {path}: there is something else than a socket; it stays")
    if _is_listened_to(path):
        raise WrongUse(f"--socket {path}: somebody listens there already")
    Path(path).unlink()


def _bind(server: socket.socket, path: str, mode: int) -> None:
    before = os.umask(0o777 & ~mode)  # so it is never open to more people than it should
    try:
        server.bind(path)
    finally:
        os.umask(before)


class Listener:
    """A listening socket and its connections."""

    def __init__(self, path: str, *, mode: int = MODE, max_packet: int = MAX_PACKET) -> None:
        """
        Listen on *path*, or on the abstract name ``@...``; WrongUse says why that cannot be.

        *mode*: permissions of the socket's file. *max_packet*: bytes, what is longer is cut.
        """
        where = address(path)
        self._path = path
        self._buffer = bytearray(max_packet)
        self._file: tuple[str, int, int] | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if isinstance(where, bytes):
                self._server.bind(where)
            else:
                _make_room(path)
                _bind(self._server, path, mode)
                status = os.lstat(path)
                self._file = path, status.st_dev, status.st_ino
            self._server.listen(128)
        except OSError as error:
            self._server.close()
            raise WrongUse(f"--socket {path}: {_why(error, path)}") from error
        except WrongUse:
            self._server.close()
            raise
        self._server.setblocking(False)
        self._ready = selectors.EpollSelector()
        self._ready.register(self._server, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Give what is readable when ``read`` has something to do."""
        return self._ready.fileno()

    def read(self) -> Iterator[Packet]:
        """Give the packets that are there."""
        for key, _ in self._ready.select(0):
            if key.fileobj is self._server:
                self._accept()
            elif isinstance(key.fileobj, socket.socket):
                yield from self._packets(key.fileobj)

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # so many connections that there is no descriptor left
            raise Refusal(f"--socket {self._path}: {error.strerror}") from error
        self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        # With credentials a packet without bytes can be told from the end, which has none.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._ready.register(connection, selectors.EVENT_READ)

    def _packets(self, connection: socket.socket) -> Iterator[Packet]:
        for _ in range(_AT_ONCE):
            try:
                size, ancillary, _, _ = connection.recvmsg_into(
                    [self._buffer], _CREDENTIALS, socket.MSG_TRUNC
                )
            except BlockingIOError:
                return
            except OSError:  # the other side left while we were asking
                size, ancillary = 0, []
            if size == 0:
                self._ready.unregister(connection)
                connection.close()
            if size or ancillary:
                yield Packet(bytes(self._buffer[:size]), size)
            if size == 0:
                return

    def hang_up(self) -> None:
        """Let nobody connect or send; who tries is told. What waits to be read stays."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._ready.unregister(self._server)
        with suppress(OSError):  # nobody waits any more
            while True:
                self._take(self._server.accept()[0])
        for connection in self._connections():
            with suppress(OSError):  # the other side left
                connection.shutdown(socket.SHUT_RD)

    def rest(self) -> Iterator[Packet]:
        """Give what was sent before ``hang_up``."""
        while self._connections():
            yield from self.read()

    def _connections(self) -> list[socket.socket]:
        found = [key.fileobj for key in self._ready.get_map().values()]
        return [one for one in found if isinstance(one, socket.socket) and one != self._server]

    def close(self) -> None:
        """End all connections and remove the socket's file."""
        for connection in self._connections():
            connection.close()
        self._ready.close()
        self._server.close()
        if self._file is not None:
            self._remove(*self._file)

    @staticmethod
    def _remove(path: str, device: int, inode: int) -> None:
        try:
            status = os.lstat(path)
            if (status.st_dev, status.st_ino) == (device, inode):
                Path(path).unlink()
        except OSError:  # somebody removed it, or its folder; there is nothing left to do
            pass


def _why(error: OSError, path: str) -> str:
    if isinstance(error, PermissionError):
        return f"no permission to make a socket in {Path(path).parent}"
    if path.startswith("@") and "in use" in str(error):
        return "somebody listens there already"
    return error.strerror or str(error)
